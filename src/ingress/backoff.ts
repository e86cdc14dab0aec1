/** How long to wait before a source is connected again. */

const FIRST_MS = 500;
const MOST_MS = 10_000;

export class Backoff {
  #nextMs = FIRST_MS;

  /** Milliseconds to wait now; each time twice as long. */
  next(): number {
    const ms = this.#nextMs;
    this.#nextMs = Math.min(ms * 2, MOST_MS);
    return ms;
  }

  /** Media has flowed. */
  reset(): void {
    this.#nextMs = FIRST_MS;
  }
}

/** Counts what must not happen too often. */
export class Limit {
  readonly #most: number;
  readonly #windowMs: number;
  #times: number[] = [];

  constructor(most: number, windowMs: number) {
    this.#most = most;
    this.#windowMs = windowMs;
  }

  /** It has happened. @returns whether it has more than `most` times within the window */
  exceeded(now = performance.now()): boolean {
    this.#times = [...this.#times.filter((time) => now - time < this.#windowMs), now];
    return this.#times.length > this.#most;
  }
}
