/** The composite's picture: shows what the stage says, and receives of each feed the simulcast layer that fits its tile. */
import type { Logger } from 'pino';
import type { BridgeClient } from '../../bridge/client.ts';
import type { BridgeEvent } from '../../bridge/protocol.ts';
import type { PipelineHost } from '../../pipeline/host.ts';
import type { PipelineEvent, Tile } from '../../../pipelines/shared/protocol.ts';
import type { Feed, Feeds } from '../room/feeds.ts';
import { layerForTile, topLayerHeight } from './layers.ts';
import type { LayerChange } from './layers.ts';
import type { Canvas } from './layout.ts';
import type { WantedTrack } from '../room/selection.ts';
import type { Background, Scene, Stage } from './stage.ts';
import { Voices } from './voices.ts';
import { Warmth } from './warmth.ts';

/** Taken for the top layer until a picture has been seen. */
const ASSUMED_TOP_HEIGHT = 720;

/** Events that may change what is seen although no feed comes or goes. */
const SEEN: ReadonlySet<BridgeEvent['event']> = new Set([
  'activeSpeakers',
  'trackMuted',
  'participantUpdated',
]);

export class CanvasKeeper {
  readonly #size: Canvas;
  readonly #stage: Stage;
  readonly #bridge: BridgeClient;
  readonly #host: PipelineHost;
  readonly #feeds: Feeds;
  readonly #logger: Logger;
  /** By track: what the layers turned out to be. */
  readonly #topHeight = new Map<string, number>();
  /** By subscription: layer received now, and the one asked for. */
  readonly #currentLayer = new Map<string, LayerChange>();
  readonly #preferred = new Map<string, number>();
  /** By track: width by height. */
  readonly #aspects = new Map<string, number>();
  readonly #voices = new Voices();
  readonly #warmth = new Warmth();
  readonly #stopListening: (() => void)[];
  #wanted: readonly WantedTrack[] = [];
  #tiles: Tile[] = [];
  /** The one the pipeline began with. */
  #background: Background;
  #again: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(options: {
    size: Canvas;
    stage: Stage;
    bridge: BridgeClient;
    host: PipelineHost;
    feeds: Feeds;
    logger: Logger;
  }) {
    this.#size = options.size;
    this.#stage = options.stage;
    this.#background = options.stage.background;
    this.#bridge = options.bridge;
    this.#host = options.host;
    this.#feeds = options.feeds;
    this.#logger = options.logger;
    this.#stopListening = [
      options.bridge.onEvent((event) => this.#onBridgeEvent(event)),
      options.stage.onChange(() => this.#show()),
    ];
  }

  /** Call when feeds came or went. `wanted`: pictures in the order they are to be shown. */
  update(wanted: readonly WantedTrack[]): void {
    this.#wanted = wanted.filter(({ track }) => track.kind === 'video');
    this.#show();
  }

  /** The pipeline has seen a picture's size, or heard a voice. */
  onPipelineEvent(event: PipelineEvent): void {
    if (event.event === 'trackLevel') this.#onLevel(event.trackId, event.rms);
    if (event.event !== 'trackFormat' || event.height === undefined) return;
    if (event.width !== undefined) {
      this.#aspects.set(event.trackId, event.width / event.height);
      this.#show();
    }
    const feed = this.#feeds.get(event.trackId);
    if (!feed || feed.subscription.spatialLayers < 2) return;
    const { subscriptionId, spatialLayers } = feed.subscription;
    const change = this.#currentLayer.get(subscriptionId);
    if (!change) return;
    const known = this.#topHeight.get(event.trackId);
    const top = topLayerHeight(event.height, change, {
      ...{ layers: spatialLayers, known, nowMs: performance.now() },
    });
    this.#topHeight.set(event.trackId, top);
    this.#preferLayer(feed);
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#again);
    for (const stop of this.#stopListening) stop();
  }

  #show(): void {
    if (this.#closed) return;
    clearTimeout(this.#again);
    const feeds = this.#feeds.current().filter(({ subscription }) => subscription.kind === 'video');
    const present = new Set(feeds.map(({ wanted }) => wanted.track.trackId));
    const nowMs = performance.now();
    const speakers = this.#voices.speakers(this.#bridge.activeSpeakers, nowMs);
    const scene = this.#stage.scene({
      pictures: this.#wanted.filter(({ track }) => present.has(track.trackId)),
      participants: this.#bridge.participants,
      speakers,
      canvas: this.#size,
      aspects: this.#aspects,
      nowMs,
    });
    this.#apply(scene);
    const coolAtMs = this.#receive(feeds, speakers, nowMs);
    const againAtMs = Math.min(scene.againAtMs ?? Infinity, coolAtMs ?? Infinity);
    if (againAtMs !== Infinity) {
      this.#again = setTimeout(() => this.#show(), Math.max(0, againAtMs - nowMs) + 1);
    }
    for (const feed of feeds) this.#preferLayer(feed);
  }

  /** Lets go of pictures nobody sees. Whoever speaks may be seen soon, and so may a screen whose first picture comes. */
  #receive(feeds: readonly Feed[], speakers: readonly string[], nowMs: number): number | undefined {
    const shown = new Set(this.#tiles.map(({ trackId }) => trackId));
    const needed = feeds.filter(
      ({ wanted: { track, identity } }) =>
        shown.has(track.trackId) || speakers.includes(identity) || track.source === 'screen_share',
    );
    const { warm, cold, againAtMs } = this.#warmth.update(
      feeds.map(({ wanted }) => wanted.track.trackId),
      new Set(needed.map(({ wanted }) => wanted.track.trackId)),
      nowMs,
    );
    for (const trackId of warm) this.#feeds.hold(trackId, false);
    for (const trackId of cold) this.#feeds.hold(trackId, true);
    return againAtMs;
  }

  #apply({ tiles, background }: Scene): void {
    if (background === this.#background && JSON.stringify(tiles) === JSON.stringify(this.#tiles)) return;
    this.#tiles = tiles;
    this.#background = background;
    this.#host
      .send({ cmd: 'layout', tiles, background })
      .catch((error: unknown) => this.#logger.warn({ err: error }, 'layout not applied'));
  }

  #onLevel(trackId: string, rms: number): void {
    const feed = this.#feeds.get(trackId);
    if (!feed) return;
    this.#voices.heard(feed.wanted.identity, rms, performance.now());
    this.#show();
  }

  #onBridgeEvent(event: BridgeEvent): void {
    if (SEEN.has(event.event)) this.#show();
    if (event.event !== 'layersChanged') return;
    // Also temporal layers change.
    const before = this.#currentLayer.get(event.subscriptionId)?.layer;
    if (event.spatialLayer === (before ?? null)) return;
    if (event.spatialLayer === null) this.#currentLayer.delete(event.subscriptionId);
    else
      this.#currentLayer.set(event.subscriptionId, {
        ...{ layer: event.spatialLayer, before, atMs: performance.now() },
      });
    const feed = this.#feeds
      .current()
      .find(({ subscription }) => subscription.subscriptionId === event.subscriptionId);
    if (!feed || feed.subscription.spatialLayers < 2) return;
    const { trackId } = feed.wanted.track;
    this.#logger.info(
      { trackId, spatialLayer: event.spatialLayer, preferred: this.#preferred.get(event.subscriptionId) },
      'layer received',
    );
  }

  #preferLayer({ wanted, subscription }: Feed): void {
    if (subscription.spatialLayers < 2) return;
    const { trackId } = wanted.track;
    const tile = this.#tiles.find((each) => each.trackId === trackId);
    const spatialLayer = tile
      ? layerForTile(
          // The picture is letterboxed: 16:9 is what cameras send.
          Math.min(tile.height, (tile.width * 9) / 16),
          this.#topHeight.get(trackId) ?? ASSUMED_TOP_HEIGHT,
          subscription.spatialLayers,
        )
      : 0;
    if (this.#preferred.get(subscription.subscriptionId) === spatialLayer) return;
    this.#preferred.set(subscription.subscriptionId, spatialLayer);
    this.#bridge
      .request('setPreferredLayers', { subscriptionId: subscription.subscriptionId, spatialLayer })
      .catch((error: unknown) => this.#logger.warn({ err: error, trackId }, 'simulcast layer not preferred'));
  }
}
