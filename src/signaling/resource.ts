/** The HTTP both protocols share (RFC 9725 §4): an endpoint that begins sessions, and their URLs. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { problemHandler, SignalingError } from './errors.ts';
import { MAX_SDP_BYTES } from './sdp/raw.ts';
import { TokenHash } from './seats.ts';
import type { Session } from './session.ts';
import type { IceServer, SignalingGrant, SignalingOptions } from './types.ts';

const SDP = 'application/sdp';
const FRAGMENT = 'application/trickle-ice-sdpfrag';
const METHODS = { endpoint: 'OPTIONS, POST', session: 'OPTIONS, PATCH, DELETE' };
/** Of a day, in seconds: how long a browser may remember that it is allowed to ask. */
const PREFLIGHT_MAX_AGE = '86400';

export interface BegunSession {
  session: Session;
  answer: string;
}

/** Whom a request lets in. */
export interface Entrance {
  grant: SignalingGrant;
}

export interface Resource<E extends Entrance> {
  /** e.g. `/whip`; sessions are below it, at `/whip/sessions/:id`. */
  path: string;
  /** Routes at which sessions begin as well, e.g. `/whip/:key`. */
  alsoAt?: readonly string[];
  authenticate(request: FastifyRequest): Promise<E>;
  begin(offer: string, entrance: E, request: FastifyRequest): Promise<BegunSession>;
}

const sessionParams = z.object({ id: z.string() });

/** Adds the routes of one protocol. Sessions that are left when the server closes end as `node_shutdown`. */
export function addResource<E extends Entrance>(
  app: FastifyInstance,
  options: SignalingOptions,
  resource: Resource<E>,
): void {
  const { path } = resource;
  const sessions = new Map<string, Session>();

  app.setErrorHandler(problemHandler(options.logger));
  app.removeAllContentTypeParsers();
  app.addContentTypeParser([SDP, FRAGMENT], { parseAs: 'string' }, (_request, body, done) =>
    done(null, body),
  );
  app.addHook('onRequest', async (_request, reply) => {
    reply.header('access-control-allow-origin', '*');
    reply.header('access-control-expose-headers', 'Location, ETag, Link, Accept-Post, Accept-Patch');
  });
  app.addHook('onClose', async () => {
    for (const session of [...sessions.values()]) session.close('node_shutdown');
  });

  for (const endpoint of [path, ...(resource.alsoAt ?? [])]) {
    app.post(endpoint, { bodyLimit: MAX_SDP_BYTES }, beginSession);
    app.options(endpoint, describeEndpoint);
    app.route({
      method: ['GET', 'PUT', 'PATCH', 'DELETE'],
      url: endpoint,
      handler: notAllowed(METHODS.endpoint),
    });
  }

  async function beginSession(request: FastifyRequest, reply: FastifyReply): Promise<string> {
    checkAccept(request.headers.accept);
    const offer = bodyOf(request, SDP);
    const entrance = await resource.authenticate(request);
    const settled = options.pending?.enter() ?? (() => undefined);
    const { session, answer } = await resource.begin(offer, entrance, request).catch((error: unknown) => {
      settled();
      throw error;
    });
    void session.settled.then(settled);
    if (session.closed) throw new SignalingError(409, 'the participant was removed before it had joined');
    sessions.set(session.id, session);
    session.transport.observer.once('close', () => sessions.delete(session.id));
    iceServerLinks(reply, options.iceServers(entrance.grant));
    reply.code(201).type(SDP);
    reply.header('location', `${path}/sessions/${session.id}`);
    reply.header('etag', session.etag);
    reply.header('accept-patch', FRAGMENT);
    return answer;
  }

  app.patch(`${path}/sessions/:id`, { bodyLimit: MAX_SDP_BYTES }, async (request, reply) => {
    const session = await sessionOf(request);
    const { fragment } = await session.patch(bodyOf(request, FRAGMENT), request.headers['if-match']);
    if (fragment === undefined) return reply.code(204).send();
    reply.code(200).type(FRAGMENT);
    reply.header('etag', session.etag);
    return fragment;
  });

  app.delete(`${path}/sessions/:id`, async (request, reply) => {
    const session = await sessionOf(request);
    session.close('client_left', true);
    return reply.code(200).send();
  });

  async function describeEndpoint(request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    preflight(reply, METHODS.endpoint);
    reply.header('accept-post', SDP);
    // Clients that gather before they offer ask here, with their token (RFC 9725 §4.6).
    if (request.headers.authorization !== undefined) {
      iceServerLinks(reply, options.iceServers((await resource.authenticate(request)).grant));
    }
    return reply.code(204).send();
  }
  app.options(`${path}/sessions/:id`, async (_request, reply) => {
    preflight(reply, METHODS.session);
    reply.header('accept-patch', FRAGMENT);
    return reply.code(204).send();
  });

  app.route({
    method: ['GET', 'PUT', 'POST'],
    url: `${path}/sessions/:id`,
    handler: notAllowed(METHODS.session),
  });

  /** The token of the request that began the session opens it, also after it has expired; so does a newer one. */
  async function sessionOf(request: FastifyRequest): Promise<Session> {
    const { id } = sessionParams.parse(request.params);
    const session = sessions.get(id);
    if (session?.isOpenTo(new TokenHash(request.headers.authorization))) return session;
    const { grant } = await resource.authenticate(request);
    if (!session) throw new SignalingError(404, 'there is no such session: it has ended, or never was');
    if (!session.isOf(grant)) throw new SignalingError(403, 'this session belongs to another participant');
    return session;
  }
}

function notAllowed(allow: string) {
  return async (_request: FastifyRequest, reply: FastifyReply): Promise<never> => {
    reply.header('allow', allow);
    throw new SignalingError(405, `only ${allow} are allowed here`);
  };
}

function checkAccept(accept: string | undefined): void {
  const types = (accept ?? '*/*').split(',').map((type) => (type.split(';')[0] ?? '').trim().toLowerCase());
  if (types.some((type) => type === '' || type === '*/*' || type === 'application/*' || type === SDP)) return;
  throw new SignalingError(406, `the answer is ${SDP}: "Accept" must allow it`);
}

function bodyOf(request: FastifyRequest, type: string): string {
  const given = (request.headers['content-type'] ?? '').split(';')[0]?.trim().toLowerCase();
  if (given !== type) throw new SignalingError(415, `"Content-Type" must be ${type}`);
  if (typeof request.body !== 'string' || request.body === '') {
    throw new SignalingError(400, `the body is empty: it must be ${type}`);
  }
  return request.body;
}

function preflight(reply: FastifyReply, methods: string): void {
  reply.header('access-control-allow-methods', methods);
  reply.header('access-control-allow-headers', 'Authorization, Content-Type, If-Match');
  reply.header('access-control-max-age', PREFLIGHT_MAX_AGE);
}

/** RFC 9725 §4.6. */
function iceServerLinks(reply: FastifyReply, servers: readonly IceServer[]): void {
  const quoted = (value: string) => `"${value.replaceAll(/["\\]/g, '\\$&')}"`;
  const links = servers.flatMap(({ urls, username, credential }) =>
    urls.map((url) => {
      const parts = [`<${url}>`, 'rel="ice-server"'];
      if (username !== undefined && credential !== undefined) {
        parts.push(
          `username=${quoted(username)}`,
          `credential=${quoted(credential)}`,
          'credential-type="password"',
        );
      }
      return parts.join('; ');
    }),
  );
  if (links.length > 0) reply.header('link', links);
}
