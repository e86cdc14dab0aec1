/** UpdateLayout: another layout for a composite that runs. */
import type { EgressInfo, UpdateLayoutRequest } from '@livekit/protocol';
import type { Logger } from 'pino';
import { planOfRecord } from '../egress/plan/plan.ts';
import { layoutOf } from '../egress/plan/parts.ts';
import type { Sfu } from '../sfu/types.ts';
import { applied, changeRunning } from './change-running.ts';
import type { RunningOptions } from './change-running.ts';
import { TwirpError } from './errors.ts';

/**
 * The worker is told through the store, so that another one that takes over knows it too. As with LiveKit the recorder's
 * own metadata becomes `{"layout":…}`, which is what a template's page reads; there every name is a layout.
 *
 * @throws RequestError for a layout there is none of; TwirpError `not_found`, `failed_precondition` for an egress that
 * ends or has ended, `invalid_argument` for one that has no layout.
 */
export async function updateLayout(
  options: RunningOptions & { sfu: Pick<Sfu, 'room'> },
  request: UpdateLayoutRequest,
  logger: Logger,
): Promise<EgressInfo> {
  const { egressId } = request;
  const changed = await changeRunning(options, egressId, 'updated', (wanted, record) => {
    const { source } = planOfRecord(record);
    if (source.type !== 'room' || source.audioOnly) {
      throw new TwirpError(
        'invalid_argument',
        'UpdateLayout called on an egress without a layout: only the picture of a room composite has one',
      );
    }
    const layout = source.customBaseUrl === undefined ? layoutOf(request.layout) : request.layout;
    return wanted.layout === layout ? wanted : { ...wanted, layout };
  });
  const { layout } = changed.desired;
  const recorder = options.sfu.room(changed.roomName)?.participants.get(egressId);
  if (recorder) recorder.metadata = JSON.stringify({ layout });
  logger.info({ layout }, 'layout changed');
  return applied(options.store, changed);
}
