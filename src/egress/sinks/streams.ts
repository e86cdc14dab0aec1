/** Streams: the tap, sent to whatever destinations the API wants at the moment. */
import { StreamInfo, StreamInfo_Status } from '@livekit/protocol';
import type { EgressInfo } from '@livekit/protocol';
import type { Logger } from 'pino';
import type { AddressPolicy } from '../../outbound/index.ts';
import type { EgressDesired } from '../../store/types.ts';
import { TapFanout } from '../outputs/stream/index.ts';
import type { DestinationLimits, DestinationStatus } from '../outputs/stream/index.ts';
import { nowNs } from '../status.ts';
import type { StatusKeeper } from '../status.ts';
import type { Sink } from './types.ts';

/** What streams need of a sink's context. */
export interface StreamsContext {
  attempt: number;
  /** What earlier attempts have told. */
  record: { info: Pick<EgressInfo, 'streamResults'> };
  status: Pick<StatusKeeper, 'update' | 'applied'>;
  logger: Logger;
}

export class StreamsSink implements Sink {
  readonly #context: StreamsContext;
  readonly #fanout: TapFanout;
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
   */
  constructor(
    context: StreamsContext,
    policy: AddressPolicy,
    onNoneLeft: () => void,
    limits?: Partial<DestinationLimits>,
  ) {
    this.#context = context;
    this.#onNoneLeft = onNoneLeft;
    const earlier = context.attempt > 1 ? context.record.info.streamResults : [];
    this.#earlier = new Map(earlier.map((info) => [info.url, info.clone()]));
    this.#fanout = new TapFanout({
      logger: context.logger,
      policy,
      ...(limits && { limits }),
      onStatus: () => this.#report(),
    });
  }

  onTap(data: Buffer): void {
    this.#fanout.push(data);
  }

  onDesired(desired: EgressDesired): void {
    if (this.#ending) return;
    const wanted = new Set(desired.streamUrls);
    for (const url of wanted) if (!this.#wanted.has(url)) this.#fanout.add(url);
    for (const url of this.#wanted) if (!wanted.has(url)) void this.#fanout.remove(url);
    this.#wanted = wanted;
    this.#report();
    this.#context.status.applied(desired.revision);
  }

  async endLive(): Promise<void> {
    this.#ending = true;
    await this.#fanout.close();
    this.#report();
  }

  async close(): Promise<void> {
    this.#ending = true;
    // Another attempt may go on with these streams: that they end here is not for the record.
    this.#closed = true;
    await this.#fanout.close();
  }

  #report(): void {
    if (this.#closed) return;
    const statuses = [...this.#fanout.statuses.values()];
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

/** A stream that an earlier attempt had live already: it counts from then on. Pure. */
function continued(info: StreamInfo, earlier: StreamInfo | undefined): StreamInfo {
  if (!earlier || earlier.startedAt === 0n || earlier.status !== StreamInfo_Status.ACTIVE) return info;
  info.startedAt = earlier.startedAt;
  info.retries += earlier.retries;
  if (info.lastRetryAt === 0n) info.lastRetryAt = earlier.lastRetryAt;
  if (info.endedAt !== 0n) info.duration = info.endedAt - info.startedAt;
  return info;
}

/** A stream that this attempt does not go on with: it ended when this one began, if not before. Pure. */
function ended(earlier: StreamInfo, atMs: number): StreamInfo {
  const info = earlier.clone();
  if (info.status !== StreamInfo_Status.ACTIVE) return info;
  info.status = StreamInfo_Status.FINISHED;
  info.endedAt = nowNs(atMs);
  if (info.startedAt !== 0n) info.duration = info.endedAt - info.startedAt;
  return info;
}

/** A destination that is being connected counts as active, as LiveKit has it; its `error` says what is wrong. */
function streamInfo(status: DestinationStatus): StreamInfo {
  const { redactedUrl, state, startedAt, endedAt, error, retries, lastRetryAt } = status;
  const info = new StreamInfo({
    url: redactedUrl,
    status:
      state === 'failed'
        ? StreamInfo_Status.FAILED
        : state === 'finished'
          ? StreamInfo_Status.FINISHED
          : StreamInfo_Status.ACTIVE,
    error: error ?? '',
    retries,
  });
  if (lastRetryAt !== undefined) info.lastRetryAt = nowNs(lastRetryAt);
  if (startedAt !== undefined) info.startedAt = nowNs(startedAt);
  if (endedAt !== undefined) info.endedAt = nowNs(endedAt);
  if (startedAt !== undefined && endedAt !== undefined) info.duration = nowNs(endedAt - startedAt);
  return info;
}
