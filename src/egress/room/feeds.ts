/**
 * Feeds: the tracks that flow from the room into the pipeline. One feed a track: bind a socket in the
 * pipeline, subscribe over the bridge, build the receiver, then let the first packet come. In that order the
 * first keyframe cannot be lost.
 */
import type { Logger } from 'pino';
import type { BridgeClient } from '../../bridge/client.ts';
import type { BridgeEvent, BridgeSubscription } from '../../bridge/protocol.ts';
import { newSrtpKey } from '../../bridge/srtp-key.ts';
import { connectCommand } from './connect-command.ts';
import { FeedGate } from './feed-gate.ts';
import type { PipelineHost } from '../../pipeline/host.ts';
import type { WantedTrack } from './selection.ts';

/** Keyframes asked of a copied track: chunks are about this long. */
export const COPY_KEY_FRAME_INTERVAL_MS = 2000;

/** A feed that failed is tried again after this, growing with each try. */
const RETRY_MS = 500;
const MAX_RETRY_MS = 5000;

export interface Feed {
  readonly wanted: WantedTrack;
  readonly subscription: BridgeSubscription;
}

export interface FeedsOptions {
  bridge: BridgeClient;
  host: PipelineHost;
  /** Address the pipeline binds and the SFU sends to. */
  address: string;
  portRange?: { min: number; max: number } | undefined;
  /** RTP crosses a network: encrypt it. */
  srtp: boolean;
  /** Video is copied: ask for keyframes on a schedule. */
  copyVideo: boolean;
  logger: Logger;
  /** A feed came or went. */
  onChange: () => void;
}

interface Entry {
  wanted: WantedTrack;
  subscription: BridgeSubscription | undefined;
  /** May turn true at any moment. */
  readonly ended: AbortController;
  tries: number;
  retry: NodeJS.Timeout | undefined;
  readonly gate: FeedGate;
  /** Start and stop of one feed never overlap. */
  work: Promise<void>;
}

/** A function, because it may turn true between two looks. */
const isOver = (entry: Entry): boolean => entry.ended.signal.aborted;

export class Feeds {
  readonly #options: FeedsOptions;
  readonly #entries = new Map<string, Entry>();
  /** Feeds that are being given back: their track can be bound again only afterwards. */
  readonly #leaving = new Map<string, Promise<void>>();
  readonly #stopEvents: () => void;
  #closed = false;

  constructor(options: FeedsOptions) {
    this.#options = options;
    this.#stopEvents = options.bridge.onEvent((event) => this.#onBridgeEvent(event));
  }

  /** Feeds that flow, or would if they were not muted. */
  current(): Feed[] {
    return [...this.#entries.values()].flatMap(({ wanted, subscription, ended }) =>
      subscription && !ended.signal.aborted ? [{ wanted, subscription }] : [],
    );
  }

  get(trackId: string): Feed | undefined {
    return this.current().find(({ wanted }) => wanted.track.trackId === trackId);
  }

