/** What every kind of file view takes and answers. */
import type { Logger } from 'pino';
import type { SegmentLog } from '../../log/reader.ts';
import type { GapLine } from '../../log/types.ts';

export interface FileViewOptions {
  log: SegmentLog;
  /** Where the file goes; it appears there when it is finished, or not at all. Its folder must exist. */
  path: string;
  logger: Logger;
  /** What sound that has to be encoded again becomes; 128 kbit/s (MP3: 192) unless it is said. */
  audio?: { bitrate: number } | undefined;
  signal?: AbortSignal;
  /** FFmpeg that stands still for this long is ended and run once more, ms. */
  hungMs?: number;
  /** Share of the log that has been worked through, 0 to 1. */
  onProgress?: (done: number) => void;
}

export interface FileViewResult {
  path: string;
  bytes: number;
  /** Of the media, ns. */
  durationNs: number;
  /** Egress clock of the file's first frame, ns. */
  startNs: number;
  videoFrames: number;
  audioFrames: number;
  /** The picture was encoded again, because its parameters changed on the way. */
  reencoded: boolean;
  /** What is missing in the file: the log's gaps, and frames that were lost making it. */
  gaps: GapLine[];
}
