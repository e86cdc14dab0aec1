/** The worker's side of the queue, on a real Redis: what becomes of jobs when a worker is told to close. */
import { EgressInfo } from '@livekit/protocol';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { setTimeout as sleep } from 'node:timers/promises';
import { EgressWorker } from '../../src/jobs/egress-worker.ts';
import type { RunningAttempt } from '../../src/jobs/egress-worker.ts';
import { EGRESS_QUEUE, egressQueue } from '../../src/jobs/queues.ts';
import { Presence } from '../../src/jobs/vouching.ts';
import { connectRedis, createEgressStore } from '../../src/store/index.ts';
import { startRedis } from '../support/redis.ts';

const logger = pino({ level: 'silent' });

/** An attempt that runs until it is told how to end, and remembers it. */
function attempt(): RunningAttempt & { told: string[] } {
  const { promise, resolve } = Promise.withResolvers<'ended' | 'handed-over'>();
  const told: string[] = [];
  return {
    told,
    run: () => promise,
    stop: (reason) => {
      told.push(`stop: ${reason}`);
      resolve('ended');
    },
    handOver: () => {
      told.push('hand over');
      resolve('handed-over');
    },
  };
}

describe('a worker that is told to close', () => {
  let redisServer: Awaited<ReturnType<typeof startRedis>>;
  const closers: (() => Promise<unknown>)[] = [];

  beforeEach(async () => {
    redisServer = await startRedis();
    closers.push(() => redisServer.stop());
  });
  afterEach(async () => {
    for (const close of closers.splice(0).reverse()) await close();
  });

  /** A worker that has just taken a job and is about to start it when `release` is called. */
  async function taking(running: RunningAttempt, { drainMs = 0, others = 0 } = {}) {
    const redis = connectRedis({ url: redisServer.url, logger });
    closers.push(() => redis.close());
    const store = createEgressStore(redis, logger);
    closers.push(() => store.close());
    const queue = egressQueue(redis.shared, logger);
    closers.push(() => queue.close());
    await store.create({
      egressId: 'EG_1',
      roomName: 'r',
      requestType: 'TrackEgressRequest',
      requestJson: '{}',
      trackKind: 'video',
      createdAtMs: Date.now(),
      info: new EgressInfo({ egressId: 'EG_1', roomName: 'r' }),
      desired: { revision: 0, streamUrls: [] },
      bridgeUrl: 'ws://127.0.0.1:1/bridge',
    });
    const held = Promise.withResolvers<undefined>();
    const reached = Promise.withResolvers<undefined>();
    const slowStore = Object.create(store, {
      get: {
        value: async (egressId: string) => {
          reached.resolve(undefined);
          await held.promise;
          return store.get(egressId);
        },
      },
      begin: { value: (egressId: string, number: number) => store.begin(egressId, number) },
      raiseAttempt: { value: (egressId: string, from: number) => store.raiseAttempt(egressId, from) },
    }) as typeof store;
    const worker = new EgressWorker({
      connection: redis.shared,
      queue,
      store: slowStore,
      maxJobs: 2,
      drainMs,
      createAttempt: () => running,
      logger,
    });
    await worker.ready();
    await queue.add('EG_1', 1);
    await reached.promise;
    /** A worker that only shows itself: what it would take stays in the queue, to be looked at. */
    const addOther = async () => {
      const other = new Presence(redis.shared, EGRESS_QUEUE, () => true, logger);
      closers.push(() => other.leave());
      await other.announce();
    };
    for (let count = 0; count < others; count++) await addOther();
    return { worker, queue, store, addOther, release: () => held.resolve(undefined) };
  }

  it('ends a job it has only just taken', async () => {
    const running = attempt();
    const { worker, release } = await taking(running);
    const closed = worker.close('finish', 20_000);
    release();
    await closed;
    expect(running.told).toEqual(['stop: Service shutting down']);
    expect(worker.runningCount).toBe(0);
  });

  it('hands a job it has only just taken over to the next attempt', async () => {
    const running = attempt();
    const { worker, queue, store, release } = await taking(running, { others: 1 });
    const closed = worker.close('hand-over', 20_000);
    release();
    await closed;
    expect(running.told).toEqual(['hand over']);
    expect((await store.get('EG_1'))?.attempt).toBe(2);
    expect(await queue.waiting()).toBe(1);
  });

  it('goes on with a job until there is another worker to hand it to, and takes no new one', async () => {
    const running = attempt();
    const { worker, queue, store, addOther, release } = await taking(running, { drainMs: 60_000 });
    release();
    const closed = worker.close('hand-over', 20_000);
    await queue.add('EG_2', 1);
    await sleep(1500);
    expect(running.told).toEqual([]);
    expect(worker.hasRoom).toBe(false);
    await addOther();
    await closed;
    expect(running.told).toEqual(['hand over']);
    expect((await store.get('EG_1'))?.attempt).toBe(2);
    expect(await queue.waiting()).toBe(2);
  });

  it('ends a job in order when nobody has come for it by the drain deadline', async () => {
    const running = attempt();
    const { worker, queue, store, release } = await taking(running, { drainMs: 1000 });
    release();
    const began = performance.now();
    await worker.close('hand-over', 20_000);
    expect(performance.now() - began).toBeGreaterThan(1000);
    expect(running.told).toEqual(['stop: Service shutting down']);
    expect((await store.get('EG_1'))?.attempt).toBe(1);
    expect(await queue.waiting()).toBe(0);
  });
});
