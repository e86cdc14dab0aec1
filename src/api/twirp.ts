/** Twirp (https://twitchtv.github.io/twirp/docs/spec_v7.html) as LiveKit's SDKs speak it, for any set of services. */
import type { JsonValue, Message } from '@bufbuild/protobuf';
import type { FastifyInstance, FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify';
import type { Logger } from 'pino';
import type { Claims } from '../auth/claims.ts';
import { AuthError, PERMISSIONS_DENIED } from '../auth/errors.ts';
import { tokenFromRequest } from '../auth/verify.ts';
import type { TokenVerifier } from '../auth/verify.ts';
import { TwirpError, toTwirpError } from './errors.ts';
import { KNOWN_RPCS } from './known-rpcs.ts';
import { complaint } from './protojson.ts';
import type { JsonMethod, RpcContext, RpcMethod, RpcService } from './rpc.ts';

/** LiveKit's limit on a request's body. */
export const MAX_BODY_BYTES = 10 * 1024 * 1024;

type Encoding = 'json' | 'protobuf';

const CONTENT_TYPE: Record<Encoding, string> = {
  // Exactly this: with a charset behind it the SDKs do not read an error's code.
  json: 'application/json',
  protobuf: 'application/protobuf',
};

export interface TwirpOptions {
  services: readonly RpcService[];
  verifier: TokenVerifier;
  logger: Logger;
  /** Called once a call, for metrics; `code` is `ok` or a Twirp code. */
  onCall?: (call: { service: string; method: string; code: string; seconds: number }) => void;
}

/** What is known of a call before its body is read. */
interface Route {
  service: string;
  method: string;
  rpc: RpcMethod | JsonMethod | undefined;
  encoding: Encoding;
  claims: Claims;
}

declare module 'fastify' {
  interface FastifyRequest {
    twirp: Route | null;
  }
}

function badRoute(request: FastifyRequest, message: string): TwirpError {
  const [path = ''] = request.url.split('?', 1);
  return new TwirpError('bad_route', message, {
    meta: { twirp_invalid_route: `${request.method} ${path}` },
  });
}

function encodingOf(request: FastifyRequest): Encoding {
  const header = request.headers['content-type'] ?? '';
  switch (header.split(';', 1)[0]?.trim().toLowerCase()) {
    case CONTENT_TYPE.json:
      return 'json';
    case CONTENT_TYPE.protobuf:
      return 'protobuf';
    default:
      throw badRoute(
        request,
        `unexpected Content-Type: ${JSON.stringify(header.slice(0, 100))}; use application/json or application/protobuf`,
      );
  }
}

/**
 * A field that is null is one that is not set (proto3's JSON mapping); the decoder would take it for a member of its
 * oneof that is there and has no value. Null in a list is left to the decoder, which refuses it.
 */
function withoutNulls(this: unknown, _name: string, value: unknown): unknown {
  return value === null && !Array.isArray(this) ? undefined : value;
}

function decode(rpc: RpcMethod, encoding: Encoding, body: Buffer): Message {
  try {
    if (encoding === 'protobuf') return rpc.input.fromBinary(body);
    const text = new TextDecoder('utf-8', { fatal: true }).decode(body);
    return rpc.input.fromJson(JSON.parse(text, withoutNulls) as JsonValue, { ignoreUnknownFields: true });
  } catch (error) {
    throw new TwirpError('malformed', `the ${encoding} request could not be decoded${complaint(error)}`, {
      cause: error,
    });
  }
}

/** What a method of our own takes and gives. */
async function callJson(rpc: JsonMethod, encoding: Encoding, body: Buffer, context: RpcContext) {
  if (encoding === 'protobuf') {
    throw new TwirpError('malformed', 'this method speaks JSON alone: send application/json');
  }
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body), withoutNulls);
  } catch (error) {
    throw new TwirpError('malformed', 'the json request could not be decoded: it is not JSON', {
      cause: error,
    });
  }
  return Buffer.from(JSON.stringify(await rpc.callJson(value, context)));
}

function encode(message: Message, encoding: Encoding): Buffer {
  if (encoding === 'protobuf') return Buffer.from(message.toBinary());
  return Buffer.from(message.toJsonString({ useProtoFieldName: true, emitDefaultValues: true }));
}

