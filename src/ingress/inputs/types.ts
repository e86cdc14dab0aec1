/** What an input gives: bytes of one container, what is in them, how much of it comes, and how it ended. */
import type { Readable } from 'node:stream';

/** Lower-case codec names as FFmpeg has them: `h264`, `hevc`, `vp8`, `mjpeg`, `aac`, `opus`, `mp3`, `speex`, `pcm_mulaw`… */
export interface InputVideo {
  codec: string;
  /** e.g. `High`; empty when unknown. */
  profile: string;
  /** Pixels as coded, before rotation; 0 when unknown. */
  width: number;
  height: number;
  /** Clockwise, of the container. */
  rotation: 0 | 90 | 180 | 270;
  /** Frames a second as declared; undefined when it is not. */
  framerate: number | undefined;
  /** Whether frames are shown in another order than they are coded; undefined for a codec we do not look into. */
  bFrames: boolean | undefined;
}

export interface InputAudio {
  /** The source's. */
  codec: string;
  /** What the bytes carry instead, where it had to be decoded on the way. */
  carriedAs?: string;
  /** Hz; 0 when unknown. */
  sampleRate: number;
  channels: number;
}

/** What has been seen of a stream so far; bit/s and frames/s over the last seconds of media. */
export interface InputMeasures {
  video: { bitrate: number; framerate: number; width: number; height: number } | undefined;
  audio: { bitrate: number } | undefined;
}

export type InputEnd =
  /** It has played to its end, or its sender said goodbye for good. */
  | { type: 'complete' }
  /** It broke off; a source that is pulled is pulled again. `reason` is for people and shows no secret. */
  | { type: 'lost'; reason: string };

/** One connection to a source, from its first bytes to its end. */
export interface InputConnection {
  readonly container: 'flv' | 'matroska';
  readonly video: InputVideo | undefined;
  readonly audio: InputAudio | undefined;
  /** `arrival`: live, on as it comes. `timestamps`: a file or HLS, read as fast as it is played. */
  readonly pacing: 'arrival' | 'timestamps';
  /** The container from its beginning; to be read by one reader, with backpressure. Ends when the source does. */
  readonly data: Readable;
  measures(): InputMeasures;
  /** Settles when the source has ended or {@link close} was called; never rejects. */
  readonly ended: Promise<InputEnd>;
  /** Ends it and everything it owns (processes, sockets, temp files). May be called more than once. */
  close(): Promise<void>;
}

/** A source that can be connected to, again and again. */
export interface Input {
  /**
   * Answers when it is known what the source holds.
   * @throws InputError; the signal's reason when aborted (nothing is left behind)
   */
  connect(signal: AbortSignal): Promise<InputConnection>;
}

export class InputError extends Error {
  override readonly name = 'InputError';
  /** False when trying again cannot help: forbidden, no media in it, no such file. */
  readonly retry: boolean;
  constructor(message: string, options: { retry: boolean; cause?: unknown }) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.retry = options.retry;
  }
}
