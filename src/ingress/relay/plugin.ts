/** `GET /ingress/relay/:resourceId`: a publisher's media as one FLV, for the worker that has its session. */
import type { ServerResponse } from 'node:http';
import type { FastifyPluginAsync } from 'fastify';
import { AuthError, permissionDenied } from '../../auth/errors.ts';
import { tokenFromRequest } from '../../auth/verify.ts';
import type { TokenVerifier } from '../../auth/verify.ts';
import type { RelayOutput } from './reader.ts';
import type { RtmpRelay } from './relay.ts';

/** Trailer that says why the FLV ended: `complete`, `restart` or `lost`; without it the connection broke. */
export const END_TRAILER = 'x-sluice-end';
/** How often TCP asks a silent worker, ms. */
const KEEP_ALIVE_MS = 5000;

/** Asks for the token of this session's worker: 401 without it; 404 when the session is over, or not held here. */
export function relayPlugin(relay: RtmpRelay, verifier: Pick<TokenVerifier, 'verify'>): FastifyPluginAsync {
  return async (app) => {
    app.get<{ Params: { resourceId: string } }>('/ingress/relay/:resourceId', async (request, reply) => {
      const token = tokenFromRequest(request.headers.authorization, new URLSearchParams());
      if (token === undefined) throw new AuthError('unauthenticated', 'an access token is needed');
      const { job } = await verifier.verify(token, 'relay');
      if (job?.id !== request.params.resourceId) throw permissionDenied();
      const session = relay.session(request.params.resourceId);
      if (!session) return reply.code(404).type('text/plain').send('this session is over');

      reply.hijack();
      const { raw } = reply;
      // Nothing comes while the publisher is waited for.
      raw.socket?.setTimeout(0);
      raw.socket?.setKeepAlive(true, KEEP_ALIVE_MS);
      raw.writeHead(200, {
        'content-type': 'video/x-flv',
        'cache-control': 'no-store',
        connection: 'close',
        trailer: END_TRAILER,
      });
      raw.flushHeaders();
      const reader = session.read(output(raw));
      raw.on('drain', () => reader.drained());
      raw.once('error', () => raw.destroy());
      raw.once('close', () => {
        reader.end('lost');
        session.left(reader);
      });
      return reply;
    });
  };
}

function output(raw: ServerResponse): RelayOutput {
  return {
    write: (bytes) => raw.write(bytes),
    end: (why) => {
      if (raw.destroyed || raw.writableEnded) return;
      raw.addTrailers({ [END_TRAILER]: why });
      raw.end();
    },
  };
}
