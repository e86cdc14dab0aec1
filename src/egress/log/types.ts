/**
 * The segment log: an egress's source of truth on disk.
 *
 *     <data_dir>/egress/<egress id>/
 *       attempt-1/index.jsonl     append-only, one {@link IndexLine} a line
 *       attempt-1/r0-000000.ts    chunks: each starts with PAT, PMT and a keyframe (TS) or a whole header (Matroska)
 *       attempt-2/index.jsonl     first line says how much of attempt 1 counts
 *       attempt-2/broadcast-0.jsonl   which segments of fragmented MP4 are stored; no part of the log: it may be missing
 *
 * `attempt` counts jobs (another worker took over), `run` pipelines within one job (the process was restarted).
 * Times are on the egress clock: nanoseconds since the egress started, whichever attempt.
 */

export interface VideoStreamInfo {
  /** `h264`, `vp8`, `vp9`. */
  codec: string;
  width: number;
  height: number;
  profile?: string;
  /** SHA-256 (hex, 16 chars) of SPS+PPS, or of codec and size: differs where a decoder must be reconfigured. */
  parametersHash: string;
}

export interface AudioStreamInfo {
  /** `aac`, `opus`. */
  codec: string;
  sampleRate: number;
  channels: number;
}

/** One closed chunk. */
export interface ChunkLine {
  type: 'chunk';
  attempt: number;
  run: number;
  number: number;
  /** File name inside the attempt's folder. */
  file: string;
  /** Egress clock, ns: lowest presentation time in the chunk. */
  startNs: number;
  /** ns up to the next chunk's start as far as known when closed. */
  durationNs: number;
  /** Wall clock of `startNs`, ms since the epoch. */
  wallMs: number;
  bytes: number;
  videoFrames: number;
  audioFrames: number;
  keyFrames: number;
  /** Parameter sets in the order they appear; more than one means the stream changed inside the chunk. */
  video: VideoStreamInfo[];
  audio: AudioStreamInfo | null;
  /** Written by a reader that found the chunk on disk without a line (its worker was killed). */
  recovered?: true;
  /** The file was shorter than whole TS packets or Matroska blocks; what is whole counts. */
  truncatedBytes?: number;
}

/** Media that should be there and is not. */
export interface GapLine {
  type: 'gap';
  startNs: number;
  endNs: number;
  reason: string;
}

export interface EventLine {
  type: 'event';
  /** Egress clock, ns. */
  atNs: number;
  wallMs: number;
  name:
    | 'mute'
    | 'unmute'
    | 'pause'
    | 'resume'
    | 'join'
    | 'leave'
    | 'publish'
    | 'unpublish'
    | 'marker'
    | 'metadata'
    | 'clock'
    | 'stall'
    | 'flow'
    | 'pipeline_restart';
  data?: Record<string, string | number | boolean>;
}

/** What counts of an older attempt once a newer one has begun (the fence on disk). */
export interface Seal {
  attempt: number;
  indexBytes: number;
  /** Chunk files without an index line, with the bytes that count. */
  unlisted: { file: string; bytes: number }[];
}

/** First line of an attempt's index. */
export interface AttemptLine {
  type: 'attempt';
  attempt: number;
  egressId: string;
  /** Wall clock of egress-clock zero, ms since the epoch; the same in every attempt. */
  epochMs: number;
  container: 'mpegts' | 'matroska';
  seals: Seal[];
}

/** Last line: the log is complete. */
export interface EndLine {
  type: 'end';
  atNs: number;
}

/**
 * The log begins with this chunk: those before it, of whichever attempt, were removed because no output is made of
 * them. Written before their files go. What was missing between them has its gap lines, which stay.
 */
export interface DroppedLine {
  type: 'dropped';
  attempt: number;
  run: number;
  number: number;
}

export type IndexLine = AttemptLine | ChunkLine | GapLine | EventLine | DroppedLine | EndLine;

/** A chunk with the absolute path of its file. */
export interface Chunk extends ChunkLine {
  path: string;
}
