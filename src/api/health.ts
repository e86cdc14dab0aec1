/** `GET /healthz` and `GET /metrics`, for what watches the service. */
import type { FastifyInstance, FastifyPluginAsync } from 'fastify';
import { withDeadline } from './deadline.ts';
import type { Metrics } from './metrics.ts';

export interface Health {
  /** Jobs can be taken. */
  ok: boolean;
  /** Why not; it is shown to anybody, so no secrets. */
  reason?: string;
}

/** A watcher gives up soon. */
const HEALTH_MS = 2_000;

async function ask(health: () => Promise<Health>): Promise<Health> {
  try {
    return await withDeadline('the health check', health(), undefined, HEALTH_MS);
  } catch {
    return { ok: false, reason: 'the health check failed or did not answer in time' };
  }
}

export function healthPlugin(options: {
  health: () => Promise<Health>;
  metrics: Metrics;
}): FastifyPluginAsync {
  return async (app: FastifyInstance) => {
    app.get('/healthz', async (_request, reply) => {
      const { ok, reason } = await ask(options.health);
      return reply
        .code(ok ? 200 : 503)
        .header('cache-control', 'no-store')
        .send(ok ? { status: 'ok' } : { status: 'unavailable', reason: reason ?? 'jobs cannot be taken' });
    });
    app.get('/metrics', async (_request, reply) =>
      reply.type('text/plain; version=0.0.4; charset=utf-8').send(await options.metrics.text()),
    );
  };
}
