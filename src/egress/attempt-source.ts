/** Where an attempt's media comes from: the room it joins, the page it opens. */
import type { BridgeClient } from '../bridge/client.ts';
import type { EgressDesired } from '../store/types.ts';
import type { WebSource } from '../web-source/index.ts';
import type { AttemptParts } from './attempt-end.ts';
import type { AttemptContext } from './attempt-types.ts';
import { opened, pageFailure } from './page-source.ts';
import { joinRoom } from './room/join.ts';
import { Superseded } from './status.ts';

/** Why an egress ends whose SFU is gone. */
export const LOST = 'Connection to the room lost';

/**
 * Undefined when there is nothing to join, which is the end.
 * @param wanted whether it still is
 * @throws Superseded; EgressError
 */
export async function joinFor(
  { deps, record, attempt, logger, end }: AttemptContext,
  wanted: () => boolean,
): Promise<BridgeClient | undefined> {
  let reason = 'Source closed';
  try {
    const bridge = await joinRoom({
      ...{ url: record.bridgeUrl, token: deps.bridgeToken, attempt, logger, wanted },
    });
    if (bridge) return bridge;
  } catch (error) {
    // What an earlier attempt has recorded is finished all the same: the SFU is gone.
    if (error instanceof Superseded || record.epochMs === undefined) throw error;
    logger.warn({ err: error }, 'room not joined: the egress ends with what there is');
    reason = LOST;
  }
  end({ type: 'finish', reason });
  return undefined;
}

/**
 * Answers when what it shows is to be recorded, or it is not wanted any more.
 * @param parts gets the page before it has loaded
 * @param desired what is wanted at the moment
 * @param over settles when it is not wanted any more
 * @throws EgressError, EgressAborted
 */
export async function openPageFor(
  { deps, record, attempt, status, end }: AttemptContext,
  parts: AttemptParts,
  desired: () => EgressDesired,
  over: Promise<unknown>,
): Promise<WebSource> {
  const { layout } = desired();
  const page = await deps.openPage({
    ...{ plan: deps.plan, record, attempt, layout },
    onEnd: () => end({ type: 'finish', reason: 'Source closed' }),
    onFailure: (reason, back) => {
      const now = Date.now();
      const seconds = ((now - (parts.epochMs ?? now)) / 1000).toFixed(1);
      status.remark(`the page was ${back ? '' : 'not '}brought back at ${seconds} s: ${reason}`);
    },
    onFatal: (error) => end({ type: 'fail', error: pageFailure(error) }),
  });
  parts.page = page;
  const { layout: wanted } = desired();
  if (wanted !== undefined && wanted !== layout) void page.tellLayout(wanted);
  await opened(page, over);
  return page;
}
