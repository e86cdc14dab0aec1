/** What a worker has no room for, on a real Redis: who takes it instead, in which order, and what it is learnt from. */
import { EgressInfo, EgressStatus, RoomCompositeEgressRequest } from '@livekit/protocol';
import { EncodedFileOutput, EncodingOptions } from '@livekit/protocol';
import { tmpdir } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Estimates } from '../../src/admission/estimates.ts';
import { Roster } from '../../src/admission/roster.ts';
import { WorkerAdmission } from '../../src/admission/worker-admission.ts';
import { loadConfig } from '../../src/config/index.ts';
import { storeRequest } from '../../src/egress/request/types.ts';
import { EgressWorker } from '../../src/jobs/egress-worker.ts';
import { egressQueue, ingressQueue } from '../../src/jobs/queues.ts';
import type { EgressQueue } from '../../src/jobs/queues.ts';
import { WaitingLine } from '../../src/jobs/waiting-line.ts';
import { egressAdmission } from '../../src/service/admission.ts';
import { connectRedis, createEgressStore, createIngressStore } from '../../src/store/index.ts';
import type { EgressStore, RedisConnections } from '../../src/store/index.ts';
import { startRedis } from '../support/redis.ts';
import type { TestRedis } from '../support/redis.ts';
import { until } from '../support/sfu.ts';

const logger = pino({ level: 'silent' });
const config = loadConfig({ env: {}, cwd: tmpdir() });

let server: TestRedis;
let redis: RedisConnections;
let store: EgressStore;
let queue: EgressQueue;
const closers: (() => Promise<unknown>)[] = [];

beforeEach(async () => {
  server = await startRedis();
  closers.push(() => server.stop());
  redis = connectRedis({ url: server.url, logger });
  closers.push(() => redis.close());
  store = createEgressStore(redis, logger);
  closers.push(() => store.close());
  queue = egressQueue(redis.shared, logger);
  closers.push(() => queue.close());
});
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

/** A composite at 30 frames/s; 1280×720 costs 0.4 cores. */
async function enqueue(egressId: string, height: number, options?: { first: boolean }): Promise<void> {
  const request = new RoomCompositeEgressRequest({
    roomName: 'r',
    options: {
      case: 'advanced',
      value: new EncodingOptions({ width: (height * 16) / 9, height, framerate: 30 }),
    },
    fileOutputs: [new EncodedFileOutput({ filepath: 'f.mp4' })],
  });
  await store.create({
    ...{ egressId, roomName: 'r', trackKind: undefined, createdAtMs: Date.now() },
    ...storeRequest(request),
    info: new EgressInfo({ egressId, roomName: 'r' }),
    desired: { revision: 0, streamUrls: [] },
    bridgeUrl: 'ws://127.0.0.1:1/bridge',
  });
  await queue.add(egressId, 1, options);
}

/** A worker of so many cores; what it runs ends when the test says so. */
async function worker(cores: number, minFreeDisk = 0) {
  const admission = await WorkerAdmission.open({
    ...{ redis: redis.shared, cores, cpuLimit: 1, folders: [tmpdir()], minFreeDisk, stopFreeDisk: 0, logger },
  });
  closers.push(() => admission.close());
  const order: string[] = [];
  const running = new Map<string, () => void>();
  const each = new EgressWorker({
    ...{ connection: redis.shared, queue, store, maxJobs: 10, logger },
    admission: egressAdmission(admission, { config, store, queue }),
    createAttempt: ({ egressId }) => {
      const { promise, resolve } = Promise.withResolvers<'ended'>();
      order.push(egressId);
      running.set(egressId, () => {
        running.delete(egressId);
        resolve('ended');
      });
      return {
        run: () => promise,
        stop: () => running.get(egressId)?.(),
        handOver: () => running.get(egressId)?.(),
      };
    },
  });
  closers.push(() => each.close('finish', 5000));
  await each.ready();
  return { admission, order, running, each };
}

const line = async () => (await queue.waitingLine(10)).map(({ id }) => id);

