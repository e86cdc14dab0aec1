/** UpdateStream: destinations of a running egress, added and removed. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { EgressInfo, UpdateStreamRequest } from '@livekit/protocol';
import type { Logger } from 'pino';
import { planOfRecord } from '../egress/plan/plan.ts';
import { MAX_STREAM_URLS } from '../egress/request/outputs.ts';
import { checkStreamUrl, showStreamUrl } from '../egress/request/stream-url.ts';
import type { EgressDesired, EgressRecord, EgressStore } from '../store/types.ts';
import { withDeadline } from './deadline.ts';
import { TwirpError } from './errors.ts';

/** How long an answer waits for the worker to have done it. */
const APPLY_MS = 2_000;
const POLL_MS = 50;

/** The URLs that should be live afterwards. @throws TwirpError when one to remove is not there. */
function changedUrls(urls: readonly string[], request: UpdateStreamRequest): string[] {
  const after = new Set([...urls, ...request.addOutputUrls]);
  for (const url of request.removeOutputUrls) {
    if (!after.delete(url)) throw new TwirpError('not_found', `stream ${showStreamUrl(url)} not found`);
  }
  if (after.size > MAX_STREAM_URLS) {
    throw new TwirpError(
      'invalid_argument',
      `${after.size} destinations are too many; at most ${MAX_STREAM_URLS} can be live at once`,
    );
  }
  return [...after];
}

/** The info once the worker has acted on what is wanted, or as it is after a while. */
export async function applied(store: Pick<EgressStore, 'get'>, record: EgressRecord): Promise<EgressInfo> {
  const { egressId, desired } = record;
  const deadline = Date.now() + APPLY_MS;
  let latest = record;
  // Before a worker has the job there is nobody to wait for.
  while (latest.attempt > 0 && latest.appliedRevision < desired.revision && Date.now() < deadline) {
    await sleep(POLL_MS);
    latest = (await withDeadline('the store of egresses', store.get(egressId))) ?? latest;
  }
  return latest.info;
}

/**
 * All or nothing: one URL that is wrong, and none is changed. A URL that is live already stays as it is.
 *
 * @param record of an egress that has not ended.
 * @throws RequestError for a URL that cannot be streamed to, TwirpError `not_found` for one that is not there.
 */
export async function updateStream(
  request: UpdateStreamRequest,
  record: EgressRecord,
  store: EgressStore,
  logger: Logger,
): Promise<EgressInfo> {
  const { egressId, addOutputUrls, removeOutputUrls } = request;
  const { outputs } = planOfRecord(record);
  if (!outputs.some((output) => output.type === 'stream' && output.protocol !== 'websocket')) {
    throw new TwirpError(
      'invalid_argument',
      'UpdateStream called on non-streaming egress: start it with a stream output',
    );
  }
  if (addOutputUrls.length + removeOutputUrls.length === 0) {
    throw new TwirpError(
      'invalid_argument',
      'name at least one URL in add_output_urls or remove_output_urls',
    );
  }
  for (const url of addOutputUrls) checkStreamUrl('add_output_urls', url);
  const change = (desired: EgressDesired): EgressDesired => {
    const streamUrls = changedUrls(desired.streamUrls, request);
    const same =
      streamUrls.length === desired.streamUrls.length &&
      streamUrls.every((url, index) => url === desired.streamUrls[index]);
    return same ? desired : { ...desired, streamUrls };
  };
  const changed = await withDeadline('the store of egresses', store.changeDesired(egressId, change));
  if (!changed) throw new TwirpError('not_found', 'egress does not exist');
  logger.info({ added: addOutputUrls.length, removed: removeOutputUrls.length }, 'streams changed');
  return applied(store, changed);
}
