/** What one peer may ask of the HTTP server: connections, and requests a second. */
import type { FastifyInstance } from 'fastify';
import type { Logger } from 'pino';
import { limitConnections, peerOf } from '../limits/connections.ts';
import type { ConnectionLimits } from '../limits/connections.ts';
import { onceInAWhile } from '../limits/once-in-a-while.ts';
import { RateLimit } from '../limits/rate.ts';
import { TwirpError } from './errors.ts';

export interface HttpLimits extends ConnectionLimits {
  /** From one address, on average; 0: as many as come. */
  maxRequestsPerSecond: number;
}

/** Seconds' worth of requests that may come at once: a page with its files, a script with its calls. */
const BURST_SECONDS = 5;

/** To be called before anything else is added: what is too much is not looked at. */
export function limitPeers(app: FastifyInstance, limits: HttpLimits, logger: Logger): void {
  const tell = onceInAWhile((remote: string, reason: string) =>
    logger.warn({ remote, reason }, 'HTTP: refused'),
  );
  limitConnections(app.server, limits, tell);
  const { maxRequestsPerSecond: perSecond } = limits;
  if (perSecond === 0) return;
  const rate = new RateLimit({ perSecond, burst: perSecond * BURST_SECONDS });
  app.addHook('onRequest', async (request, reply) => {
    const peer = peerOf(request.socket.remoteAddress);
    const seconds = rate.take(peer);
    if (seconds === 0) return undefined;
    tell(peer, 'too many requests');
    const error = new TwirpError(
      'resource_exhausted',
      `too many requests from this address: at most ${perSecond} a second`,
    );
    reply.code(error.status).header('retry-after', String(Math.ceil(seconds)));
    // As bytes: to a string Fastify would add a charset, which Twirp's clients do not expect.
    if (request.url.startsWith('/twirp/')) {
      return reply.header('content-type', 'application/json').send(Buffer.from(JSON.stringify(error.body())));
    }
    return reply.type('text/plain').send(error.message);
  });
}
