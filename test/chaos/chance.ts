/** Chance that can be had again: the same seed, the same draws. */
export class Chance {
  #state: number;

  /** @param seed a whole number from 1 to 2147483646 */
  constructor(seed: number) {
    this.#state = seed;
  }

  /** 0–1 (Park–Miller). */
  next(): number {
    return (this.#state = (this.#state * 48_271) % 2_147_483_647) / 2_147_483_647;
  }

  between(least: number, most: number): number {
    return least + this.next() * (most - least);
  }

  /** @throws when there is nothing to pick from */
  pick<T>(items: readonly T[]): T {
    const item = items[Math.floor(this.next() * items.length)];
    if (item === undefined) throw new Error('nothing to pick from');
    return item;
  }

  shuffled<T>(items: readonly T[]): T[] {
    const rest = [...items];
    const result: T[] = [];
    while (rest.length > 0) result.push(...rest.splice(Math.floor(this.next() * rest.length), 1));
    return result;
  }
}
