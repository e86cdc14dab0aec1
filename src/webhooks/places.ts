/** So many places a name; who finds them taken waits a moment for one. */
export class Places {
  readonly #limit: number;
  readonly #taken = new Map<string, number>();
  readonly #waiting = new Map<string, Set<() => void>>();

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** False when none got free within `waitMs`. Who gets true calls {@link leave} in the end. */
  async enter(name: string, waitMs: number): Promise<boolean> {
    const taken = this.#taken.get(name) ?? 0;
    if (taken < this.#limit) {
      this.#taken.set(name, taken + 1);
      return true;
    }
    return new Promise((resolve) => {
      const waiting = this.#waiting.get(name) ?? new Set();
      this.#waiting.set(name, waiting);
      const enter = (): void => {
        clearTimeout(timer);
        resolve(true);
      };
      const timer = setTimeout(() => {
        waiting.delete(enter);
        resolve(false);
      }, waitMs);
      waiting.add(enter);
    });
  }

  /** Hands the place to who has waited longest. */
  leave(name: string): void {
    const waiting = this.#waiting.get(name);
    const [next] = waiting ?? [];
    if (waiting !== undefined && next !== undefined) {
      waiting.delete(next);
      next();
      return;
    }
    this.#waiting.delete(name);
    const left = (this.#taken.get(name) ?? 1) - 1;
    if (left > 0) this.#taken.set(name, left);
    else this.#taken.delete(name);
  }
}
