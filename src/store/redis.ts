/** Connections to Redis. */
import { Redis } from 'ioredis';
import type { Logger } from 'pino';
import { redactUrl } from '../redact.ts';

export interface RedisConnections {
  /** For commands; everybody's. */
  readonly shared: Redis;
  /** A connection of one's own, for subscribing or blocking. Whoever asks closes it. */
  duplicate(name: string): Redis;
  /**
   * Resolves when Redis answers, and warns when it may forget things.
   * @throws Error when it does not answer in time, naming the URL without its password.
   */
  ready(timeoutMs?: number): Promise<void>;
  /** Sends what is waiting, then closes the shared connection. Those of `duplicate` are their owners'. */
  close(): Promise<void>;
}

/** The longest pause between two attempts to connect, ms. */
const MAX_RETRY_MS = 2000;

/** How long a QUIT may take when Redis has gone silent, ms. */
const QUIT_MS = 2000;

/**
 * @param url `redis://`, `rediss://` or `unix://` (a socket's path).
 * Commands given while Redis is away wait until it is back: nothing is lost to an outage, and nothing fails by one.
 */
export function connectRedis({ url, logger }: { url: string; logger: Logger }): RedisConnections {
  const shown = redactUrl(url);
  const options = {
    // BullMQ needs it, and so do we: a command outlives an outage.
    maxRetriesPerRequest: null,
    retryStrategy: (times: number) => Math.min(50 * 2 ** Math.min(times, 10), MAX_RETRY_MS),
  };
  const target = url.startsWith('unix://') ? url.slice('unix://'.length) : url;
  const shared = new Redis(target, { ...options, connectionName: 'sluice' });
  let closing = false;
  logOutages(shared, shown, logger, () => closing);

  return {
    shared,
    duplicate(name) {
      const connection = shared.duplicate({ connectionName: `sluice-${name}` });
      // The shared connection tells of outages; without a listener ioredis writes to the console.
      connection.on('error', (error) => logger.debug({ err: error, connection: name }, 'redis connection'));
      return connection;
    },
    async ready(timeoutMs = 10_000) {
      await within(timeoutMs, shared.ping(), `Redis at ${shown} did not answer within ${timeoutMs / 1000} s`);
      await warnOfEviction(shared, logger);
    },
    async close() {
      closing = true;
      await closeRedis(shared);
    },
  };
}

/** Quits, or disconnects when Redis does not answer. */
export async function closeRedis(connection: Redis): Promise<void> {
  if (connection.status === 'end') return;
  if (connection.status === 'ready') {
    try {
      await within(QUIT_MS, connection.quit(), 'no answer to QUIT');
      return;
    } catch {
      // Redis has gone, or hangs: there is nobody to say good-bye to.
    }
  }
  connection.disconnect();
}

/** One line when Redis goes and one when it is back, not one an attempt. */
function logOutages(connection: Redis, url: string, logger: Logger, isClosing: () => boolean): void {
  let downSince: number | undefined;
  connection.on('error', (error) => {
    if (downSince !== undefined || isClosing()) return;
    downSince = Date.now();
    logger.error({ err: error, url }, 'redis is away; waiting for it');
  });
  connection.on('ready', () => {
    if (downSince !== undefined)
      logger.info({ url, seconds: (Date.now() - downSince) / 1000 }, 'redis is back');
    downSince = undefined;
  });
  connection.on('close', () => {
    if (downSince !== undefined || isClosing()) return;
    downSince = Date.now();
    logger.error({ url }, 'redis closed the connection; reconnecting');
  });
}

async function warnOfEviction(redis: Redis, logger: Logger): Promise<void> {
  const info = await redis.info('memory');
  const policy = /^maxmemory_policy:(\S+)/m.exec(info)?.[1];
  if (policy !== undefined && policy !== 'noeviction') {
    logger.warn(
      { policy },
      'redis may evict jobs and recordings in progress: set maxmemory-policy to noeviction',
    );
  }
}

async function within<T>(ms: number, work: Promise<T>, message: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  try {
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error(message)), ms);
    });
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
    work.catch(() => undefined);
  }
}
