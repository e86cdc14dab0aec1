/** Changes of what is wanted of an egress that runs: kept in the store, done by its worker. */
import { setTimeout as sleep } from 'node:timers/promises';
import { EgressStatus } from '@livekit/protocol';
import type { EgressInfo } from '@livekit/protocol';
import type { EgressDesired, EgressRecord, EgressStore } from '../store/types.ts';
import { withDeadline } from './deadline.ts';
import { TwirpError } from './errors.ts';

/** How long an answer waits for the worker to have done it. */
const APPLY_MS = 2_000;
const POLL_MS = 50;

export interface RunningOptions {
  store: Pick<EgressStore, 'get' | 'changeDesired'>;
}

/** Why it cannot be changed any more. */
function assertRuns(what: string, { info: { status }, desired }: EgressRecord): void {
  if (status !== EgressStatus.EGRESS_STARTING && status !== EgressStatus.EGRESS_ACTIVE) {
    throw new TwirpError(
      'failed_precondition',
      `egress with status ${EgressStatus[status]} cannot be ${what}`,
    );
  }
  if (desired.stop !== undefined) {
    throw new TwirpError('failed_precondition', `egress is being stopped and cannot be ${what}`);
  }
}

/**
 * Changes what is wanted of an egress that has not ended.
 * @param what for messages, e.g. `paused`
 * @param change may throw a TwirpError: nothing is changed then
 * @throws TwirpError `not_found`, `failed_precondition`, `unavailable`
 */
export async function changeRunning(
  { store }: RunningOptions,
  id: string,
  what: string,
  change: (desired: EgressDesired, record: EgressRecord) => EgressDesired,
): Promise<EgressRecord> {
  const record = await withDeadline('the store of egresses', store.get(id));
  if (!record) throw new TwirpError('not_found', 'egress does not exist');
  assertRuns(what, record);
  const changed = await withDeadline(
    'the store of egresses',
    store.changeDesired(id, (desired) => {
      assertRuns(what, { ...record, desired });
      return change(desired, record);
    }),
  );
  if (!changed) throw new TwirpError('not_found', 'egress does not exist');
  assertRuns(what, changed);
  return changed;
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
