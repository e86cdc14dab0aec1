/** Whether media of a track comes: its publisher may mute it, and it may be held because nobody would see it. */
import type { Logger } from 'pino';
import type { BridgeClient } from '../../bridge/client.ts';
import type { PipelineHost } from '../../pipeline/host.ts';

export interface FeedGateOptions {
  trackId: string;
  kind: 'audio' | 'video';
  bridge: BridgeClient;
  host: PipelineHost;
  logger: Logger;
  /** The subscription; undefined while there is none, and once the feed is over. */
  subscriptionId: () => string | undefined;
}

export class FeedGate {
  readonly #options: FeedGateOptions;
  #muted = false;
  #held = false;

  constructor(options: FeedGateOptions) {
    this.#options = options;
  }

  /** The publisher had muted it already when it was connected; the pipeline knows. */
  begin(muted: boolean): void {
    this.#muted = muted;
  }

  async setMuted(muted: boolean): Promise<void> {
    this.#muted = muted;
    if (!this.#held) await this.#apply();
  }

  /** Stops receiving the track, which stays connected, or goes on with it. */
  async setHeld(held: boolean): Promise<void> {
    const { bridge, logger, trackId } = this.#options;
    const subscriptionId = this.#options.subscriptionId();
    if (subscriptionId === undefined || this.#held === held) return;
    this.#held = held;
    try {
      // The pipeline first: it is not to wait for what does not come.
      if (held) await this.#apply();
      await bridge.request(held ? 'pause' : 'resume', { subscriptionId });
      if (!held) await this.#apply();
      logger.debug({ trackId, held }, 'track held or released');
    } catch (error) {
      logger.warn({ err: error, trackId, held }, 'track not held or released');
    }
  }

  /** Tells the pipeline whether anything of the track is to come. A picture goes on with a keyframe. */
  async #apply(): Promise<void> {
    const { bridge, host, logger, trackId, kind } = this.#options;
    const subscriptionId = this.#options.subscriptionId();
    if (subscriptionId === undefined) return;
    const muted = this.#muted || this.#held;
    try {
      await host.send({ cmd: 'setMuted', trackId, muted });
      if (!muted && kind === 'video') await bridge.request('requestKeyFrame', { subscriptionId });
    } catch (error) {
      logger.warn({ err: error, trackId, muted }, 'mute not applied');
    }
  }
}
