/** The simulcast layer a subscription prefers, taken as soon as it can be. */
import type { types as ms } from 'mediasoup';

/** How often a better layer that is sent is asked for. A sender report, which is waited for, comes once a second. */
const RETRY_MS = 500;

/**
 * mediasoup 3.27 looks at a layer when its first packet and when its first sender report come, but can only
 * switch to it from the packet after that report on; where it estimates bandwidth it looks again and again, on
 * a PlainTransport never. So a layer that a browser begins to send late, when it has found the bandwidth, would
 * never be received. Preferring the current layer and then the preferred one again makes it look, and changes
 * nothing when there is nothing better.
 */
export class PreferredLayers {
  readonly #consumer: ms.Consumer;
  #preferred: ms.ConsumerLayers;
  #timer: NodeJS.Timeout | undefined;

  /** @param layers how many the track has */
  constructor(consumer: ms.Consumer, layers: number) {
    this.#consumer = consumer;
    this.#preferred = { spatialLayer: layers - 1 };
    if (layers < 2) return;
    consumer.on('score', () => this.#check());
    consumer.on('layerschange', () => this.#check());
    consumer.observer.once('close', () => clearTimeout(this.#timer));
  }

  async prefer(layers: ms.ConsumerLayers): Promise<void> {
    this.#preferred = layers;
    await this.#consumer.setPreferredLayers(layers);
    this.#check();
  }

  /** The layer received now, when a better one is preferred and sent. */
  #tooLow(): number | undefined {
    const { currentLayers, score, closed } = this.#consumer;
    if (closed || !currentLayers) return undefined;
    const { spatialLayer: current } = currentLayers;
    const better = score.producerScores.slice(current + 1, this.#preferred.spatialLayer + 1);
    return better.some((each) => each > 0) ? current : undefined;
  }

  #check(): void {
    if (this.#tooLow() === undefined) return;
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      void this.#lookAgain();
    }, RETRY_MS);
  }

  async #lookAgain(): Promise<void> {
    const current = this.#tooLow();
    if (current === undefined) return;
    try {
      await Promise.all([
        this.#consumer.setPreferredLayers({ spatialLayer: current }),
        this.#consumer.setPreferredLayers(this.#preferred),
      ]);
    } catch {
      // The consumer or its worker has gone meanwhile.
      return;
    }
    this.#check();
  }
}
