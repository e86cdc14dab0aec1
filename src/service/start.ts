/**
 * What runs in a process: the server's parts, the worker's, or both on a Redis of their own. Each is loaded where it is
 * run: most of a start is loading.
 */
import type { Logger } from 'pino';
import type { Config } from '../config/types.ts';
import { egressQueue, ingressQueue } from '../jobs/queues.ts';
import { connectRedis, createEgressStore, createIngressStore, startEmbeddedRedis } from '../store/index.ts';
import type { RedisConnections } from '../store/index.ts';
import type { startServer } from './server.ts';
import type { RunningWorker, Shared } from './shared.ts';

export type Role = 'all' | 'server' | 'worker';

export interface Sluice {
  /** Where the API answers; undefined in a worker. */
  readonly url: string | undefined;
  /** Ends everything in order: jobs first, then the rooms, then Redis. Never throws; what goes wrong is logged. */
  close(): Promise<void>;
}

/** @throws Error that says what could not be started; nothing is left running then. */
export async function startSluice({
  config,
  role,
  logger,
  onFatal,
}: {
  config: Config;
  role: Role;
  logger: Logger;
  /** Something the process cannot go on without is gone for good: close it. */
  onFatal: (error: Error) => void;
}): Promise<Sluice> {
  // Ended in reverse order, whatever the way out.
  const owned: { name: string; end: () => Promise<void> }[] = [];
  const close = async () => {
    for (const { name, end } of owned.splice(0).reverse()) {
      try {
        await end();
      } catch (error) {
        logger.error({ err: error, part: name }, 'not ended in order');
      }
    }
  };
  const own = <T>(name: string, part: T, end: (part: T) => Promise<void>): T => {
    owned.push({ name, end: () => end(part) });
    return part;
  };

  try {
    const redis = own('redis connection', await openRedis(), (each) => each.close());
    const store = own('store', createEgressStore(redis, logger.child({ component: 'store' })), (each) =>
      each.close(),
    );
    const queue = own('queue', egressQueue(redis.shared, logger), (each) => each.close());
    const shared: Shared = {
      ...{ config, logger, redis, store, queue },
      ingressStore: own(
        'ingress store',
        createIngressStore(redis, logger.child({ component: 'store' })),
        (each) => each.close(),
      ),
      ingressQueue: own('ingress queue', ingressQueue(redis.shared, logger), (each) => each.close()),
    };
    // Both are ended at once, worker first: a finishing egress still needs its room.
    let worker: RunningWorker | undefined;
    const hasRoom = role === 'all' ? () => worker?.hasRoom ?? false : undefined;
    const server =
      role === 'worker' ? undefined : own('server', await serve(shared, hasRoom), (each) => each.close());
    if (role !== 'server') {
      worker = own('worker', await work(shared), (each) =>
        each.close(role === 'all' ? 'finish' : 'hand-over'),
      );
      logger.info('worker ready');
    }
    if (server) logger.info({ url: server.url }, 'server ready');
    return { url: server?.url, close };
  } catch (error) {
    await close();
    throw error;
  }

  async function openRedis(): Promise<RedisConnections> {
    let { url } = config.redis;
    if (url === undefined) {
      if (role !== 'all') {
        throw new Error(
          `redis.url (SLUICE_REDIS_URL) must be set for sluice ${role}; sluice start brings a Redis of its own`,
        );
      }
      const embedded = own(
        'embedded redis',
        await startEmbeddedRedis({ dataDir: config.dataDir, logger: logger.child({ component: 'redis' }) }),
        (each) => each.stop(),
      );
      void embedded.failed.then((error) => onFatal(error));
      ({ url } = embedded);
    }
    const connections = connectRedis({ url, logger: logger.child({ component: 'redis' }) });
    try {
      await connections.ready();
      return connections;
    } catch (error) {
      await connections.close();
      throw error;
    }
  }
}

async function serve(...parts: Parameters<typeof startServer>): ReturnType<typeof startServer> {
  return (await import('./server.ts')).startServer(...parts);
}

async function work(shared: Shared): Promise<RunningWorker> {
  return (await import('./worker.ts')).startWorker(shared);
}
