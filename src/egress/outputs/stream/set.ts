/** Destinations that do not know of each other, by URL (with its key). */
import type { DestinationStatus } from './types.ts';

export interface Destination {
  readonly status: DestinationStatus;
  /** Ends it in order; safe to call twice. */
  stop(): Promise<DestinationStatus>;
}

export class DestinationSet<D extends Destination> {
  readonly #open: (url: string) => D;
  readonly #destinations = new Map<string, D>();

  /** @param open throws OutputError when the URL is none of ours */
  constructor(open: (url: string) => D) {
    this.#open = open;
  }

  /** Also those that have ended, as long as none was opened anew under their URL. */
  get values(): Iterable<D> {
    return this.#destinations.values();
  }

  /** Every destination there ever was. */
  get statuses(): ReadonlyMap<string, DestinationStatus> {
    return new Map([...this.#destinations].map(([url, { status }]) => [url, status]));
  }

  /** One that is there and has not ended stays as it is. @throws OutputError when the URL is none of ours */
  add(url: string): DestinationStatus {
    const there = this.#destinations.get(url);
    if (there && there.status.endedAt === undefined) return there.status;
    const destination = this.#open(url);
    this.#destinations.set(url, destination);
    return destination.status;
  }

  /** Ends a destination in order; undefined when there is none of that URL. */
  async remove(url: string): Promise<DestinationStatus | undefined> {
    return this.#destinations.get(url)?.stop();
  }

  /** Ends all of them in order. Safe to call twice. */
  async close(): Promise<void> {
    await Promise.all([...this.#destinations.values()].map((destination) => destination.stop()));
  }
}
