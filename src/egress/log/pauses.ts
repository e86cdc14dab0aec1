/** Stretches of an egress that were not to be recorded, and what of a chunk lies outside of them. Pure. */
import type { LogContainer } from './files.ts';
import { bytesBeforePauseMkv, withoutPausesMkv } from './pauses-mkv.ts';
import { keptPes, withoutPausesTs } from './pauses-ts.ts';
import type { Pause } from './pauses-rule.ts';
import type { EventLine, GapLine } from './types.ts';

export type { Pause } from './pauses-rule.ts';

/** Reason of the gap a pause leaves: views close it up, where every other gap stays as long as it was. */
export const PAUSED = 'paused';

/** The pauses a log's events tell of, in order. A pause in a pause, which a later attempt says again, is the same one. */
export function pausesOf(events: readonly Pick<EventLine, 'name' | 'atNs'>[]): Pause[] {
  const pauses: Pause[] = [];
  for (const { name, atNs } of events) {
    const last = pauses.at(-1);
    const open = last?.endNs === Infinity;
    if (name === 'pause' && !open) pauses.push({ startNs: atNs, endNs: Infinity });
    else if (name === 'resume' && open) last.endNs = Math.max(atNs, last.startNs);
  }
  return pauses;
}

/** Whether some of the stretch was paused. */
export function touchesPause(pauses: readonly Pause[], fromNs: number, toNs: number): boolean {
  return pauses.some(({ startNs, endNs }) => startNs < toNs && endNs > fromNs);
}

/** The gaps of pauses that begin and end within one chunk, as those of sound alone may. */
export function pausesInside(
  pauses: readonly Pause[],
  { startNs, durationNs }: { startNs: number; durationNs: number },
): GapLine[] {
  return pauses
    .filter((pause) => pause.startNs > startNs && pause.endNs < startNs + durationNs)
    .map((pause) => ({ type: 'gap', startNs: pause.startNs, endNs: pause.endNs, reason: PAUSED }));
}

/**
 * A chunk's bytes without what came in a pause: they begin with tables or a header as before, and a picture goes on at a
 * keyframe. Undefined when all of it stays; empty when nothing does.
 * @param nearNs egress-clock time the chunk is near to
 * @throws InspectError when the chunk cannot be read
 */
export function withoutPauses(
  data: Uint8Array,
  container: LogContainer,
  pauses: readonly Pause[],
  nearNs: number,
): Uint8Array | undefined {
  if (pauses.length === 0) return undefined;
  return container === 'mpegts' ? withoutPausesTs(data, pauses, nearNs) : withoutPausesMkv(data, pauses);
}

/**
 * How many of a chunk's bytes, from the first, come before a pause: what can be said of a file that must not be changed.
 * @throws InspectError
 */
export function bytesBeforePause(
  data: Uint8Array,
  container: LogContainer,
  pauses: readonly Pause[],
  nearNs: number,
): number {
  if (pauses.length === 0) return data.length;
  if (container === 'matroska') return bytesBeforePauseMkv(data, pauses);
  const first = keptPes(data, pauses, nearNs).find(({ keep }) => !keep);
  return first ? first.pes.from : data.length;
}

/** Time on the egress clock, as a file without the pauses has it: those that came before are taken off. */
export class PauseSeams {
  /** In order. */
  readonly seams: readonly { fromNs: number; toNs: number }[];

  /** @param gaps a log's */
  constructor(gaps: readonly GapLine[]) {
    this.seams = gaps
      .filter(({ reason }) => reason === PAUSED)
      .map(({ startNs, endNs }) => ({ fromNs: startNs, toNs: endNs }))
      .sort((a, b) => a.fromNs - b.fromNs);
  }

  /** What is taken off a time, ns; a time in a pause is moved to where it began. */
  before(atNs: number): number {
    return this.seams.reduce((sum, { fromNs, toNs }) => sum + Math.max(0, Math.min(atNs, toNs) - fromNs), 0);
  }

  /** How long it was paused between a log's first media and its last, ns. */
  inside(log: { chunks: readonly { startNs: number }[] }): number {
    return this.before(log.chunks.at(-1)?.startNs ?? 0) - this.before(log.chunks[0]?.startNs ?? 0);
  }

  /** The time without the pauses before it. */
  closed(atNs: number): number {
    return atNs - this.before(atNs);
  }
}
