import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Queue, Worker } from 'bullmq';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { egressQueue, parseJobId } from '../../src/jobs/queues.ts';
import { connectRedis, startEmbeddedRedis } from '../../src/store/index.ts';
import { identify, isRunning } from '../../src/store/process.ts';
import { startRedis } from '../support/redis.ts';

const silent = pino({ level: 'silent' });

function capture() {
  const lines: { level: number; msg: string }[] = [];
  const logger = pino(
    {},
    { write: (line: string) => void lines.push(JSON.parse(line) as { level: number; msg: string }) },
  );
  return { logger, messages: () => lines.map(({ msg }) => msg), text: () => JSON.stringify(lines) };
}

describe('connectRedis', () => {
  it('logs an outage once, carries out what was asked meanwhile, and says when it is over', async () => {
    const server = await startRedis();
    const { logger, messages } = capture();
    const redis = connectRedis({ url: server.url, logger });
    await redis.ready();
    const down = server.restart({ downMs: 1500 });
    await vi.waitFor(() => expect(messages()).toHaveLength(1));
    const set = redis.shared.set('a', '1');
    await down;
    expect(await set).toBe('OK');
    expect(messages()).toEqual([expect.stringMatching(/reconnecting|waiting for it/), 'redis is back']);
    await redis.close();
    await server.stop();
    expect(messages()).toHaveLength(2);
  });

  it('says which Redis does not answer, without its password', async () => {
    const { logger, text } = capture();
    const redis = connectRedis({ url: 'redis://:TOPSECRET@127.0.0.1:1/0', logger });
    await expect(redis.ready(300)).rejects.toThrow(
      'Redis at redis://{credentials}@127.0.0.1:1/0 did not answer',
    );
    await redis.close();
    expect(text()).not.toContain('TOPSECRET');
  });

  it('warns when Redis may evict', async () => {
    const server = await startRedis();
    const { logger, messages } = capture();
    const redis = connectRedis({ url: server.url, logger });
    await redis.ready();
    expect(messages()).toEqual([]);
    await redis.shared.config('SET', 'maxmemory-policy', 'allkeys-lru');
    await redis.ready();
    expect(messages()).toEqual([expect.stringContaining('noeviction')]);
    await redis.close();
    await server.stop();
  });

  it('closes in time when Redis hangs', async () => {
    const server = await startRedis();
    const redis = connectRedis({ url: server.url, logger: silent });
    await redis.ready();
    server.pause();
    const before = Date.now();
    await redis.close();
    expect(Date.now() - before).toBeLessThan(4000);
    await server.stop();
  });
});

describe('the egress queue', () => {
  it('hands out each attempt once', async () => {
    const server = await startRedis();
    const redis = connectRedis({ url: server.url, logger: silent });
    const queue = egressQueue(redis.shared, silent);
    await queue.add('EG_1', 1);
    await queue.add('EG_1', 1);
    await queue.add('EG_1', 2);
    await queue.add('EG_gone', 1);
    expect(await queue.waiting()).toBe(3);
    expect(await queue.remove('EG_gone', 1)).toBe(true);
    expect(await queue.waiting()).toBe(2);
    const taken: unknown[] = [];
    const worker = new Worker('egress', (job) => Promise.resolve(taken.push([job.id, job.data])), {
      connection: redis.shared,
      prefix: 'sluice',
    });
    await vi.waitFor(() => expect(taken).toHaveLength(2));
    expect(taken).toEqual([
      ['EG_1-1', { egressId: 'EG_1', attempt: 1 }],
      ['EG_1-2', { egressId: 'EG_1', attempt: 2 }],
    ]);
    await worker.close();
    await queue.close();
    await redis.close();
    await server.stop();
  });

  it.each([
    ['EG_1-2', { id: 'EG_1', attempt: 2 }],
    ['EG_a-b-10', { id: 'EG_a-b', attempt: 10 }],
    ['EG_1', undefined],
    ['EG_1-0', undefined],
    ['-1', undefined],
    ['', undefined],
  ])('reads %s', (id, job) => {
    expect(parseJobId(id)).toEqual(job);
  });
});