describe('jobs that are more than there is room for', () => {
  it('wait in order, go to the worker with room, and run one after the other', async () => {
    const small = await worker(0.5);
    await enqueue('EG_a', 720);
    await until('the first to run', () => small.running.has('EG_a'));
    for (const id of ['EG_b', 'EG_c', 'EG_d']) await enqueue(id, 720);
    await until('the worker to be full', () => !small.each.hasRoom);
    // It says so before the job is back in its place.
    await expect.poll(line).toEqual(['EG_b', 'EG_c', 'EG_d']);
    expect(small.order).toEqual(['EG_a']);

    const other = await worker(0.5);
    await until('another worker to take the first', () => other.running.has('EG_b'));
    await until('it to be full, too', () => !other.each.hasRoom);
    await expect.poll(line).toEqual(['EG_c', 'EG_d']);

    small.running.get('EG_a')?.();
    await until('the next to run', () => small.running.has('EG_c'));
    other.running.get('EG_b')?.();
    await until('the last to run', () => other.running.has('EG_d'));
    expect(small.order).toEqual(['EG_a', 'EG_c']);
    expect(other.order).toEqual(['EG_b', 'EG_d']);
    expect(await line()).toEqual([]);
    expect(small.admission.cpu.committed).toBeCloseTo(0.4);
  });

  it('do not overtake a large one, which waits until its worker is idle; what had begun comes first', async () => {
    const { running, order, each } = await worker(0.5);
    await enqueue('EG_small', 360);
    await until('the small one to run', () => running.has('EG_small'));
    await enqueue('EG_huge', 2160);
    await until('the worker to wait', () => !each.hasRoom);
    await expect.poll(line).toEqual(['EG_huge']);
    await enqueue('EG_late', 360);
    await enqueue('EG_lost', 2160, { first: true });
    expect(await line()).toEqual(['EG_lost', 'EG_huge', 'EG_late']);
    running.get('EG_small')?.();
    await until('the first to run', () => running.has('EG_lost'));
    running.get('EG_lost')?.();
    await until('the huge one to run', () => running.has('EG_huge'));
    expect(await line()).toEqual(['EG_late']);
    running.get('EG_huge')?.();
    await until('the last to run', () => running.has('EG_late'));
    expect(order).toEqual(['EG_small', 'EG_lost', 'EG_huge', 'EG_late']);
  });

  it('are not taken by a worker without the disk for them', async () => {
    const full = await worker(4, 2 ** 60);
    await enqueue('EG_a', 360);
    await until('it to be refused', () => !full.each.hasRoom);
    expect(await line()).toEqual(['EG_a']);
    const roomy = await worker(4);
    await until('the other worker to take it', () => roomy.running.has('EG_a'));
    expect(full.order).toEqual([]);
    const workers = await new Roster(redis.shared).workers();
    expect(workers.map(({ roomForNew }) => roomForNew > 0).toSorted()).toEqual([false, true]);
  });
});

describe('the line of those that wait', () => {
  /** A server's, without the server. */
  function lineOf(startDeadlineMs: number): void {
    const ingressStore = createIngressStore(redis, logger);
    closers.push(() => ingressStore.close());
    const ingresses = ingressQueue(redis.shared, logger);
    closers.push(() => ingresses.close());
    const waiting = new WaitingLine({
      ...{ store, queue, ingressStore, ingressQueue: ingresses, startDeadlineMs, logger },
    });
    closers.push(() => Promise.resolve(waiting.close()));
  }
  const infoOf = async (id: string) => (await store.get(id))!.info;

  it('gives up nothing that could not be taken because Redis was away, nor what has begun', async () => {
    await enqueue('EG_begun', 720);
    await store.begin('EG_begun', 1);
    // Its egress is gone: the job is nobody's, and counts for no position.
    await queue.add('EG_gone', 1);
    await enqueue('EG_a', 720);
    lineOf(2500);
    while ((await infoOf('EG_a')).details === '') await sleep(50);
    expect((await infoOf('EG_a')).details).toBe('waiting for a worker, position 2');
    expect(await line()).toEqual(['EG_begun', 'EG_a']);
    expect((await infoOf('EG_begun')).details).toBe('');
    server.pause();
    await sleep(3500);
    server.resume();
    const { running } = await worker(0.9);
    await until('what waited to run', () => running.has('EG_a'));
    await sleep(1200);
    expect((await infoOf('EG_a')).status).toBe(EgressStatus.EGRESS_STARTING);
    expect(running.has('EG_begun')).toBe(true);

    // The worker is full: this one waits, and too long.
    await enqueue('EG_b', 720);
    const from = performance.now();
    while (
      (await infoOf('EG_b')).status === EgressStatus.EGRESS_STARTING &&
      performance.now() - from < 10_000
    )
      await sleep(100);
    expect(await infoOf('EG_b')).toMatchObject({ status: EgressStatus.EGRESS_FAILED, errorCode: 429 });
    expect(performance.now() - from).toBeGreaterThan(2400);
    expect(await line()).toEqual([]);
    expect(await store.saveUntaken('EG_a', await infoOf('EG_a'))).toBe(false);
  });
});

describe('what a kind of job costs', () => {
  it('is learnt slowly by all workers, within bounds', async () => {
    const [one, other] = [new Estimates(redis.shared), new Estimates(redis.shared)];
    await one.refresh();
    expect(one.factors).toEqual({});
    await one.learn('egress-encode', 2);
    expect(one.factors['egress-encode']).toBeCloseTo(1.2);
    await other.learn('egress-encode', 2);
    expect(other.factors['egress-encode']).toBeCloseTo(1.36);
    for (let times = 0; times < 40; times++) await other.learn('egress-encode', 1000);
    for (let times = 0; times < 40; times++) await other.learn('stream', 0);
    await one.refresh();
    expect(one.factors['egress-encode']).toBeCloseTo(3, 2);
    expect(one.factors.stream).toBeCloseTo(0.3, 2);
    await redis.shared.hset('sluice:admission:factors', 'stream', 'nonsense');
    await one.refresh();
    expect(one.factors['egress-encode']).toBeCloseTo(3, 2);
  });
});
