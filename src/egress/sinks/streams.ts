/** Streams: the tap, sent to whatever destinations the API wants at the moment. */
import type { EgressInfo, StreamInfo } from '@livekit/protocol';
import type { Logger } from 'pino';
import type { AddressPolicy } from '../../outbound/index.ts';
import type { EgressDesired } from '../../store/types.ts';
import { TapFanout } from '../outputs/stream/index.ts';
import type { DestinationLimits, TapFanoutOptions } from '../outputs/stream/index.ts';
import type { Destinations } from './destinations.ts';
import { continued, ended, streamInfo } from './stream-info.ts';
import type { TapOrigin } from '../pipeline-run.ts';
import type { WantedTrack } from '../room/selection.ts';
import type { StatusKeeper } from '../status.ts';
import type { Sink } from './types.ts';

/** What streams need of a sink's context. */
export interface StreamsContext {
  attempt: number;
  /** What earlier attempts have told. */
  record: { info: Pick<EgressInfo, 'streamResults'> };
  status: Pick<StatusKeeper, 'update'>;
  logger: Logger;
}

export class StreamsSink implements Sink {
  readonly #context: StreamsContext;
  readonly #destinations: Destinations;
  readonly #onNoneLeft: () => void;
  /** What was wanted last, by URL with its key. */
  #wanted = new Set<string>();
  #ending = false;
  #closed = false;
  /** What earlier attempts have left, by URL as it is shown. */
  readonly #earlier: ReadonlyMap<string, StreamInfo>;
  readonly #startedMs = Date.now();

  /**
   * @param policy where destinations may be.
   * @param onNoneLeft every destination has failed or was removed.
   * @param limits how long a destination is tried, where not as by default.
   * @param open what takes the tap; by default every destination gets the main one.
   */
  constructor(
    context: StreamsContext,
    policy: AddressPolicy,
    onNoneLeft: () => void,
    limits?: Partial<DestinationLimits>,
    open: (options: TapFanoutOptions) => Destinations = (options) => new TapFanout(options),
  ) {
    this.#context = context;
    this.#onNoneLeft = onNoneLeft;
    const earlier = context.attempt > 1 ? context.record.info.streamResults : [];
    this.#earlier = new Map(earlier.map((info) => [info.url, info.clone()]));
    this.#destinations = open({
      logger: context.logger,
      policy,
      ...(limits && { limits }),
      onStatus: () => this.#report(),
    });
  }

  onTap(data: Buffer, origin?: TapOrigin): void {
    this.#destinations.push(data, origin);
  }

  onTracks(wanted: readonly WantedTrack[]): void {
    if (wanted.length > 0) this.#destinations.setMuted?.(wanted.every(({ track }) => track.muted));
  }

  onDesired(desired: EgressDesired): void {
    if (this.#ending) return;
    const wanted = new Set(desired.streamUrls);
    for (const url of wanted) if (!this.#wanted.has(url)) this.#destinations.add(url);
    for (const url of this.#wanted) if (!wanted.has(url)) void this.#destinations.remove(url);
    this.#wanted = wanted;
    this.#report();
  }

  async endLive(): Promise<void> {
    this.#ending = true;
    await this.#destinations.close();
    this.#report();
  }

  async close(): Promise<void> {
    this.#ending = true;
    // Another attempt may go on with these streams: that they end here is not for the record.
    this.#closed = true;
    await this.#destinations.close();
  }

  #report(): void {
    if (this.#closed) return;
    const statuses = [...this.#destinations.statuses.values()];
    const now = statuses.map((status) =>
      continued(streamInfo(status), this.#earlier.get(status.redactedUrl)),
    );
    const shown = new Set(now.map(({ url }) => url));
    const over = [...this.#earlier.values()].filter(({ url }) => !shown.has(url));
    const infos = [...over.map((info) => ended(info, this.#startedMs)), ...now];
    this.#context.status.update((info) => {
      info.streamResults = infos;
    });
    const allOver = statuses.length > 0 && statuses.every(({ endedAt }) => endedAt !== undefined);
    if (allOver && !this.#ending) this.#onNoneLeft();
  }
}
