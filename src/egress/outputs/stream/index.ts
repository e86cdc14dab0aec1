/** The stream output: the live tap, fanned out to any number of destinations that do not know of each other. */
import type { Logger } from 'pino';
import type { AddressPolicy } from '../../../outbound/index.ts';
import { StreamDestination } from './destination.ts';
import { DestinationSet } from './set.ts';
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
  readonly #destinations: DestinationSet<StreamDestination>;
  readonly #units: TapUnits;

  constructor({ logger, limits, caFile, policy, onStatus }: TapFanoutOptions) {
    this.#destinations = new DestinationSet(
      (url) =>
        new StreamDestination({
          ...{ url, logger },
          ...(limits && { limits }),
          ...(caFile !== undefined && { caFile }),
          ...(policy && { policy }),
          onStatus: (status) => onStatus?.(url, status),
        }),
    );
    this.#units = new TapUnits((unit) => {
      for (const destination of this.#destinations.values) destination.push(unit);
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
    return this.#destinations.add(url);
  }

  /** Ends a destination in order; undefined when there is none of that URL. */
  async remove(url: string): Promise<DestinationStatus | undefined> {
    return this.#destinations.remove(url);
  }

  /** Every destination there ever was, by URL (with its key). */
  get statuses(): ReadonlyMap<string, DestinationStatus> {
    return this.#destinations.statuses;
  }

  /** Ends all of them in order. Safe to call twice. */
  async close(): Promise<void> {
    await this.#destinations.close();
  }
}
