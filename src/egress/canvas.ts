/** The composite's picture: lays out the feeds, and receives of each the simulcast layer that fits its tile. */
import type { Logger } from 'pino';
import type { BridgeClient } from '../bridge/client.ts';
import type { BridgeEvent } from '../bridge/protocol.ts';
import type { PipelineHost } from '../pipeline/host.ts';
import type { PipelineEvent, Tile } from '../../pipelines/shared/protocol.ts';
import type { Feed, Feeds } from './feeds.ts';
import { layerForTile, topLayerHeight } from './layers.ts';
import { gridLayout, singleLayout } from './layout.ts';
import type { Canvas } from './layout.ts';

/** Taken for the top layer until a picture has been seen. */
const ASSUMED_TOP_HEIGHT = 720;

export class CanvasKeeper {
  readonly #size: Canvas;
  readonly #layout: 'grid' | 'single';
  readonly #bridge: BridgeClient;
  readonly #host: PipelineHost;
  readonly #feeds: Feeds;
  readonly #logger: Logger;
  /** By track: what the layers turned out to be. */
  readonly #topHeight = new Map<string, number>();
  /** By subscription: layer received now, and the one asked for. */
  readonly #currentLayer = new Map<string, number>();
  readonly #preferred = new Map<string, number>();
  readonly #stopListening: () => void;
  #tiles: Tile[] = [];

  constructor(options: {
    size: Canvas;
    layout: 'grid' | 'single';
    bridge: BridgeClient;
    host: PipelineHost;
    feeds: Feeds;
    logger: Logger;
  }) {
    this.#size = options.size;
    this.#layout = options.layout;
    this.#bridge = options.bridge;
    this.#host = options.host;
    this.#feeds = options.feeds;
    this.#logger = options.logger;
    this.#stopListening = options.bridge.onEvent((event) => this.#onBridgeEvent(event));
  }

  /** Call when feeds came or went. `order`: track ids in the order they are to be shown. */
  update(order: readonly string[]): void {
    const feeds = this.#feeds.current().filter(({ subscription }) => subscription.kind === 'video');
    const present = new Set(feeds.map(({ wanted }) => wanted.track.trackId));
    const shown = order.filter((trackId) => present.has(trackId));
    const tiles = (this.#layout === 'grid' ? gridLayout : singleLayout)(shown, this.#size);
    if (JSON.stringify(tiles) !== JSON.stringify(this.#tiles)) {
      this.#tiles = tiles;
      this.#host
        .send({ cmd: 'layout', tiles })
        .catch((error: unknown) => this.#logger.warn({ err: error }, 'layout not applied'));
    }
    for (const feed of feeds) this.#preferLayer(feed);
  }

  /** The pipeline has seen a picture's size. */
  onPipelineEvent(event: PipelineEvent): void {
    if (event.event !== 'trackFormat' || event.height === undefined) return;
    const feed = this.#feeds.get(event.trackId);
    if (!feed || feed.subscription.spatialLayers < 2) return;
    const { subscriptionId, spatialLayers } = feed.subscription;
    const layer = this.#currentLayer.get(subscriptionId);
    if (layer === undefined) return;
    // Only ever upwards: a picture of the layer before may still be in the pipeline.
    const top = topLayerHeight(event.height, layer, spatialLayers);
    this.#topHeight.set(event.trackId, Math.max(top, this.#topHeight.get(event.trackId) ?? 0));
    this.#preferLayer(feed);
  }

  close(): void {
    this.#stopListening();
  }

  #onBridgeEvent(event: BridgeEvent): void {
    if (event.event !== 'layersChanged') return;
    // Also temporal layers change.
    if (event.spatialLayer === (this.#currentLayer.get(event.subscriptionId) ?? null)) return;
    if (event.spatialLayer === null) this.#currentLayer.delete(event.subscriptionId);
    else this.#currentLayer.set(event.subscriptionId, event.spatialLayer);
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
