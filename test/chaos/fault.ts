/** What a fault is. */
import type { Chance } from './chance.ts';
import type { RecordingName } from './recordings.ts';
import type { Rig } from './rig.ts';

/** What may not be hit by two faults at once. */
export type Target =
  RecordingName | 'workers' | 'redis' | 'network' | 'rtmp' | 'sender' | 'guest-seat' | 'storage';

/** What a fault may cost, seconds; see Excuse. */
export interface Cost {
  recordings: readonly RecordingName[];
  kind: 'gap' | 'absence';
  /** Longest gap. */
  most: number;
  /** How long after the fault's end its effects may begin (a gap) or last (an absence). */
  after: number;
}

export interface Fault {
  name: string;
  targets: readonly Target[];
  /** Causes it and waits until its cause is over. @returns what was done, for the log */
  cause(rig: Rig, chance: Chance): Promise<string>;
  costs: readonly Cost[];
  /** Seconds of peace its targets have afterwards. */
  settle: number;
  /** Seconds its cause lasts, when that is long: with less time left it does not begin any more. */
  lasts?: number;
}
