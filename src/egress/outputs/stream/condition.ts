/** How a destination is, as it tells it: the same for every protocol. */
import type { Logger } from 'pino';
import type { DestinationStatus } from './types.ts';

export class Condition {
  readonly #logger: Logger;
  readonly #onStatus: ((status: DestinationStatus) => void) | undefined;
  /** For the log: `stream`. */
  readonly #what: string;
  #status: DestinationStatus;

  /** @param redactedUrl without its key: what may be shown */
  constructor(
    redactedUrl: string,
    what: string,
    logger: Logger,
    onStatus: ((status: DestinationStatus) => void) | undefined,
  ) {
    this.#what = what;
    this.#logger = logger;
    this.#onStatus = onStatus;
    this.#status = {
      redactedUrl,
      state: 'connecting',
      retries: 0,
      lastRetryAt: undefined,
      startedAt: undefined,
      endedAt: undefined,
      error: undefined,
    };
  }

  get status(): DestinationStatus {
    return this.#status;
  }

  /** Whether it was live at any time. */
  get everLive(): boolean {
    return this.#status.startedAt !== undefined;
  }

  /** It takes what it is sent. */
  live(): void {
    this.#logger.info(`${this.#what} is live${this.everLive ? ' again' : ''}`);
    this.#update({ state: 'active', startedAt: this.#status.startedAt ?? Date.now(), error: undefined });
  }

  /** The connection failed, and there will be another one. @param retryMs when */
  failed(reason: string, retryMs: number): void {
    this.#logger.warn({ reason, retryMs }, `${this.#what} failed: connecting again`);
    this.#update({ state: this.everLive ? 'reconnecting' : 'connecting', error: reason });
  }

  /** Now there is another one. */
  retrying(): void {
    this.#update({ retries: this.#status.retries + 1, lastRetryAt: Date.now() });
  }

  /** There is no hope. */
  givenUp(reason: string): void {
    this.#logger.warn({ reason }, `${this.#what} given up`);
    this.#update({ state: 'failed', error: reason, endedAt: Date.now() });
  }

  /** By a fault of ours: what it was is for the log alone. */
  broken(error: unknown): void {
    this.#logger.error({ err: error }, `${this.#what} ended by a fault of ours`);
    this.#update({ state: 'failed', error: 'internal error', endedAt: Date.now() });
  }

  finished(): void {
    this.#update({ state: 'finished', endedAt: Date.now() });
  }

  #update(change: Partial<DestinationStatus>): void {
    this.#status = { ...this.#status, ...change };
    try {
      this.#onStatus?.(this.#status);
    } catch (error) {
      this.#logger.error({ err: error }, `a listener of the ${this.#what} failed`);
    }
  }
}
