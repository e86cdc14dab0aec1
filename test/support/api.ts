/** The whole HTTP API on free ports, over a real SFU and a real Redis, without workers. */
import { AccessToken } from 'livekit-server-sdk';
import type { VideoGrant } from 'livekit-server-sdk';
import { autoEgressOf } from '../../src/api/egress-start.ts';
import { EgressService } from '../../src/api/egress-service.ts';
import { SluiceEgressService } from '../../src/api/sluice-egress-service.ts';
import { IngressService, ingressMetrics } from '../../src/api/ingress-service.ts';
import { Metrics } from '../../src/api/metrics.ts';
import { RoomService } from '../../src/api/room-service.ts';
import { buildHttp } from '../../src/api/server.ts';
import type { HttpOptions } from '../../src/api/server.ts';
import { TokenVerifier } from '../../src/auth/verify.ts';
import { createAddressPolicy, createGuard } from '../../src/outbound/index.ts';
import { egressQueue, ingressQueue } from '../../src/jobs/queues.ts';
import type { EgressQueue, IngressQueue } from '../../src/jobs/queues.ts';
import type { SfuNode } from '../../src/sfu/sfu.ts';
import { connectRedis, createEgressStore, createIngressStore } from '../../src/store/index.ts';
import type { EgressStore, IngressStore } from '../../src/store/index.ts';
import { startRedis } from './redis.ts';
import type { TestRedis } from './redis.ts';
import { silentLogger, startSfu } from './sfu.ts';

export const API_KEY = 'devkey';
export const API_SECRET = 'secret';

export interface TestApi {
  /** `http://127.0.0.1:port` */
  readonly url: string;
  readonly sfu: SfuNode;
  readonly store: EgressStore;
  readonly queue: EgressQueue;
  readonly ingressStore: IngressStore;
  readonly ingressQueue: IngressQueue;
  readonly redis: TestRedis;
  stop(): Promise<void>;
}

export async function startApi(options: Partial<HttpOptions> = {}): Promise<TestApi> {
  const stack = new AsyncDisposableStack();
  try {
    const redis = await startRedis();
    stack.defer(() => redis.stop());
    const connections = connectRedis({ url: redis.url, logger: silentLogger });
    stack.defer(() => connections.close());
    await connections.ready();
    const store = createEgressStore(connections, silentLogger);
    stack.defer(() => store.close());
    const queue = egressQueue(connections.shared, silentLogger);
    stack.defer(() => queue.close());
    const ingresses = createIngressStore(connections, silentLogger);
    stack.defer(() => ingresses.close());
    const ingressJobs = ingressQueue(connections.shared, silentLogger);
    stack.defer(() => ingressJobs.close());
    const guard = createGuard({ allowNetworks: ['127.0.0.0/8'], fileRoots: [], logger: silentLogger });
    const policy = createAddressPolicy({
      ...{ allowNetworks: ['127.0.0.1'], setting: 'outbound.allow_networks', logger: silentLogger },
    });
    const s3 = {
      ...{ bucket: 'ours', region: 'us-east-1', endpoint: 'http://10.1.2.3:9000', forcePathStyle: true },
      ...{ accessKey: 'AKIDOURS', secret: 'a secret of the server', sessionToken: '' },
    };
    const outbound = { policy, storage: { s3 } };
    const sfu = await startSfu();
    stack.defer(() => sfu.close());
    const metrics = new Metrics();
    ingressMetrics(metrics, ingresses);
    const bridgeUrl = () => 'ws://127.0.0.1:7880/bridge';
    const egress = { sfu, store, queue, bridgeUrl, outbound, signingKeys: new Set([API_KEY, 'other']) };
    const autoEgress = autoEgressOf(egress, sfu, silentLogger);
    stack.defer(() => autoEgress.close());
    const app = buildHttp({
      logger: silentLogger,
      verifier: new TokenVerifier({ [API_KEY]: API_SECRET, other: 'another secret' }),
      services: [
        new RoomService(sfu, autoEgress),
        new EgressService(egress),
        new SluiceEgressService(egress),
        new IngressService({
          store: ingresses,
          queue: ingressJobs,
          bridgeUrl,
          urls: () => ({ rtmp: 'rtmp://127.0.0.1:1935/live', whip: 'http://127.0.0.1:7880/whip' }),
          checkUrl: (source) => guard.check(source),
        }),
      ],
      health: async () => ({ ok: true }),
      metrics,
      ...options,
    });
    stack.defer(() => app.close());
    const url = await app.listen({ host: '127.0.0.1', port: 0 });
    const owned = stack.move();
    const stores = { store, queue, ingressStore: ingresses, ingressQueue: ingressJobs };
    return { url, sfu, ...stores, redis, stop: () => owned.disposeAsync() };
  } catch (error) {
    await stack.disposeAsync();
    throw error;
  }
}

/** An SDK's token. */
export function token(
  grant: VideoGrant,
  { key = API_KEY, secret = API_SECRET, ttl = 60 } = {},
): Promise<string> {
  const access = new AccessToken(key, secret, { ttl, identity: 'tester' });
  access.addGrant(grant);
  return access.toJwt();
}

export interface RawAnswer {
  status: number;
  contentType: string | null;
  json: () => Record<string, unknown>;
  bytes: Buffer;
}

/** A call as no SDK makes it. */
export async function rawCall(url: string, init: RequestInit & { auth?: string }): Promise<RawAnswer> {
  const { auth, ...rest } = init;
  const response = await fetch(url, {
    method: 'POST',
    ...rest,
    headers: {
      ...(auth === undefined ? {} : { authorization: `Bearer ${auth}` }),
      ...(rest.headers as object),
    },
  });
  const bytes = Buffer.from(await response.arrayBuffer());
  return {
    status: response.status,
    contentType: response.headers.get('content-type'),
    json: () => JSON.parse(bytes.toString()) as Record<string, unknown>,
    bytes,
  };
}
