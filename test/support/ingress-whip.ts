/** WHIP ingresses over real Redis, SFU and HTTP, with the page of test/page and everything that is logged. */
import { IngressInfo, IngressInput, IngressState } from '@livekit/protocol';
import type { IngressState_Status } from '@livekit/protocol';
import { pino } from 'pino';
import type { Logger } from 'pino';
import { RoomService } from '../../src/api/room-service.ts';
import { buildHttp } from '../../src/api/server.ts';
import { participantGrant } from '../../src/auth/grants.ts';
import { AuthError } from '../../src/auth/errors.ts';
import { TokenVerifier, tokenFromRequest } from '../../src/auth/verify.ts';
import type { IngressWhip } from '../../src/ingress/whip/types.ts';
import { createIngressWhip } from '../../src/ingress/whip/whip.ts';
import { newId } from '../../src/sfu/ids.ts';
import type { SfuNode } from '../../src/sfu/sfu.ts';
import { whepPlugin } from '../../src/signaling/whep.ts';
import { whipPlugin } from '../../src/signaling/whip.ts';
import { connectRedis, createIngressStore } from '../../src/store/index.ts';
import type { IngressRecord, IngressStore } from '../../src/store/index.ts';
import { API_KEY, API_SECRET } from './api.ts';
import { startRedis } from './redis.ts';
import type { TestRedis } from './redis.ts';
import { silentLogger, sleep, startSfu } from './sfu.ts';
import { testPage } from './test-page.ts';

/** Short, so that tests of a loss do not wait long. */
export const GRACE_MS = 3000;
const LOST_MS = 1500;

export interface WhipServer {
  readonly url: string;
  readonly sfu: SfuNode;
  readonly store: IngressStore;
  readonly redis: TestRedis;
  readonly whip: IngressWhip;
  readonly jobs: { ingressId: string; attempt: number }[];
  readonly logger: Logger;
  /** Everything logged so far, at every level. */
  logged(): string;
  create(info?: Partial<IngressInfo>): Promise<IngressInfo>;
  state(ingressId: string): Promise<IngressState>;
  /** Waits for a state. @throws Error with the last one */
  until(
    what: string,
    ingressId: string,
    condition: (state: IngressState) => boolean,
    timeoutMs?: number,
  ): Promise<IngressState>;
  session(ingressId: string): Promise<IngressRecord['session']>;
  close(): Promise<void>;
}

export const is = (status: IngressState_Status) => (state: IngressState) => state.status === status;

/** @param lostTimeoutMs after which a silent connection is lost */
export async function startIngressWhip(lostTimeoutMs = LOST_MS): Promise<WhipServer> {
  const lines: string[] = [];
  const logger = pino({ level: 'trace' }, { write: (line: string) => void lines.push(line) });
  const stack = new AsyncDisposableStack();
  try {
    const redis = await startRedis();
    stack.defer(() => redis.stop());
    const connections = connectRedis({ url: redis.url, logger: silentLogger });
    stack.defer(() => connections.close());
    await connections.ready();
    const store = createIngressStore(connections, silentLogger);
    stack.defer(() => store.close());
    const sfu = await startSfu();
    stack.defer(() => sfu.close());
    const jobs: WhipServer['jobs'] = [];
    const whip = createIngressWhip({
      sfu,
      store,
      queue: { add: async (ingressId, attempt) => void jobs.push({ ingressId, attempt }) },
      graceMs: GRACE_MS,
      bridgeUrl: () => 'ws://127.0.0.1:7880/bridge',
      logger,
    });
    stack.defer(() => whip.close());
    const verifier = new TokenVerifier({ [API_KEY]: API_SECRET });
    const signaling = {
      sfu,
      logger,
      iceServers: () => [],
      timing: { lostTimeoutMs },
      authenticate: async (request: { headers: { authorization?: string | undefined } }) => {
        const token = tokenFromRequest(request.headers.authorization, new URLSearchParams());
        if (token === undefined) throw new AuthError('unauthenticated', 'no access token');
        return participantGrant(await verifier.verify(token));
      },
    };
    const html = await testPage();
    const app = buildHttp({
      logger,
      verifier,
      services: [new RoomService(sfu)],
      health: async () => ({ ok: true }),
      plugins: [
        async (scope) => {
          await scope.register(whipPlugin, { ...signaling, ingress: whip });
        },
        async (scope) => {
          await scope.register(whepPlugin, signaling);
        },
        async (scope) =>
          void scope.get('/page', async (_request, reply) =>
            reply.type('text/html; charset=utf-8').send(html),
          ),
      ],
    });
    stack.defer(() => app.close());
    const url = await app.listen({ host: '127.0.0.1', port: 0 });
    const owned = stack.move();
    const state = async (ingressId: string) =>
      (await store.get(ingressId))?.info.state ?? new IngressState({ error: 'there is no such ingress' });
    return {
      url,
      sfu,
      store,
      redis,
      whip,
      jobs,
      logger,
      logged: () => lines.join(''),
      state,
      session: async (ingressId) => (await store.get(ingressId))?.session,
      async create(given = {}) {
        const ingressId = newId('IN_');
        const info = new IngressInfo({
          ingressId,
          streamKey: newId('key'),
          inputType: IngressInput.WHIP_INPUT,
          roomName: newId('room-'),
          participantIdentity: 'obs',
          participantName: 'OBS',
          participantMetadata: 'made by a test',
          state: new IngressState(),
          ...given,
        });
        const { streamKey } = info;
        await store.create({ ingressId, info, streamKey, sourceUrl: '', createdAtMs: Date.now() });
        return info;
      },
      async until(what, ingressId, condition, timeoutMs = 15_000) {
        const deadline = performance.now() + timeoutMs;
        for (;;) {
          const now = await state(ingressId);
          if (condition(now)) return now;
          if (performance.now() > deadline) throw new Error(`waited for ${what}: ${now.toJsonString()}`);
          await sleep(50);
        }
      },
      close: () => owned.disposeAsync(),
    };
  } catch (error) {
    await stack.disposeAsync();
    throw error;
  }
}
