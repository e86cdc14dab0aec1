/** What the writer of a segment log is told. */
import type { Logger } from 'pino';
import type { LogContainer } from './files.ts';

export interface SegmentLogOptions {
  /** `<data_dir>/egress/<egress id>`; made when it does not exist. */
  dir: string;
  egressId: string;
  attempt: number;
  /** Wall clock of egress-clock zero, ms since the epoch; the same in every attempt. */
  epochMs: number;
  container: LogContainer;
  /** Seconds of the log that must stay, where nothing is made of the rest; all of it by default. */
  keepS?: number;
  logger: Logger;
}

/** A chunk the pipeline has closed, as it announces it. */
export interface ChunkAnnouncement {
  /** Bare name, or a path to it, inside the attempt's folder. */
  file: string;
  /** Egress clock and length, ns. The chunk's own timestamps are what is written down. */
  startNs: number;
  durationNs: number;
}
