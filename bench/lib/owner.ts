/** Who ends what a bench has started, whatever the way out, Ctrl-C included. */
export class Owner {
  readonly #ends: (() => unknown)[] = [];
  #closing: Promise<void> | undefined;

  /** Runs `work` with an owner, and ends everything it owns afterwards. */
  static async run<T>(work: (owner: Owner) => Promise<T>): Promise<T> {
    const owner = new Owner();
    const interrupted = () => void owner.close().then(() => process.exit(130));
    process.once('SIGINT', interrupted).once('SIGTERM', interrupted);
    try {
      return await work(owner);
    } finally {
      process.off('SIGINT', interrupted).off('SIGTERM', interrupted);
      await owner.close();
    }
  }

  /** Has `end` called, last in first out. */
  own<T>(thing: T, end: (thing: T) => unknown): T {
    this.#ends.push(() => end(thing));
    return thing;
  }

  close(): Promise<void> {
    this.#closing ??= (async () => {
      for (const end of this.#ends.splice(0).reverse()) {
        try {
          await end();
        } catch (error) {
          process.stderr.write(`not ended in order: ${String(error)}\n`);
        }
      }
    })();
    return this.#closing;
  }
}
