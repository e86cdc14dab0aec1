/** The stream output: the live tap, fanned out to any number of destinations that do not know of each other. */
import type { Logger } from 'pino';
import type { AddressPolicy } from '../../../outbound/index.ts';
import { StreamDestination } from './destination.ts';
import type { DestinationLimits, DestinationStatus } from './types.ts';
import { TapUnits } from './units.ts';

export { DEFAULT_LIMITS } from './types.ts';
export type { DestinationLimits, DestinationState, DestinationStatus } from './types.ts';

export interface TapFanoutOptions {
  logger: Logger;
  limits?: Partial<DestinationLimits>;
  /** Trusted certificates (PEM) for RTMPS instead of the system's. */
  caFile?: string;
  /** Where destinations may be; without it their URLs are trusted. */
  policy?: AddressPolicy;
  /** `url` is the destination's own, key included: look it up by it, never show it. */
  onStatus?: (url: string, status: DestinationStatus) => void;
}

export class TapFanout {
  readonly #options: TapFanoutOptions;
  readonly #destinations = new Map<string, StreamDestination>();
  readonly #units: TapUnits;

  constructor(options: TapFanoutOptions) {
    this.#options = options;
    this.#units = new TapUnits((unit) => {
      for (const destination of this.#destinations.values()) destination.push(unit);
    });
  }

  /** Takes the tap's next bytes (MPEG-TS, cut anywhere). Never waits: the tap must always be drained. */
  push(data: Buffer): void {
    this.#units.push(data);
  }

  /**
   * Adds a destination; it begins at the next keyframe. One that is there and has not ended stays as it is.
   * @throws OutputError when the URL is none of ours
   */
  add(url: string): DestinationStatus {
    const there = this.#destinations.get(url);
    if (there && there.status.endedAt === undefined) return there.status;
    const { logger, limits, caFile, policy, onStatus } = this.#options;
    const destination = new StreamDestination({
      url,
      logger,
      ...(limits ? { limits } : {}),
      ...(caFile === undefined ? {} : { caFile }),
      ...(policy ? { policy } : {}),
      onStatus: (status) => onStatus?.(url, status),
    });
    this.#destinations.set(url, destination);
    return destination.status;
  }

  /** Ends a destination in order; undefined when there is none of that URL. */
  async remove(url: string): Promise<DestinationStatus | undefined> {
    return this.#destinations.get(url)?.stop();
  }

  /** Every destination there ever was, by URL (with its key). */
  get statuses(): ReadonlyMap<string, DestinationStatus> {
    return new Map([...this.#destinations].map(([url, { status }]) => [url, status]));
  }

  /** Ends all of them in order. Safe to call twice. */
  async close(): Promise<void> {
    await Promise.all([...this.#destinations.values()].map((destination) => destination.stop()));
  }
}
