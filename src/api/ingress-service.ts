/** LiveKit's Ingress service over the store and the queue: servers and workers do the rest. */
import {
  CreateIngressRequest,
  DeleteIngressRequest,
  IngressInput,
  IngressState,
  IngressState_Status,
  ListIngressRequest,
  ListIngressResponse,
  UpdateIngressRequest,
} from '@livekit/protocol';
import type { IngressInfo } from '@livekit/protocol';
import type { Logger } from 'pino';
import { requireGrant } from '../auth/grants.ts';
import { newIngressInfo, updatedIngressInfo } from '../ingress/request/info.ts';
import { newId } from '../sfu/ids.ts';
import type { IngressStore } from '../store/ingress-types.ts';
import { withDeadline } from './deadline.ts';
import { TwirpError } from './errors.ts';
import type { Metrics } from './metrics.ts';
import { rpc } from './rpc.ts';
import type { RpcContext, RpcService } from './rpc.ts';

const STORE = 'the store of ingresses';

/** The part of the ingress queue the API needs. */
export interface IngressQueueFace {
  /** Adding an attempt again changes nothing. */
  add(ingressId: string, attempt: number): Promise<void>;
}

export interface IngressServiceOptions {
  store: Pick<IngressStore, 'create' | 'get' | 'list' | 'update' | 'delete' | 'beginSession'>;
  queue: IngressQueueFace;
  /** What publishers are told to connect to, e.g. `rtmp://host:1935/live`; stream keys go behind it. */
  urls: () => { rtmp: string; whip: string };
  /** Where workers reach this node's rooms, e.g. ws://127.0.0.1:7880/bridge. */
  bridgeUrl: () => string;
  /**
   * Whether a source may be pulled as things are now.
   * @throws an error whose message may be shown; with `retry: true` when it is not reachable rather than forbidden
   */
  checkUrl: (url: string) => Promise<void>;
}

/** How many sessions are live, on every server of this Redis. */
export function ingressMetrics(metrics: Metrics, store: Pick<IngressStore, 'liveSessions'>): void {
  metrics.gauge('sluice_ingress_sessions', 'Ingress sessions that are live, over all servers.', () =>
    store.liveSessions(),
  );
}

export class IngressService implements RpcService {
  readonly name = 'Ingress';
  readonly #options: IngressServiceOptions;

  readonly methods = {
    CreateIngress: rpc(CreateIngressRequest, (request, context) => this.#create(request, context)),
    UpdateIngress: rpc(UpdateIngressRequest, (request, context) => this.#update(request, context)),
    ListIngress: rpc(ListIngressRequest, (request, context) => this.#list(request, context)),
    DeleteIngress: rpc(DeleteIngressRequest, (request, context) => this.#delete(request, context)),
  };

  constructor(options: IngressServiceOptions) {
    this.#options = options;
  }

  async #create(request: CreateIngressRequest, { claims, logger }: RpcContext): Promise<IngressInfo> {
    requireGrant(claims, 'ingressAdmin');
    const { store, urls } = this.#options;
    const ingressId = newId('IN_');
    // 12 characters of 57: nobody guesses 70 bits over a network.
    const streamKey = newId('');
    const info = newIngressInfo(request, { ingressId, streamKey, urls: urls() });
    const pulled = info.inputType === IngressInput.URL_INPUT;
    if (pulled) await this.#checkUrl(request.url);
    const log = logger.child({ ingressId, room: info.roomName });
    const record = {
      ingressId,
      info,
      streamKey: info.streamKey,
      sourceUrl: request.url,
      createdAtMs: Date.now(),
    };
    await withDeadline(STORE, store.create(record), () => this.#forget(ingressId, log));
    log.info({ input: IngressInput[info.inputType] }, 'ingress created');
    return pulled ? this.#pull(info, log) : info;
  }

  /** Begins the one session of a URL input: its source is pulled from now on, for as long as it exists. */
  async #pull(info: IngressInfo, log: Logger): Promise<IngressInfo> {
    const { store, queue, bridgeUrl } = this.#options;
    const { ingressId } = info;
    const source = { type: 'url' } as const;
    const startedAtMs = Date.now();
    const session = { resourceId: newId('IR_'), source, bridgeUrl: bridgeUrl(), startedAtMs };
    try {
      const begun = await withDeadline(STORE, store.beginSession(ingressId, session, 0));
      if (typeof begun === 'string') throw new Error(`a new ingress cannot begin a session: ${begun}`);
      await withDeadline('the queue of ingresses', queue.add(ingressId, begun.attempt));
    } catch (error) {
      // Nobody is told of it: it must not stay, nor begin later.
      this.#forget(ingressId, log);
      throw error;
    }
    const started = info.clone();
    started.state = new IngressState({
      status: IngressState_Status.ENDPOINT_BUFFERING,
      resourceId: session.resourceId,
      startedAt: BigInt(startedAtMs) * 1_000_000n,
    });
    return started;
  }

  #forget(ingressId: string, log: Logger): void {
    this.#options.store
      .delete(ingressId)
      .catch((error: unknown) => log.warn({ err: error }, 'ingress that was not answered not deleted'));
  }

  async #checkUrl(url: string): Promise<void> {
    try {
      await withDeadline('the name service', this.#options.checkUrl(url));
    } catch (error) {
      if (!(error instanceof Error) || !('retry' in error)) throw error;
      const code = error.retry === true ? 'invalid_argument' : 'permission_denied';
      throw new TwirpError(code, `invalid ingress: ${error.message}`, { cause: error });
    }
  }

  async #update(request: UpdateIngressRequest, { claims, logger }: RpcContext): Promise<IngressInfo> {
    requireGrant(claims, 'ingressAdmin');
    const { ingressId } = request;
    const change = (info: IngressInfo) => updatedIngressInfo(info, request);
    const record = await withDeadline(STORE, this.#options.store.update(ingressId, change));
    if (!record) throw notFound();
    logger.info({ ingressId, revision: record.revision }, 'ingress updated');
    return record.info;
  }

  async #list(request: ListIngressRequest, { claims }: RpcContext): Promise<ListIngressResponse> {
    requireGrant(claims, 'ingressAdmin');
    const { ingressId, roomName, pageToken } = request;
    if (pageToken !== undefined && pageToken.token !== '') {
      throw new TwirpError('unimplemented', 'page_token is not implemented; every ingress is in the answer');
    }
    // As LiveKit: an id is looked up whatever else is asked for, and must exist.
    const filter = ingressId !== '' ? { ingressId } : roomName !== '' ? { roomName } : {};
    const items = await withDeadline(STORE, this.#options.store.list(filter));
    if (ingressId !== '' && items.length === 0) throw notFound();
    return new ListIngressResponse({ items });
  }

  /** A live session ends: whoever holds it finds the ingress gone. */
  async #delete({ ingressId }: DeleteIngressRequest, { claims, logger }: RpcContext): Promise<IngressInfo> {
    requireGrant(claims, 'ingressAdmin');
    const record = await withDeadline(STORE, this.#options.store.delete(ingressId));
    if (!record) throw notFound();
    logger.info({ ingressId, live: record.session !== undefined }, 'ingress deleted');
    const { info } = record;
    info.state ??= new IngressState();
    info.state.status = IngressState_Status.ENDPOINT_INACTIVE;
    return info;
  }
}

function notFound(): TwirpError {
  return new TwirpError('not_found', 'ingress does not exist');
}
