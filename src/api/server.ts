/** The HTTP server: everything that listens on `http.port`, put together. */
import fastifyStatic from '@fastify/static';
import { fastify } from 'fastify';
import type { FastifyInstance, FastifyPluginAsync, FastifyRequest } from 'fastify';
import type { Logger } from 'pino';
import type { TokenVerifier } from '../auth/verify.ts';
import { toTwirpError } from './errors.ts';
import { filesPlugin } from './files.ts';
import type { FilesOptions } from './files.ts';
import { limitPeers } from './limits.ts';
import type { HttpLimits } from './limits.ts';
import { healthPlugin } from './health.ts';
import type { Health } from './health.ts';
import { Metrics, processMetrics } from './metrics.ts';
import type { RpcService } from './rpc.ts';
import { twirpPlugin } from './twirp.ts';
import { routeUpgrades } from './upgrades.ts';
import type { UpgradeHandler } from './upgrades.ts';

export interface HttpOptions {
  logger: Logger;
  verifier: TokenVerifier;
  /** PEM, the contents of the files: HTTPS and WSS. */
  tls?: { cert: string | Buffer; key: string | Buffer } | undefined;
  services: readonly RpcService[];
  /** Whether jobs can be taken; asked by every `GET /healthz`. */
  health: () => Promise<Health>;
  /** More to show on `GET /metrics`. */
  metrics?: Metrics;
  /** Local storage to be seen under `/files`. */
  files?: FilesOptions | undefined;
  /** Folder with `index.html`, shown at `/`. */
  pages?: string | undefined;
  /** WHIP, WHEP, ...: each gets a context of its own, errors and content types included. */
  plugins?: readonly FastifyPluginAsync[];
  /** What one peer may; default: anything. */
  limits?: HttpLimits;
  timeouts?: Partial<HttpTimeouts>;
  /** By path, e.g. `/bridge`. */
  upgrades?: Readonly<Record<string, UpgradeHandler>>;
}

/** For peers that are slow on purpose. Milliseconds. */
export interface HttpTimeouts {
  /** From a connection's first moment, or a request's first byte, to the end of its headers. */
  headers: number;
  /** The same to the end of its body. */
  request: number;
  /** Without a byte in either direction. */
  idle: number;
  /** Between two requests. */
  keepAlive: number;
  /** How often Node looks for the first two. */
  check: number;
}

const TIMEOUTS: HttpTimeouts = {
  headers: 10_000,
  request: 30_000,
  idle: 60_000,
  keepAlive: 30_000,
  check: 2_000,
};
const MAX_REQUESTS_PER_SOCKET = 10_000;

/** Asked for every few seconds by machines. */
const QUIET = /^\/(healthz|metrics|files\/)/;

const PREFLIGHT_HEADERS = {
  'access-control-allow-methods': 'GET, HEAD, POST, OPTIONS',
  'access-control-allow-headers': 'authorization, content-type, range, x-livekit-request-id',
  'access-control-max-age': '86400',
};

/**
 * Pages of any origin may call: nothing here goes by cookies, so a page can do no more than its token allows.
 * Preflights of plugins are theirs.
 */
function allowOtherOrigins(app: FastifyInstance): void {
  app.addHook('onRequest', async (request, reply) => {
    reply.header('access-control-allow-origin', '*');
    reply.header('access-control-expose-headers', 'content-length, content-range, etag, link, location');
    const isPreflight =
      request.method === 'OPTIONS' && request.headers['access-control-request-method'] !== undefined;
    if (isPreflight && /^\/(twirp|files)\//.test(request.url)) {
      return reply.code(204).headers(PREFLIGHT_HEADERS).send();
    }
    return undefined;
  });
}

/**
 * Without the query, which may hold a token. Below `/whip` there are stream keys and the URLs of sessions, which open
 * what they name: only the route is shown.
 */