describe('startEmbeddedRedis', () => {
  let dataDir: string;
  beforeEach(() => {
    dataDir = mkdtempSync(join(tmpdir(), 'sluice-embedded-'));
  });
  afterEach(() => {
    rmSync(dataDir, { recursive: true, force: true });
  });

  it('keeps what it was given over a stop and a start, and suits BullMQ', async () => {
    const first = await startEmbeddedRedis({ dataDir, logger: silent });
    const { logger, messages } = capture();
    const redis = connectRedis({ url: first.url, logger });
    await redis.ready();
    await redis.shared.set('kept', 'yes');
    const queue = new Queue('q', { connection: redis.shared, prefix: 'sluice' });
    await queue.add('job', { n: 1 });
    await queue.close();
    expect(await redis.shared.config('GET', 'appendonly')).toEqual(['appendonly', 'yes']);
    expect(messages()).toEqual([]);
    await redis.close();
    const before = identify(first.pid);
    await first.stop();
    expect(before && isRunning(before)).toBe(false);

    const second = await startEmbeddedRedis({ dataDir, logger: silent });
    const again = connectRedis({ url: second.url, logger: silent });
    expect(await again.shared.get('kept')).toBe('yes');
    expect(await new Queue('q', { connection: again.shared, prefix: 'sluice' }).getWaitingCount()).toBe(1);
    await again.close();
    await second.stop();
  });

  it('comes back on the same socket when it is killed, with what it had', async () => {
    const embedded = await startEmbeddedRedis({ dataDir, logger: silent });
    const redis = connectRedis({ url: embedded.url, logger: silent });
    await redis.shared.set('kept', 'yes');
    const pid = embedded.pid;
    process.kill(pid, 'SIGKILL');
    await vi.waitFor(() => expect(embedded.pid).not.toBe(pid), { timeout: 5000 });
    expect(await redis.shared.get('kept')).toBe('yes');
    await redis.close();
    await embedded.stop();
  });

  it('takes a data folder whose path is too long for a socket', async () => {
    const deep = join(dataDir, 'a'.repeat(90), 'b'.repeat(90));
    const embedded = await startEmbeddedRedis({ dataDir: deep, logger: silent });
    const redis = connectRedis({ url: embedded.url, logger: silent });
    expect(await redis.shared.ping()).toBe('PONG');
    await redis.close();
    await embedded.stop();
  });

  it('refuses a data folder that another process uses', async () => {
    const embedded = await startEmbeddedRedis({ dataDir, logger: silent });
    await expect(startEmbeddedRedis({ dataDir, logger: silent })).rejects.toThrow(
      `${join(dataDir, 'redis')} is in use by process ${process.pid}: choose another data_dir`,
    );
    await embedded.stop();
  });

  it('ends with a parent that is killed, and the next one starts with its data', async () => {
    const program = `
      import { pino } from 'pino';
      import { connectRedis, startEmbeddedRedis } from '${join(import.meta.dirname, '../../src/store/index.ts')}';
      const logger = pino({ level: 'silent' });
      const embedded = await startEmbeddedRedis({ dataDir: ${JSON.stringify(dataDir)}, logger });
      const redis = connectRedis({ url: embedded.url, logger });
      await redis.shared.set('kept', 'yes');
      process.stdout.write(embedded.pid + '\\n');
      setInterval(() => {}, 1000);`;
    const parent = spawn(process.execPath, ['--input-type=module', '-e', program], {
      cwd: join(import.meta.dirname, '../..'),
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [line] = (await once(parent.stdout, 'data')) as [Buffer];
    const redisProcess = identify(Number(line.toString()));
    if (redisProcess === undefined) throw new Error('the redis-server has gone before its parent');
    const closed = once(parent, 'close');
    parent.kill('SIGKILL');
    await closed;
    await vi.waitFor(() => expect(isRunning(redisProcess)).toBe(false), { timeout: 5000 });

    const embedded = await startEmbeddedRedis({ dataDir, logger: silent });
    const redis = connectRedis({ url: embedded.url, logger: silent });
    expect(await redis.shared.get('kept')).toBe('yes');
    await redis.close();
    await embedded.stop();
  });

  it('says so when it cannot start', async () => {
    const path = process.env.PATH;
    process.env.PATH = dataDir;
    try {
      await expect(startEmbeddedRedis({ dataDir, logger: silent })).rejects.toThrow(
        'redis-server is not installed',
      );
    } finally {
      process.env.PATH = path;
    }
    const embedded = await startEmbeddedRedis({ dataDir, logger: silent });
    await embedded.stop();
  });
});
