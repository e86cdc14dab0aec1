/** Streams: the tap, sent to whatever destinations the API wants at the moment. */
import { StreamInfo, StreamInfo_Status } from '@livekit/protocol';
import type { EgressDesired } from '../../store/types.ts';
import { TapFanout } from '../outputs/stream/index.ts';
import type { DestinationStatus } from '../outputs/stream/index.ts';
import { nowNs } from '../status.ts';
import type { Sink, SinkContext } from './types.ts';

export class StreamsSink implements Sink {
  readonly #context: SinkContext;
  readonly #fanout: TapFanout;
  readonly #onNoneLeft: () => void;
  /** What was wanted last, by URL with its key. */
  #wanted = new Set<string>();
  #ending = false;

  /** @param onNoneLeft every destination has failed or was removed. */
  constructor(context: SinkContext, onNoneLeft: () => void) {
    this.#context = context;
    this.#onNoneLeft = onNoneLeft;
    this.#fanout = new TapFanout({
      logger: context.logger,
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
    await this.#fanout.close();
  }

  #report(): void {
    const statuses = [...this.#fanout.statuses.values()];
    const infos = statuses.map(streamInfo);
    this.#context.status.update((info) => {
      info.streamResults = infos;
    });
    const over = statuses.length > 0 && statuses.every(({ endedAt }) => endedAt !== undefined);
    if (over && !this.#ending) this.#onNoneLeft();
  }
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
