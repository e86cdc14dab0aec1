/** What looking into a chunk's bytes tells, the same for both containers. */
import type { AudioStreamInfo, VideoStreamInfo } from './types.ts';

export { InspectError } from '../../media/errors.ts';

export interface VideoInspection {
  /** Whole access units. */
  frames: number;
  keyFrames: number;
  /** The first access unit is a keyframe. */
  startsWithKeyFrame: boolean;
  /** Lowest presentation time and end of the last frame (its length taken from the average), egress clock, ns. */
  startNs: number;
  endNs: number;
  /** Parameter sets in the order they came into force. */
  infos: VideoStreamInfo[];
  /** Where a keyframe with another parameter set than the one before it begins (byte offset, presentation time). */
  changes: { offset: number; atNs: number }[];
}

export interface AudioInspection {
  /** AAC: ADTS frames; Opus: packets. */
  frames: number;
  startNs: number;
  endNs: number;
  info: AudioStreamInfo;
}

export interface Inspection {
  bytes: number;
  /** Length of the prefix that holds only whole packets and whole frames; what is counted is inside it. */
  wholeBytes: number;
  video: VideoInspection | null;
  audio: AudioInspection | null;
  /** Places where bytes are damaged or missing in the middle: lost sync, continuity errors. */
  damaged: number;
}

export interface InspectOptions {
  /** The writer closed the file: what ends exactly at its end is whole, even where no length says so. */
  closed: boolean;
  /** Egress-clock time the chunk is near to, ns: unwraps MPEG-TS's 26.5 h timestamps. */
  nearNs: number;
}