/** Fastify's own errors, said in Twirp. */
function fromFastify(error: unknown): TwirpError {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  switch (code) {
    case 'FST_ERR_CTP_BODY_TOO_LARGE':
      // LiveKit answers 413, which Twirp has no code of its own for.
      return new TwirpError('resource_exhausted', `request body too large: at most ${MAX_BODY_BYTES} bytes`, {
        status: 413,
      });
    case 'FST_ERR_CTP_INVALID_CONTENT_LENGTH':
      return new TwirpError('malformed', 'the request body is not as long as its Content-Length says');
    default:
      return toTwirpError(error);
  }
}

/** Sends a Buffer, so that Fastify adds no charset. */
function sendError(reply: FastifyReply, error: TwirpError): FastifyReply {
  return reply
    .code(error.status)
    .header('content-type', CONTENT_TYPE.json)
    .send(Buffer.from(JSON.stringify(error.body())));
}

/**
 * Routes `POST /twirp/livekit.{Service}/{Method}`, and our own services in `sluice`. The token is checked before the body is read: without a good one
 * nobody makes us hold 10 MiB.
 */
export function twirpPlugin({ services, verifier, logger, onCall }: TwirpOptions): FastifyPluginAsync {
  const byName = new Map(
    services.map((service) => [`${service.package ?? 'livekit'}.${service.name}`, service.methods]),
  );

  async function route(request: FastifyRequest): Promise<Route> {
    if (request.method !== 'POST') {
      throw badRoute(request, `unsupported method "${request.method}" (only POST is allowed)`);
    }
    const [path = ''] = request.url.split('?', 1);
    const [, from = '', service = '', method = ''] =
      /^\/twirp\/(livekit|sluice)\.(\w+)\/(\w+)$/.exec(path) ?? [];
    const methods = byName.get(`${from}.${service}`);
    const rpc = methods && Object.hasOwn(methods, method) ? methods[method] : undefined;
    const isKnown =
      from === 'livekit' &&
      Object.hasOwn(KNOWN_RPCS, service) &&
      KNOWN_RPCS[service]?.includes(method) === true;
    if (!rpc && !isKnown) throw badRoute(request, `no handler for path "${path.slice(0, 200)}"`);
    const encoding = encodingOf(request);
    const query = new URLSearchParams(request.url.slice(path.length));
    const token = tokenFromRequest(request.headers.authorization, query);
    if (token === undefined) throw new AuthError('unauthenticated', PERMISSIONS_DENIED);
    return { service, method, rpc, encoding, claims: await verifier.verify(token) };
  }

  async function call(request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    if (!request.twirp) throw new Error('a Twirp call was not routed');
    const { service, method, rpc, encoding, claims } = request.twirp;
    if (!rpc) throw new TwirpError('unimplemented', `${service}.${method} is not implemented`);
    const body = Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0);
    const context = { claims, logger: logger.child({ rpc: `${service}.${method}`, reqId: request.id }) };
    const answer =
      'callJson' in rpc
        ? await callJson(rpc, encoding, body, context)
        : encode(await rpc.call(decode(rpc, encoding, body), context), encoding);
    return reply.header('content-type', CONTENT_TYPE[encoding]).send(answer);
  }

  return async (app: FastifyInstance) => {
    app.decorateRequest('twirp', null);
    app.removeAllContentTypeParsers();
    app.addContentTypeParser('*', { parseAs: 'buffer', bodyLimit: MAX_BODY_BYTES }, (_request, body, done) =>
      done(null, body),
    );
    app.addHook('onRequest', async (request) => {
      request.twirp = await route(request);
    });
    app.setErrorHandler((error, request, reply) => {
      const twirp = fromFastify(error);
      if (twirp.status >= 500 && twirp.code !== 'unimplemented') {
        request.log.error({ err: twirp.cause ?? twirp, code: twirp.code }, 'call failed');
      } else {
        request.log.info({ code: twirp.code }, 'call refused');
      }
      report(request, reply, twirp.code);
      return sendError(reply, twirp);
    });
    app.addHook('onResponse', async (request, reply) => {
      if (reply.statusCode === 200) report(request, reply, 'ok');
    });
    app.all('/twirp/*', call);
  };

  function report(request: FastifyRequest, reply: FastifyReply, code: string): void {
    const { service = 'unknown', method = 'unknown' } = request.twirp ?? {};
    onCall?.({ service, method, code, seconds: reply.elapsedTime / 1000 });
  }
}
