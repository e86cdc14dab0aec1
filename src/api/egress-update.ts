/** UpdateStream: destinations of a running egress, added and removed. */
import type { EgressInfo, UpdateStreamRequest } from '@livekit/protocol';
import type { Logger } from 'pino';
import { wantedOutputs } from '../egress/added-outputs.ts';
import { planOfRecord } from '../egress/plan/plan.ts';
import type { EgressOutput, EgressPlan } from '../egress/plan/types.ts';
import { MAX_STREAM_URLS } from '../egress/request/outputs.ts';
import { checkStreamUrl, reachedUrl, showStreamUrl } from '../egress/request/stream-url.ts';
import type { AddressPolicy } from '../outbound/index.ts';
import { applied, changeRunning } from './change-running.ts';
import type { RunningOptions } from './change-running.ts';
import { TwirpError } from './errors.ts';
import { checkOutbound } from './outbound-urls.ts';

export interface UpdateStreamOptions extends RunningOptions {
  outbound: { policy: AddressPolicy };
}

function tooMany(count: number): TwirpError {
  return new TwirpError(
    'invalid_argument',
    `${count} destinations are too many; at most ${MAX_STREAM_URLS} can be live at once`,
  );
}

/** The URLs that should be live afterwards. @throws TwirpError when one to remove is not there. */
function changedUrls(urls: readonly string[], request: UpdateStreamRequest): string[] {
  const after = new Set([...urls, ...request.addOutputUrls]);
  for (const url of request.removeOutputUrls) {
    if (!after.delete(url)) throw new TwirpError('not_found', `stream ${showStreamUrl(url)} not found`);
  }
  if (after.size > MAX_STREAM_URLS) throw tooMany(after.size);
  return [...after];
}

/** @throws TwirpError unless there is a stream output that destinations can be added to */
function assertStreams(plan: EgressPlan): void {
  const takesUrls = (output: EgressOutput): boolean =>
    output.type === 'stream' && output.protocol !== 'websocket';
  if (wantedOutputs(plan).some(takesUrls)) return;
  if (plan.outputs.some(takesUrls)) {
    throw new TwirpError(
      'failed_precondition',
      'its stream output was removed: start an egress with a stream output beside this one',
    );
  }
  throw new TwirpError(
    'invalid_argument',
    'UpdateStream called on non-streaming egress: start it with a stream output',
  );
}

/**
 * All or nothing: one URL that is wrong, and none is changed. A URL that is live already stays as it is.
 *
 * @throws RequestError for a URL that cannot be streamed to; TwirpError `not_found` for an egress or a URL that is not
 * there, `invalid_argument`, `failed_precondition` for an egress that ends or has ended
 */
export async function updateStream(
  options: UpdateStreamOptions,
  request: UpdateStreamRequest,
  logger: Logger,
): Promise<EgressInfo> {
  const { egressId, addOutputUrls, removeOutputUrls } = request;
  if (addOutputUrls.length + removeOutputUrls.length === 0) {
    throw new TwirpError(
      'invalid_argument',
      'name at least one URL in add_output_urls or remove_output_urls',
    );
  }
  const added = new Set(addOutputUrls);
  // Before any of their names is looked up.
  if (added.size > MAX_STREAM_URLS) throw tooMany(added.size);
  for (const url of added) checkStreamUrl('add_output_urls', url);
  const reached = [...added].map((url) => ({ field: 'add_output_urls', url: reachedUrl(url) }));
  await checkOutbound(reached, options.outbound.policy);
  const changed = await changeRunning(options, egressId, 'updated', (desired, record) => {
    assertStreams(planOfRecord({ ...record, desired }));
    const streamUrls = changedUrls(desired.streamUrls, request);
    const same =
      streamUrls.length === desired.streamUrls.length &&
      streamUrls.every((url, index) => url === desired.streamUrls[index]);
    return same ? desired : { ...desired, streamUrls };
  });
  logger.info({ added: addOutputUrls.length, removed: removeOutputUrls.length }, 'streams changed');
  return applied(options.store, changed);
}
