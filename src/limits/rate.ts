/** So many a second from one peer, with bursts: a token bucket each. */

export interface RateOptions {
  /** On average. */
  perSecond: number;
  /** At once, after a pause. */
  burst: number;
  /** Peers remembered; beyond that the least recent are forgotten, and begin anew. Default 10,000. */
  maxPeers?: number;
}

interface Bucket {
  tokens: number;
  /** ms. */
  at: number;
}

const MAX_PEERS = 10_000;

export class RateLimit {
  readonly #options: RateOptions;
  /** Least recent first. */
  readonly #buckets = new Map<string, Bucket>();

  constructor(options: RateOptions) {
    this.#options = options;
  }

  /**
   * Takes one.
   * @param now ms, of any clock that does not jump
   * @returns 0, or the seconds until there is one again
   */
  take(peer: string, now: number = performance.now()): number {
    const { perSecond, burst, maxPeers = MAX_PEERS } = this.#options;
    const before = this.#buckets.get(peer) ?? { tokens: burst, at: now };
    const tokens = Math.min(burst, before.tokens + ((now - before.at) / 1000) * perSecond);
    this.#buckets.delete(peer);
    this.#buckets.set(peer, { tokens: tokens >= 1 ? tokens - 1 : tokens, at: now });
    if (this.#buckets.size > maxPeers) {
      const [oldest] = this.#buckets.keys();
      if (oldest !== undefined) this.#buckets.delete(oldest);
    }
    return tokens >= 1 ? 0 : (1 - tokens) / perSecond;
  }
}
