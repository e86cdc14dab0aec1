/** What an output that follows the log does, one piece after the other, until it has ended, failed or been closed. */
import type { Logger } from 'pino';

interface OutputQueueOptions {
  /** For messages: `HLS output`. */
  what: string;
  logger: Logger;
  /** The output cannot go on. Called once. */
  onFailure?: ((error: Error) => void) | undefined;
}

export class OutputQueue {
  readonly #options: OutputQueueOptions;
  readonly #cancel = new AbortController();
  #tail: Promise<void> = Promise.resolve();
  #failure: Error | undefined;
  #ended = false;

  constructor(options: OutputQueueOptions) {
    this.#options = options;
  }

  /** Aborted when the output is closed. */
  get closed(): AbortSignal {
    return this.#cancel.signal;
  }

  /** Whether nothing more is taken. */
  get over(): boolean {
    return this.#ended || this.#failure !== undefined || this.closed.aborted;
  }

  /** Adds a piece of work; once it is over, nothing. @returns when the queue has come to its end, however that was */
  push(work: () => Promise<void>): Promise<void> {
    if (!this.over) this.#tail = this.#tail.then(() => this.#run(work));
    return this.#tail;
  }

  /**
   * Adds the last piece of work, and waits for it.
   * @throws what made the output fail; Error when it is closed before that is done, or has ended already
   */
  async end<T>(work: () => Promise<T>): Promise<T> {
    let result: { value: T } | undefined;
    const done = this.push(async () => {
      result = { value: await work() };
    });
    this.#ended = true;
    await done;
    if (!result) throw this.#failure ?? new Error(`the ${this.#options.what} was closed`);
    return result.value;
  }

  /** Stops at once: only what is under way is waited for. */
  async close(): Promise<void> {
    this.#cancel.abort(new Error(`the ${this.#options.what} was closed`));
    await this.#tail;
  }

  async #run(work: () => Promise<void>): Promise<void> {
    const closed = (): boolean => this.closed.aborted;
    if (this.#failure || closed()) return;
    try {
      await work();
    } catch (error) {
      if (closed()) return;
      const { what, logger, onFailure } = this.#options;
      this.#failure = error instanceof Error ? error : new Error(String(error));
      logger.error({ err: this.#failure }, `the ${what} failed`);
      onFailure?.(this.#failure);
    }
  }
}
