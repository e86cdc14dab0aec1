/** How much comes of subscribed tracks, as the SFU counts it. */
import { z } from 'zod';
import type { BridgeClient } from '../bridge/client.ts';
import type { BridgeSubscription } from '../bridge/protocol.ts';
import type { InputMeasures } from './inputs/types.ts';

const INTERVAL_MS = 2000;

const statsSchema = z.array(
  z.object({ type: z.string(), byteCount: z.number().optional(), bitrate: z.number().optional() }),
);

export class TrackStats {
  readonly #bridge: BridgeClient;
  readonly #subscriptions: readonly BridgeSubscription[];
  readonly #bitrates = new Map<'audio' | 'video', number>();
  readonly #bytes = new Map<string, number>();
  #timer: NodeJS.Timeout | undefined;
  #heardAt = performance.now();

  /** @param subscriptions may still grow */
  constructor(bridge: BridgeClient, subscriptions: readonly BridgeSubscription[]) {
    this.#bridge = bridge;
    this.#subscriptions = subscriptions;
  }

  /** When the count last grew, at most two seconds late. */
  get heardAt(): number {
    return this.#heardAt;
  }

  start(): void {
    this.#timer = setInterval(() => {
      for (const subscription of this.#subscriptions) void this.#read(subscription);
    }, INTERVAL_MS);
  }

  close(): void {
    clearInterval(this.#timer);
  }

  measures(): InputMeasures {
    const video = this.#bitrates.get('video');
    const audio = this.#bitrates.get('audio');
    return {
      // Sizes and frame rate are the pipeline's to tell.
      video: video === undefined ? undefined : { bitrate: video, framerate: 0, width: 0, height: 0 },
      audio: audio === undefined ? undefined : { bitrate: audio },
    };
  }

  async #read({ subscriptionId, kind }: BridgeSubscription): Promise<void> {
    // It may have gone meanwhile: that is told elsewhere.
    const answer = await this.#bridge.request('stats', { subscriptionId }).catch(() => undefined);
    const stats = statsSchema.safeParse(answer?.stats);
    const sent = stats.data?.find(({ type }) => type === 'outbound-rtp');
    if (!sent) return;
    this.#bitrates.set(kind, sent.bitrate ?? 0);
    const bytes = sent.byteCount ?? 0;
    if (bytes > (this.#bytes.get(subscriptionId) ?? 0)) this.#heardAt = performance.now();
    this.#bytes.set(subscriptionId, bytes);
  }
}
