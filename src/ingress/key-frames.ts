/**
 * Keyframe requests that come over the bridge. mediasoup sends a PLI as if from the SSRC it asks, and encrypted RTCP is
 * read by its sender's SSRC, for which no key is there: where RTCP is encrypted, requests take this way.
 */
import type { Logger } from 'pino';
import type { BridgeClient } from '../bridge/client.ts';
import type { RunPipeline } from './source.ts';

/** Each layer is asked by itself, and every answer is a keyframe of all: those that come together are one. */
const LEAST_DISTANCE_MS = 200;

export class KeyFrames {
  readonly #pipeline: Pick<RunPipeline, 'keyFrame'>;
  readonly #logger: Logger;
  readonly #stopListening: () => void;
  #timer: NodeJS.Timeout | undefined;
  #again = false;

  /** @param isOurs whether a publication is this pipeline's */
  constructor(
    bridge: Pick<BridgeClient, 'onEvent'>,
    pipeline: Pick<RunPipeline, 'keyFrame'>,
    isOurs: (publicationId: string) => boolean,
    logger: Logger,
  ) {
    this.#pipeline = pipeline;
    this.#logger = logger;
    this.#stopListening = bridge.onEvent((event) => {
      if (event.event === 'keyFrameRequested' && isOurs(event.publicationId)) this.#request();
    });
  }

  close(): void {
    this.#stopListening();
    clearTimeout(this.#timer);
  }

  #request(): void {
    if (this.#timer !== undefined) {
      this.#again = true;
      return;
    }
    this.#again = false;
    this.#pipeline
      .keyFrame()
      .catch((error: unknown) => this.#logger.debug({ err: error }, 'no keyframe was made'));
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      if (this.#again) this.#request();
    }, LEAST_DISTANCE_MS);
  }
}
