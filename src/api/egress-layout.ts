/** UpdateLayout: another layout for a composite that runs. */
import type { EgressInfo, UpdateLayoutRequest } from '@livekit/protocol';
import type { Logger } from 'pino';
import { planOfRecord } from '../egress/plan/plan.ts';
import { layoutOf } from '../egress/plan/parts.ts';
import type { Sfu } from '../sfu/types.ts';
import type { EgressRecord, EgressStore } from '../store/types.ts';
import { withDeadline } from './deadline.ts';
import { applied } from './egress-update.ts';
import { TwirpError } from './errors.ts';

/**
 * The worker is told through the store, so that another one that takes over knows it too. As with LiveKit the recorder's
 * own metadata becomes `{"layout":…}`, which is what a template's page reads; there every name is a layout.
 *
 * @param record of an egress that has not ended.
 * @throws RequestError for a layout there is none of, TwirpError for an egress that has no layout.
 */
export async function updateLayout(
  request: UpdateLayoutRequest,
  record: EgressRecord,
  { store, sfu }: { store: EgressStore; sfu: Pick<Sfu, 'room'> },
  logger: Logger,
): Promise<EgressInfo> {
  const { egressId } = request;
  const { source } = planOfRecord(record);
  if (source.type !== 'room' || source.audioOnly) {
    throw new TwirpError(
      'invalid_argument',
      'UpdateLayout called on an egress without a layout: only the picture of a room composite has one',
    );
  }
  const layout = source.customBaseUrl === undefined ? layoutOf(request.layout) : request.layout;
  const changed = await withDeadline(
    'the store of egresses',
    store.changeDesired(egressId, (desired) =>
      desired.layout === layout ? desired : { ...desired, layout },
    ),
  );
  if (!changed) throw new TwirpError('not_found', 'egress does not exist');
  const recorder = sfu.room(record.roomName)?.participants.get(egressId);
  if (recorder) recorder.metadata = JSON.stringify({ layout });
  logger.info({ layout }, 'layout changed');
  return applied(store, changed);
}
