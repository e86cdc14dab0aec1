/** Sessions of ingresses on a real Redis, SFU and bridge, with real pipelines. */
import type { PartialMessage } from '@bufbuild/protobuf';
import { setTimeout as sleep } from 'node:timers/promises';
import { IngressInfo, IngressInput, IngressState, ParticipantInfo_Kind } from '@livekit/protocol';
import type { IngressState_Status } from '@livekit/protocol';
import { createAccessToken } from '../../src/auth/token.ts';
import { IngressAttempt } from '../../src/ingress/attempt.ts';
import type { BridgeSeat, IngressAttemptDeps } from '../../src/ingress/attempt.ts';
import type { Input } from '../../src/ingress/inputs/types.ts';
import { IngressPipeline } from '../../src/ingress/pipeline.ts';
import { connectRedis, createIngressStore } from '../../src/store/index.ts';
import type { RedisConnections } from '../../src/store/index.ts';
import type { IngressSession, IngressStore } from '../../src/store/ingress-types.ts';
import type { TestBridge } from './bridge.ts';
import { startRedis } from './redis.ts';
import { silentLogger } from './sfu.ts';

const KEY = 'devkey';
const SECRET = 'a-secret-of-thirty-two-characters';

export function seatToken(seat: BridgeSeat): Promise<string> {
  const publishes = seat.role === 'publish';
  return createAccessToken({
    key: KEY,
    secret: SECRET,
    identity: seat.identity,
    name: seat.name,
    metadata: seat.metadata,
    kind: ParticipantInfo_Kind.INGRESS,
    grants: {
      roomJoin: true,
      room: seat.room,
      canPublish: publishes,
      canSubscribe: !publishes,
      hidden: !publishes,
    },
  });
}

/** Everything an attempt needs but its input. */
export function attemptDeps(
  store: IngressStore,
  input: Input,
  pipelines: IngressPipeline[] = [],
): IngressAttemptDeps {
  return {
    store,
    createInput: () => input,
    startPipeline: async () => {
      const pipeline = await IngressPipeline.start({ logger: silentLogger });
      pipelines.push(pipeline);
      return pipeline;
    },
    bridgeToken: seatToken,
    workerAddress: '127.0.0.1',
    portRange: undefined,
    logger: silentLogger,
  };
}

export interface Sessions {
  redisUrl: string;
  redis: RedisConnections;
  store: IngressStore;
  /** Every pipeline an attempt of this process has started. */
  pipelines: IngressPipeline[];
  /** A new ingress and its first session. */
  begin(roomName: string, options?: BeginOptions): Promise<{ ingressId: string; session: IngressSession }>;
  /** The attempt the session is at now. */
  attempt(ingressId: string, input: Input): Promise<IngressAttempt>;
  state(ingressId: string): Promise<IngressState>;
  /** @throws Error when it is not there within `timeoutMs` */
  untilStatus(ingressId: string, status: IngressState_Status, timeoutMs?: number): Promise<IngressState>;
  close(): Promise<void>;
}

const RELAY: IngressSession['source'] = { type: 'relay', url: 'http://127.0.0.1:9/' };

export interface BeginOptions {
  source?: IngressSession['source'];
  bridgeUrl?: string;
  info?: PartialMessage<IngressInfo>;
}

export async function startSessions(bridge: Pick<TestBridge, 'url'>): Promise<Sessions> {
  const server = await startRedis();
  const redis = connectRedis({ url: server.url, logger: silentLogger });
  const store = createIngressStore(redis, silentLogger);
  const pipelines: IngressPipeline[] = [];
  let count = 0;
  const state = async (ingressId: string): Promise<IngressState> =>
    (await store.get(ingressId))?.info.state ?? new IngressState();
  return {
    redisUrl: server.url,
    redis,
    store,
    pipelines,
    begin: async (roomName, { source = RELAY, info = {}, bridgeUrl = bridge.url } = {}) => {
      const ingressId = `IN_${++count}`;
      await store.create({
        ingressId,
        info: new IngressInfo({
          ingressId,
          roomName,
          inputType: source.type === 'url' ? IngressInput.URL_INPUT : IngressInput.RTMP_INPUT,
          participantIdentity: 'camera',
          participantName: 'Camera',
          participantMetadata: '{"gate":1}',
          state: new IngressState(),
          ...info,
        }),
        streamKey: `key-${count}`,
        sourceUrl: '',
        createdAtMs: Date.now(),
      });
      const session = await store.beginSession(
        ingressId,
        { resourceId: `IR_${count}`, source, bridgeUrl, startedAtMs: Date.now() },
        0,
      );
      if (typeof session === 'string') throw new Error(`no session: ${session}`);
      return { ingressId, session };
    },
    attempt: async (ingressId, input) => {
      const record = await store.get(ingressId);
      if (!record?.session) throw new Error(`${ingressId} has no session`);
      return new IngressAttempt(record, record.session, attemptDeps(store, input, pipelines));
    },
    state,
    untilStatus: async (ingressId, status, timeoutMs = 15_000) => {
      const deadline = performance.now() + timeoutMs;
      for (;;) {
        const now = await state(ingressId);
        if (now.status === status) return now;
        if (performance.now() > deadline) {
          throw new Error(`status ${status} did not come within ${timeoutMs} ms: ${now.toJsonString()}`);
        }
        await sleep(50);
      }
    },
    close: async () => {
      await store.close();
      await redis.close();
      await server.stop();
    },
  };
}
