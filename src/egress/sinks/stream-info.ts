/** What is told of streams in EgressInfo. Pure. */
import { StreamInfo, StreamInfo_Status } from '@livekit/protocol';
import type { DestinationStatus } from '../outputs/stream/index.ts';
import { nowNs } from '../status.ts';

/** A stream that an earlier attempt had live already: it counts from then on. Pure. */
export function continued(info: StreamInfo, earlier: StreamInfo | undefined): StreamInfo {
  if (!earlier || earlier.startedAt === 0n || earlier.status !== StreamInfo_Status.ACTIVE) return info;
  info.startedAt = earlier.startedAt;
  info.retries += earlier.retries;
  if (info.lastRetryAt === 0n) info.lastRetryAt = earlier.lastRetryAt;
  if (info.endedAt !== 0n) info.duration = info.endedAt - info.startedAt;
  return info;
}

/** A stream that this attempt does not go on with: it ended when this one began, if not before. Pure. */
export function ended(earlier: StreamInfo, atMs: number): StreamInfo {
  const info = earlier.clone();
  if (info.status !== StreamInfo_Status.ACTIVE) return info;
  info.status = StreamInfo_Status.FINISHED;
  info.endedAt = nowNs(atMs);
  if (info.startedAt !== 0n) info.duration = info.endedAt - info.startedAt;
  return info;
}

/** A destination that is being connected counts as active, as LiveKit has it; its `error` says what is wrong. */
export function streamInfo(status: DestinationStatus): StreamInfo {
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
