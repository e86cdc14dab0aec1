/** When a destination that failed is tried again, and when there is no more hope. */
import type { DestinationLimits } from './types.ts';

const BACKOFF_MS = { first: 500, most: 10_000 };
/** Live for this long: the next failure is a new one. */
const STABLE_MS = 5000;

export class Retries {
  readonly #limits: Pick<DestinationLimits, 'connectMs' | 'retryMs'>;
  #failingSince: number | undefined;
  #pause = BACKOFF_MS.first;

  constructor(limits: Pick<DestinationLimits, 'connectMs' | 'retryMs'>) {
    this.#limits = limits;
  }

  /** It is tried now: what was waited for before that is not its fault. */
  begin(): void {
    this.#failingSince ??= Date.now();
  }

  /** The connection ended for a reason that is not the destination's. */
  forgive(): void {
    this.#failingSince = undefined;
  }

  /**
   * @param activeMs how long the connection that failed was live
   * @param everLive whether any was
   * @param ours it ended for a fault of ours: the destination does not have to be spared
   * @returns how long to wait, ms; undefined: it is given up
   */
  next(activeMs: number, everLive: boolean, ours = false): number | undefined {
    if (activeMs >= STABLE_MS) this.#failingSince = Date.now();
    if (activeMs >= STABLE_MS || ours) this.#pause = BACKOFF_MS.first;
    this.begin();
    const limit = everLive ? this.#limits.retryMs : this.#limits.connectMs;
    const wait = Math.round(this.#pause * (0.75 + Math.random() / 2));
    this.#pause = Math.min(this.#pause * 2, BACKOFF_MS.most);
    return Date.now() + wait - (this.#failingSince ?? 0) > limit ? undefined : wait;
  }
}
