/** How long a page that fails is brought back. */

/** A page that fails is brought back, at most so many times within the window. */
const MAX_FAILURES = 3;
const WINDOW_MS = 60_000;
/** One that cannot be brought back is given up after so many tries in a row, however long they take. */
const MAX_TRIES = 3;

export class Patience {
  readonly #failures: number[] = [];
  #tries = 0;

  /** It has failed. @returns why it is given up; undefined: it is to be brought back */
  failed(): string | undefined {
    const now = Date.now();
    this.#failures.push(now);
    const recent = this.#failures.filter((at) => now - at < WINDOW_MS).length;
    if (this.#tries >= MAX_TRIES) return `could not be brought back, ${this.#tries} times in a row`;
    return recent > MAX_FAILURES ? `failed ${recent} times in a minute` : undefined;
  }

  /** It was to be brought back. @param back whether it was */
  tried(back: boolean): void {
    this.#tries = back ? 0 : this.#tries + 1;
  }
}