function loggedPath({ url, routeOptions }: FastifyRequest): string {
  if (/^\/wh[ie]p\//.test(routeOptions.url ?? '')) return routeOptions.url ?? '';
  const [path = ''] = url.split('?', 1);
  return path.replace(/^(\/wh[ie]p\/).+$/is, '$1{...}').slice(0, 200);
}

/** One line a request. */
function logRequests(app: FastifyInstance, logger: Logger): void {
  app.addHook('onResponse', async (request, reply) => {
    const path = loggedPath(request);
    const line = {
      reqId: request.id,
      method: request.method,
      path,
      status: reply.statusCode,
      ms: Math.round(reply.elapsedTime),
      remote: request.ip,
    };
    if (QUIET.test(path) && reply.statusCode < 500) logger.debug(line, 'request');
    else logger.info(line, 'request');
  });
}

/** What plugins do not answer themselves: the message of an error of ours, nothing of others. */
function answerErrors(app: FastifyInstance, logger: Logger): void {
  app.setErrorHandler((error, request, reply) => {
    const refused = statusOf(error);
    if (refused !== undefined) {
      return reply
        .code(refused)
        .type('text/plain')
        .send(error instanceof Error ? error.message : 'refused');
    }
    const { status, message } = toTwirpError(error);
    if (status >= 500) logger.error({ err: error, reqId: request.id }, 'request failed');
    return reply.code(status).type('text/plain').send(message);
  });
  app.setNotFoundHandler((_request, reply) => reply.code(404).type('text/plain').send('not found'));
}

/** Status of an error of Fastify's own that is the client's fault. */
function statusOf(error: unknown): number | undefined {
  if (!(error instanceof Error) || !('statusCode' in error)) return undefined;
  const { statusCode } = error;
  return typeof statusCode === 'number' && statusCode >= 400 && statusCode < 500 ? statusCode : undefined;
}

/** Calls by service, method and code. */
function callMetrics(metrics: Metrics): NonNullable<Parameters<typeof twirpPlugin>[0]['onCall']> {
  const calls = metrics.counter('sluice_twirp_calls_total', 'API calls by outcome.');
  const durations = metrics.histogram('sluice_twirp_call_seconds', 'Duration of API calls that were routed.');
  return ({ service, method, code, seconds }) => {
    calls({ service, method, code });
    if (service !== 'unknown') durations({ service, method }, seconds);
  };
}

/** LiveKit's SDKs put two slashes there when the server's URL ends with one. */
function withoutDoubleSlash(url: string | undefined): string {
  return (url ?? '/').replace(/^\/\/+/, '/');
}

/**
 * Everything but the listening: `await app.listen({ host, port })` starts it, `await app.close()` ends it with every
 * connection. Sockets that were upgraded are closed by their owners first.
 */
export function buildHttp(options: HttpOptions): FastifyInstance {
  const { logger, verifier, tls, metrics = new Metrics() } = options;
  const timeouts = { ...TIMEOUTS, ...options.timeouts };
  const limits = { headersTimeout: timeouts.headers, connectionsCheckingInterval: timeouts.check };
  const app = fastify({
    logger: false,
    forceCloseConnections: true,
    requestTimeout: timeouts.request,
    connectionTimeout: timeouts.idle,
    keepAliveTimeout: timeouts.keepAlive,
    maxRequestsPerSocket: MAX_REQUESTS_PER_SOCKET,
    rewriteUrl: (request) => withoutDoubleSlash(request.url),
    ...(tls ? { https: { ...limits, ...tls, handshakeTimeout: timeouts.headers } } : { http: limits }),
  }) as unknown as FastifyInstance;

  if (options.limits) limitPeers(app, options.limits, logger);
  const closeUpgrades = routeUpgrades(app.server, options.upgrades ?? {}, logger);
  app.addHook('preClose', async () => closeUpgrades());
  allowOtherOrigins(app);
  logRequests(app, logger);
  answerErrors(app, logger);

  processMetrics(metrics);
  void app.register(healthPlugin({ health: options.health, metrics }));
  void app.register(
    twirpPlugin({ services: options.services, verifier, logger, onCall: callMetrics(metrics) }),
  );
  if (options.files) void app.register(filesPlugin(options.files, verifier));
  for (const plugin of options.plugins ?? []) void app.register(plugin);
  if (options.pages === undefined) app.get('/', () => 'OK');
  else void app.register(fastifyStatic, { root: options.pages, dotfiles: 'deny' });
  return app;
}
