/** What the inspectors of both containers have in common. */
import type { InputAudio, InputError, InputMeasures, InputVideo } from '../types.ts';

export interface InputDescription {
  video: InputVideo | undefined;
  audio: InputAudio | undefined;
}

/** Reads a container as it passes, in pieces of any size. Never throws; memory is bounded. */
export interface StreamInspector {
  push(bytes: Buffer): void;
  /**
   * Nothing more will come, or nobody wants to wait longer: {@link description} becomes what has been seen, if that is
   * anything.
   */
  settle(): void;
  /**
   * Defined once enough was seen to decide what to do with the source: codecs, sizes, and for H.264 whether there are
   * B-frames. Does not change any more then.
   */
  readonly description: InputDescription | undefined;
  /** Why nothing can be read any more: the bytes are not this container, or not whole. */
  readonly failure: InputError | undefined;
  /** Over the last seconds of media; `undefined` kinds are those that the source does not have. */
  measures(): InputMeasures;
}

/** Bytes of a frame's beginning that are looked at; headers of real streams fit many times. */
export const HEAD_BYTES = 64 * 1024;
