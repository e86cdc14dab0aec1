/** The server's parts: SFU, bridge, signalling, API, webhooks, recovery. */
import { existsSync, readFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import type { FastifyRequest } from 'fastify';
import { diskRefusal, Roster } from '../admission/roster.ts';
import { admissionMetrics } from '../api/admission-metrics.ts';
import { autoEgressOf } from '../api/egress-start.ts';
import { hlsDefaults } from '../api/egress-hls.ts';
import { EgressService } from '../api/egress-service.ts';
import type { EgressServiceOptions } from '../api/egress-service.ts';
import { SluiceEgressService } from '../api/sluice-egress-service.ts';
import { IngressService } from '../api/ingress-service.ts';
import { ingressMetrics } from '../api/ingress-service.ts';
import { Metrics } from '../api/metrics.ts';
import { RoomService } from '../api/room-service.ts';
import { buildHttp } from '../api/server.ts';
import { AuthError } from '../auth/errors.ts';
import { participantGrant, workerGrant } from '../auth/grants.ts';
import { TokenVerifier, tokenFromRequest } from '../auth/verify.ts';
import { createBridge } from '../bridge/server.ts';
import { clientIceServers, isLoopback } from '../config/index.ts';
import { ParticipantInfo_Kind } from '@livekit/protocol';
import { createAddressPolicy, createGuard } from '../outbound/index.ts';
import { relayPlugin } from '../ingress/relay/index.ts';
import { createIngressWhip } from '../ingress/whip/whip.ts';
import { EgressRecovery, IngressRecovery } from '../jobs/recovery.ts';
import { WaitingLine } from '../jobs/waiting-line.ts';
import { createSfu, externalAddress, isUnspecified } from '../sfu/sfu.ts';
import { PendingSessions } from '../signaling/pending.ts';
import { whepPlugin } from '../signaling/whep.ts';
import { whipPlugin } from '../signaling/whip.ts';
import { connectSfuWebhooks, createWebhooks } from '../webhooks/index.ts';
import { bytesOf } from './admission.ts';
import { bridgeUrl, httpUrlOf, listenOnLoopback } from './bridge-url.ts';
import { ingressUrls, openRtmpDoor } from './ingress-server.ts';
import type { Shared } from './shared.ts';
import { sweepOf } from './sweep.ts';

const LOOPBACK = '127.0.0.1';

export interface RunningServer {
  readonly url: string;
  close(): Promise<void>;
}

/** Where the built pages are: beside `src` in a checkout, beside `dist/src` in the package. */
function pagesFolder(): string | undefined {
  return ['../../dist/web', '../../web']
    .map((path) => fileURLToPath(new URL(path, import.meta.url)))
    .find((path) => existsSync(`${path}/index.html`) && existsSync(`${path}/studio.js`));
}

/**
 * @param localWorker whether the worker of this process has room for a job; undefined when workers are elsewhere.
 * @throws Error that names what could not be bound or reached.
 */
export async function startServer(
  { config, logger, redis, store, queue, ingressStore, ingressQueue }: Shared,
  localWorker: (() => boolean) | undefined,
): Promise<RunningServer> {
  const { http, rtc, tls } = config;
  const ends: (() => Promise<void> | void)[] = [];
  const close = async () => {
    for (const end of ends.splice(0).reverse()) await end();
  };
  try {
    const policy = createAddressPolicy({
      ...{ ...config.outbound, setting: 'outbound.allow_networks' },
      logger: logger.child({ component: 'outbound' }),
    });
    const webhooks = createWebhooks({
      ...{ config, redis, policy },
      logger: logger.child({ component: 'webhooks' }),
    });
    ends.push(() => webhooks.close());
    await webhooks.start();

    // Workers on other machines reach the SFU's RTP where they reach its bridge.
    const plainListenIp = isLoopback(http.host) ? LOOPBACK : http.host;
    const sfu = await createSfu({
      logger: logger.child({ component: 'sfu' }),
      rtc: { ...rtc, host: http.host, plainListenIp },
    });
    // Let go of after the SFU has closed: that rooms have ended is told too.
    ends.push(connectSfuWebhooks(sfu, webhooks, logger));
    ends.push(() => sfu.close());

    const verifier = new TokenVerifier(config.keys);
    // Known once the server listens; nobody is answered before.
    let workersUrl = '';
    const atWorkers = { bridgeUrl: () => workersUrl, httpUrl: () => httpUrlOf(workersUrl) };
    const ingressLogger = logger.child({ component: 'ingress' });
    const rtmp = await openRtmpDoor({
      ...{ config, store: ingressStore, queue: ingressQueue, logger: ingressLogger },
      ...atWorkers,
    });
    ends.push(() => rtmp.close());
    const ingressWhip = createIngressWhip({
      ...{ sfu, store: ingressStore, queue: ingressQueue, logger: ingressLogger },
      ...{ graceMs: config.ingress.graceMs, bridgeUrl: atWorkers.bridgeUrl },
    });
    ends.push(() => ingressWhip.close());
    const grantOf = async (token: string | undefined) => {
      if (token === undefined) throw new AuthError('unauthenticated', 'an access token is needed');
      return participantGrant(await verifier.verify(token));
    };
    const signaling = {
      sfu,
      authenticate: (request: FastifyRequest) =>
        grantOf(
          tokenFromRequest(
            request.headers.authorization,
            new URLSearchParams(request.url.split('?', 2)[1] ?? ''),
          ),
        ),
      iceServers: (client: { identity: string }) => clientIceServers(rtc.iceServers, client),
      logger: logger.child({ component: 'signaling' }),
      pending: new PendingSessions(rtc.maxPendingSessions),
    };

    const recovery = new EgressRecovery({
      connection: redis.shared,
      queue,
      store,
      isJoined: (egressId, attempt) => bridge.isJoined(egressId, attempt),
      logger: logger.child({ component: 'recovery' }),
    });
    ends.push(() => recovery.close());
    await recovery.ready();
    const ingressRecovery = new IngressRecovery({
      ...{ connection: redis.shared, queue: ingressQueue, store: ingressStore },
      isJoined: (identity, attempt) => bridge.isJoined(identity, attempt),
      logger: logger.child({ component: 'recovery' }),
    });
    ends.push(() => ingressRecovery.close());
    await ingressRecovery.ready();
    const bridge = createBridge({
      sfu,
      authenticate: async (token) => {
        if (token === undefined) throw new AuthError('unauthenticated', 'an access token is needed');
        return workerGrant(await verifier.verify(token, 'bridge'));
      },
      onLost: (identity, _roomName, attempt, kind) =>
        kind === ParticipantInfo_Kind.INGRESS
          ? ingressRecovery.requeue(attempt, 'its worker was lost')
          : recovery.requeue(identity, attempt, 'its worker was lost'),
      media: { listenIp: plainListenIp, announcedAddress: rtc.announcedAddress },
      logger: logger.child({ component: 'bridge' }),
    });

    const sweep = sweepOf(
      { redis, store, queue, ingressStore, ingressQueue },
      { recovery, ingressRecovery, bridge, logger: logger.child({ component: 'recovery' }) },
    );
    ends.push(() => sweep.close());

    const { allowNetworks, fileRoots } = config.ingress;
    const guard = createGuard({ allowNetworks, fileRoots, logger: ingressLogger });
    const outbound = { policy, storage: config.storage };
    const ownHost = isUnspecified(http.host) ? (externalAddress() ?? LOOPBACK) : http.host;
    let url = '';
    const metrics = new Metrics();
    ingressMetrics(metrics, ingressStore);
    const roster = new Roster(redis.shared);
    admissionMetrics(metrics, {
      waiting: { egress: () => queue.waiting(), ingress: () => ingressQueue.waiting() },
      workers: () => roster.workers(),
    });
    const line = new WaitingLine({
      ...{ store, queue, ingressStore, ingressQueue },
      startDeadlineMs: config.egress.startDeadlineMs,
      logger: logger.child({ component: 'waiting' }),
    });
    ends.push(() => line.close());
    const egress: EgressServiceOptions = {
      ...{ sfu, store, queue, bridgeUrl: atWorkers.bridgeUrl, outbound },
      refusal: async (plan) => diskRefusal(await roster.workers(), bytesOf(plan, config)),
      signingKeys: new Set(Object.keys(config.keys)),
      hls: hlsDefaults(config),
    };
    const autoEgress = autoEgressOf(egress, sfu, logger.child({ component: 'auto-egress' }));
    ends.push(() => autoEgress.close());
    const app = buildHttp({
      metrics,
      logger: logger.child({ component: 'http' }),
      verifier,
      tls: tls && { cert: readFileSync(tls.cert), key: readFileSync(tls.key) },
      limits: http,
      services: [
        new RoomService(sfu, autoEgress),
        new EgressService(egress),
        new SluiceEgressService(egress),
        new IngressService({
          ...{ store: ingressStore, queue: ingressQueue, bridgeUrl: atWorkers.bridgeUrl },
          urls: () => ingressUrls(config.ingress, { host: ownHost, rtmpPort: rtmp.port, httpUrl: url }),
          checkUrl: (source) => guard.check(source),
        }),
      ],
      health: async () => {
        if (redis.shared.status !== 'ready') return { ok: false, reason: 'Redis is away' };
        if (localWorker)
          return localWorker() ? { ok: true } : { ok: false, reason: 'the worker has no room' };
        const workers = await queue.workerCount();
        return workers > 0 ? { ok: true } : { ok: false, reason: 'no worker is connected' };
      },
      files:
        config.storage.type === 'local'
          ? { root: config.storage.local.path, access: isLoopback(http.host) ? 'public' : 'token' }
          : undefined,
      pages: pagesFolder(),
      plugins: [
        async (app) => {
          await app.register(whipPlugin, { ...signaling, ingress: ingressWhip });
        },
        async (app) => {
          await app.register(whepPlugin, signaling);
        },
        relayPlugin(rtmp.relay, verifier),
      ],
      upgrades: { '/bridge': (request, socket, head) => bridge.handleUpgrade(request, socket, head) },
    });
    ends.push(() => app.close());
    // Before the HTTP server drops its sockets: workers are told that their rooms have ended.
    ends.push(() => bridge.close());
    await app.listen({ host: http.host, port: http.port });
    const { port } = app.server.address() as AddressInfo;
    const local =
      tls && localWorker
        ? await listenOnLoopback(
            (...upgrade) => bridge.handleUpgrade(...upgrade),
            (...exchange) => app.server.emit('request', ...exchange),
          )
        : undefined;
    if (local) ends.push(local.close);
    const tlsOn = tls !== undefined;
    workersUrl = config.bridge.url ?? local?.url ?? bridgeUrl(http.host, port, tlsOn, externalAddress());
    url = `${tlsOn ? 'https' : 'http'}://${ownHost.includes(':') ? `[${ownHost}]` : ownHost}:${port}`;
    return { url, close };
  } catch (error) {
    await close();
    throw error;
  }
}
