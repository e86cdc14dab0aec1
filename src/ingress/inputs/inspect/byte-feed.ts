/** Lets a parser of a stream be written as if all bytes were there: it waits, as a generator, for those to come. */

/** A parser: it is resumed whenever more bytes are there, and reads them with `yield*` from its feed. */
export type Parser = Generator<undefined, void, undefined>;
type Reading<T> = Generator<undefined, T, undefined>;

export class ByteFeed {
  #chunks: Buffer[] = [];
  #length = 0;
  /** Bytes read or skipped so far. */
  #position = 0;

  get position(): number {
    return this.#position;
  }

  push(bytes: Buffer): void {
    if (bytes.length === 0) return;
    this.#chunks.push(bytes);
    this.#length += bytes.length;
  }

  clear(): void {
    this.#chunks = [];
    this.#length = 0;
  }

  /** The next bytes; only as many are held while the parser waits, so callers bound `count`. */
  *take(count: number): Reading<Buffer> {
    while (this.#length < count) yield;
    const first = this.#chunks[0];
    if (!first || count === 0) return Buffer.alloc(0);
    if (first.length < count) this.#chunks = [Buffer.concat(this.#chunks)];
    const taken = (this.#chunks[0] ?? first).subarray(0, count);
    this.#drop(count);
    return taken;
  }

  *skip(count: number): Reading<undefined> {
    let left = count;
    while (left > 0) {
      const here = Math.min(left, this.#length);
      this.#drop(here);
      left -= here;
      if (left > 0) yield;
    }
  }

  /** The first `most` bytes of a piece of `size`; the rest is skipped. */
  *head(size: number, most: number): Reading<Buffer> {
    const bytes = yield* this.take(Math.min(size, most));
    yield* this.skip(size - bytes.length);
    return bytes;
  }

  #drop(count: number): void {
    let left = count;
    this.#length -= count;
    this.#position += count;
    let whole = 0;
    for (const chunk of this.#chunks) {
      if (chunk.length > left) {
        this.#chunks[whole] = chunk.subarray(left);
        break;
      }
      left -= chunk.length;
      whole++;
    }
    if (whole > 0) this.#chunks.splice(0, whole);
  }
}
