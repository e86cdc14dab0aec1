/** LiveKit's Egress service over the store and the queue: workers do the rest. */
import {
  EgressStatus,
  ListEgressRequest,
  ListEgressResponse,
  ParticipantEgressRequest,
  RoomCompositeEgressRequest,
  StartEgressRequest,
  StopEgressRequest,
  TrackCompositeEgressRequest,
  TrackEgressRequest,
  UpdateLayoutRequest,
  UpdateStreamRequest,
  WebEgressRequest,
} from '@livekit/protocol';
import type { EgressInfo } from '@livekit/protocol';
import { requireGrant } from '../auth/grants.ts';
import { isEnded } from '../egress/ended.ts';
import { END_REASON_API, abortedInfo, endingInfo } from '../egress/info.ts';
import type { StartRequest } from '../egress/request/types.ts';
import type { EgressRecord, EgressStore } from '../store/types.ts';
import { withDeadline } from './deadline.ts';
import { updateLayout } from './egress-layout.ts';
import { pageOf } from './egress-pages.ts';
import { startEgress } from './egress-start.ts';
import type { EgressStartOptions } from './egress-start.ts';
import { updateStream } from './egress-update.ts';
import { TwirpError } from './errors.ts';
import { rpc } from './rpc.ts';
import type { RpcContext, RpcService } from './rpc.ts';

export interface EgressServiceOptions extends Omit<EgressStartOptions, 'store'> {
  store: EgressStore;
}

export class EgressService implements RpcService {
  readonly name = 'Egress';
  readonly #options: EgressServiceOptions;

  readonly methods = {
    StartRoomCompositeEgress: rpc(RoomCompositeEgressRequest, (request, context) =>
      this.#start(request, context),
    ),
    StartTrackCompositeEgress: rpc(TrackCompositeEgressRequest, (request, context) =>
      this.#start(request, context),
    ),
    StartWebEgress: rpc(WebEgressRequest, (request, context) => this.#start(request, context)),
    StartParticipantEgress: rpc(ParticipantEgressRequest, (request, context) =>
      this.#start(request, context),
    ),
    StartEgress: rpc(StartEgressRequest, (request, context) => this.#start(request, context)),
    StartTrackEgress: rpc(TrackEgressRequest, (request, context) => this.#start(request, context)),
    ListEgress: rpc(ListEgressRequest, (request, context) => this.#list(request, context)),
    StopEgress: rpc(StopEgressRequest, (request, context) => this.#stop(request, context)),
    UpdateLayout: rpc(UpdateLayoutRequest, (request, context) => this.#updateLayout(request, context)),
    UpdateStream: rpc(UpdateStreamRequest, (request, context) => this.#updateStream(request, context)),
  };

  constructor(options: EgressServiceOptions) {
    this.#options = options;
  }

  #start(request: StartRequest, { claims, logger }: RpcContext): Promise<EgressInfo> {
    requireGrant(claims, 'roomRecord');
    return startEgress(request, this.#options, logger);
  }

  async #list(request: ListEgressRequest, { claims }: RpcContext): Promise<ListEgressResponse> {
    requireGrant(claims, 'roomRecord');
    const { egressId, roomName, active } = request;
    // As LiveKit: an id is looked up whatever else is asked for, and must exist.
    if (egressId !== '') return new ListEgressResponse({ items: [(await this.#record(egressId)).info] });
    const filter = { ...(roomName === '' ? {} : { roomName }), ...(active ? { active } : {}) };
    const items = await withDeadline('the store of egresses', this.#options.store.list(filter));
    const { pageToken } = request;
    return pageToken ? pageOf(items, pageToken.token) : new ListEgressResponse({ items });
  }

  async #stop({ egressId }: StopEgressRequest, { claims, logger }: RpcContext): Promise<EgressInfo> {
    requireGrant(claims, 'roomRecord');
    const { store, queue } = this.#options;
    const log = logger.child({ egressId });
    const record = await this.#record(egressId);
    const { info } = record;
    if (isEnded(info.status)) throw cannotBe('stopped', info);
    if (record.attempt === 0) {
      const aborted = abortedInfo(info, Date.now());
      if (await withDeadline('the store of egresses', store.abortUntaken(egressId, aborted))) {
        // A worker that takes the job before it is gone is refused by the store.
        await queue
          .remove(egressId, 1)
          .catch((error: unknown) => log.warn({ err: error }, 'job not removed'));
        log.info('egress stopped before it was taken');
        return aborted;
      }
    }
    const changed = await withDeadline(
      'the store of egresses',
      store.changeDesired(egressId, (desired) =>
        desired.stop === undefined ? { ...desired, stop: END_REASON_API } : desired,
      ),
    );
    if (!changed) throw notFound();
    if (isEnded(changed.info.status)) throw cannotBe('stopped', changed.info);
    log.info('egress asked to stop');
    return endingInfo(changed.info, Date.now());
  }

  async #updateLayout(request: UpdateLayoutRequest, { claims, logger }: RpcContext): Promise<EgressInfo> {
    requireGrant(claims, 'roomRecord');
    return updateLayout(this.#options, request, logger.child({ egressId: request.egressId }));
  }

  async #updateStream(request: UpdateStreamRequest, { claims, logger }: RpcContext): Promise<EgressInfo> {
    requireGrant(claims, 'roomRecord');
    return updateStream(this.#options, request, logger.child({ egressId: request.egressId }));
  }

  async #record(egressId: string): Promise<EgressRecord> {
    const record = await withDeadline('the store of egresses', this.#options.store.get(egressId));
    if (!record) throw notFound();
    return record;
  }
}

function notFound(): TwirpError {
  return new TwirpError('not_found', 'egress does not exist');
}

function cannotBe(what: string, { status }: EgressInfo): TwirpError {
  return new TwirpError(
    'failed_precondition',
    `egress with status ${EgressStatus[status]} cannot be ${what}`,
  );
}