  /** Makes the feeds what `wanted` says; answers at once, the work goes on. */
  sync(wanted: readonly WantedTrack[]): void {
    if (this.#closed) return;
    const wantedIds = new Map(wanted.map((each) => [each.track.trackId, each]));
    for (const [trackId, entry] of this.#entries) {
      // Gone, or republished.
      const still = wantedIds.get(trackId);
      if (still?.track.producerId !== entry.wanted.track.producerId) this.#stop(trackId, entry);
    }
    for (const [trackId, each] of wantedIds) {
      if (!this.#entries.has(trackId)) this.#start(trackId, each);
    }
  }

  /** The pipeline has given the track's receiver up: the track is connected anew, after a while. */
  failed(trackId: string, message: string): void {
    const entry = this.#entries.get(trackId);
    if (entry) this.#onFailure(trackId, entry, new Error(message));
  }

  /** Stops receiving a track that stays connected, or goes on with it; a picture goes on with a keyframe. */
  hold(trackId: string, held: boolean): void {
    const entry = this.#entries.get(trackId);
    if (entry) entry.work = entry.work.then(() => entry.gate.setHeld(held));
  }

  /** Asks the publishers of all pictures for a keyframe. */
  requestKeyFrames(): void {
    const { bridge, logger } = this.#options;
    for (const { wanted, subscription } of this.current()) {
      if (wanted.track.kind !== 'video') continue;
      bridge
        .request('requestKeyFrame', { subscriptionId: subscription.subscriptionId })
        .catch((error: unknown) => logger.debug({ err: error }, 'no keyframe asked for'));
    }
  }

  /** Gives every subscription back. The pipeline's side goes with the pipeline. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#stopEvents();
    const entries = [...this.#entries.values()];
    this.#entries.clear();
    await Promise.all(
      entries.map(async (entry) => {
        entry.ended.abort();
        clearTimeout(entry.retry);
        await entry.work;
        await this.#unsubscribe(entry);
      }),
    );
  }

  #start(trackId: string, wanted: WantedTrack, tries = 0): void {
    const { bridge, host, logger } = this.#options;
    const ended = new AbortController();
    const subscriptionId = () => (ended.signal.aborted ? undefined : entry.subscription?.subscriptionId);
    const entry: Entry = {
      wanted,
      subscription: undefined,
      ended,
      tries,
      retry: undefined,
      gate: new FeedGate({ trackId, kind: wanted.track.kind, bridge, host, logger, subscriptionId }),
      work: Promise.resolve(),
    };
    this.#entries.set(trackId, entry);
    entry.work = Promise.resolve(this.#leaving.get(trackId))
      .then(() => this.#open(entry))
      .catch((error: unknown) => this.#onFailure(trackId, entry, error));
  }

  #stop(trackId: string, entry: Entry): void {
    this.#entries.delete(trackId);
    entry.ended.abort();
    clearTimeout(entry.retry);
    entry.work = entry.work.then(async () => {
      await this.#options.host
        .send({ cmd: 'disconnect', trackId })
        .catch((error: unknown) => this.#options.logger.debug({ err: error, trackId }, 'disconnect'));
      await this.#unsubscribe(entry);
    });
    const gone = entry.work;
    this.#leaving.set(trackId, gone);
    void gone.then(() => {
      if (this.#leaving.get(trackId) === gone) this.#leaving.delete(trackId);
    });
    this.#options.onChange();
  }

  async #open(entry: Entry): Promise<void> {
    if (isOver(entry)) return;
    const { bridge, host, address, portRange, srtp, copyVideo, logger } = this.#options;
    const { track } = entry.wanted;
    const { trackId } = track;
    const { port } = await host.send({
      cmd: 'bind',
      trackId,
      ip: address,
      ...(portRange && { portMin: portRange.min, portMax: portRange.max }),
    });
    const local = srtp ? newSrtpKey() : undefined;
    const subscription = await bridge.request('subscribe', {
      trackId,
      ip: address,
      port,
      ...(local && { srtp: local }),
    });
    entry.subscription = subscription;
    entry.gate.begin(subscription.producerPaused);
    if (isOver(entry)) return;
    if (local && !subscription.srtp)
      throw new Error('the SFU answered without SRTP keys although SRTP was asked for');
    await host.send(connectCommand(entry.wanted, subscription, local));
    if (isOver(entry)) return;
    const { subscriptionId } = subscription;
    await bridge.request('resume', { subscriptionId });
    if (track.kind === 'video') {
      await bridge.request('requestKeyFrame', { subscriptionId });
      if (copyVideo) {
        await bridge.request('keyFrameCadence', { subscriptionId, intervalMs: COPY_KEY_FRAME_INTERVAL_MS });
      }
    }
    entry.tries = 0;
    logger.info({ trackId, mimeType: track.mimeType, identity: entry.wanted.identity }, 'track connected');
    this.#options.onChange();
  }

  #onFailure(trackId: string, entry: Entry, error: unknown): void {
    if (isOver(entry) || this.#closed) return;
    clearTimeout(entry.retry);
    const delay = Math.min(RETRY_MS * 2 ** entry.tries, MAX_RETRY_MS);
    this.#options.logger.warn({ err: error, trackId, delay }, 'track not connected, trying again');
    entry.retry = setTimeout(() => {
      if (this.#entries.get(trackId) !== entry) return;
      this.#stop(trackId, entry);
      void entry.work.then(() => {
        if (!this.#closed && !this.#entries.has(trackId)) this.#start(trackId, entry.wanted, entry.tries + 1);
      });
    }, delay);
  }

  async #unsubscribe(entry: Entry): Promise<void> {
    const subscriptionId = entry.subscription?.subscriptionId;
    if (subscriptionId === undefined) return;
    // It may be gone already, with its track or with the bridge.
    await this.#options.bridge
      .request('unsubscribe', { subscriptionId })
      .catch((error: unknown) => this.#options.logger.debug({ err: error }, 'unsubscribe'));
  }

  #onBridgeEvent(event: BridgeEvent): void {
    if (event.event === 'trackMuted') {
      const entry = this.#entries.get(event.trackId);
      if (entry) entry.work = entry.work.then(() => entry.gate.setMuted(event.muted));
    } else if (event.event === 'subscriptionClosed') {
      const entry = this.#entries.get(event.trackId);
      if (entry && entry.subscription?.subscriptionId === event.subscriptionId) {
        entry.subscription = undefined;
        this.#stop(event.trackId, entry);
      }
    }
  }
}
