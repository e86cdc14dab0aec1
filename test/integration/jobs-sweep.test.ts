/** Egresses nobody runs are found and queued again, on a real Redis; those that somebody runs are left alone. */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { EgressInfo, EgressStatus, IngressInfo, IngressState, ParticipantInfo_Kind } from '@livekit/protocol';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { egressQueue, ingressQueue, jobIdOf } from '../../src/jobs/queues.ts';
import type { EgressQueue, IngressQueue } from '../../src/jobs/queues.ts';
import { EgressRecovery, IngressRecovery } from '../../src/jobs/recovery.ts';
import type { BridgeSeat } from '../../src/bridge/server.ts';
import type { Sweep } from '../../src/jobs/sweep.ts';
import { sweepOf } from '../../src/service/sweep.ts';
import { connectRedis, createEgressStore, createIngressStore } from '../../src/store/index.ts';
import type { EgressStore, IngressStore, RedisConnections } from '../../src/store/index.ts';
import { startRedis } from '../support/redis.ts';
import type { TestRedis } from '../support/redis.ts';
import { until } from '../support/takeover.ts';

const logger = pino({ level: 'silent' });
const SCRIPT = fileURLToPath(new URL('../support/waiting-worker.ts', import.meta.url));
/** A BullMQ lock lasts 30 s: what is found sooner is not found by it. */
const FOUND_MS = 10_000;

describe('the sweep', () => {
  let server: TestRedis;
  let redis: RedisConnections;
  let store: EgressStore;
  let queue: EgressQueue;
  let recovery: EgressRecovery;
  let ingressStore: IngressStore;
  let queueOfIngresses: IngressQueue;
  let ingressRecovery: IngressRecovery;
  const sweeps: Sweep[] = [];
  const workers: ChildProcess[] = [];
  /** What an SFU says is in its rooms. */
  const seats: BridgeSeat[] = [];
  const requeued: string[] = [];

  function startSweep(): void {
    const requeue = async (id: string, attempt: number, reason: string) => {
      await recovery.requeue(id, attempt, reason);
      requeued.push(jobIdOf({ id, attempt }));
    };
    const bridge = { seats: () => seats };
    sweeps.push(
      sweepOf(
        { redis, store, queue, ingressStore, ingressQueue: queueOfIngresses },
        { recovery: { requeue }, ingressRecovery, bridge, logger },
      ),
    );
  }

  async function startWorker(): Promise<{ child: ChildProcess; lines: string[] }> {
    const child = spawn(process.execPath, [SCRIPT, server.url], { stdio: ['ignore', 'pipe', 'inherit'] });
    workers.push(child);
    const lines: string[] = [];
    child.stdout.on('data', (data: Buffer) => lines.push(...data.toString().trim().split('\n')));
    await until('the worker to be ready', () => lines.includes('ready'));
    return { child, lines };
  }

  /** An egress as the API leaves it, with its job when `queued`. */
  async function create(egressId: string, { queued = true } = {}): Promise<void> {
    await store.create({
      egressId,
      roomName: 'r',
      requestType: 'TrackEgressRequest',
      requestJson: '{}',
      trackKind: 'video',
      createdAtMs: Date.now(),
      info: new EgressInfo({ egressId, roomName: 'r' }),
      desired: { revision: 0, streamUrls: [] },
      bridgeUrl: 'ws://127.0.0.1:1/bridge',
    });
    if (queued) await queue.add(egressId, 1);
  }

  /** An ingress with a live session and no job. */
  async function createIngress(ingressId: string, type: 'url' | 'direct'): Promise<number> {
    await ingressStore.create({
      ingressId,
      info: new IngressInfo({ ingressId, roomName: 'r', state: new IngressState() }),
      streamKey: '',
      sourceUrl: 'http://127.0.0.1:9/',
      createdAtMs: Date.now(),
    });
    const session = { resourceId: `IR_${ingressId}`, source: { type }, startedAtMs: Date.now() };
    const begun = await ingressStore.beginSession(
      ingressId,
      { ...session, bridgeUrl: 'ws://127.0.0.1:1/bridge' },
      0,
    );
    if (typeof begun === 'string') throw new Error(begun);
    return begun.attempt;
  }

  const attemptOf = async (egressId: string) => (await store.get(egressId))?.attempt;

  beforeAll(async () => {
    server = await startRedis();
    redis = connectRedis({ url: server.url, logger });
    store = createEgressStore(redis, logger);
    queue = egressQueue(redis.shared, logger);
    recovery = new EgressRecovery({
      connection: redis.shared,
      queue,
      store,
      isJoined: () => false,
      logger,
    });
    await recovery.ready();
    ingressStore = createIngressStore(redis, logger);
    queueOfIngresses = ingressQueue(redis.shared, logger);
    ingressRecovery = new IngressRecovery({
      ...{ connection: redis.shared, queue: queueOfIngresses, store: ingressStore, logger },
      isJoined: () => false,
    });
    await ingressRecovery.ready();
    // Two servers: one of them sweeps.
    startSweep();
    startSweep();
  });

  afterAll(async () => {
    for (const sweep of sweeps) sweep.close();
    for (const child of workers) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      child.kill('SIGKILL');
      await once(child, 'exit');
    }
    await Promise.all([recovery?.close(), ingressRecovery?.close()]);
    await Promise.all([queue?.close(), queueOfIngresses?.close()]);
    await Promise.all([store?.close(), ingressStore?.close()]);
    await redis?.close();
    await server?.stop();
  });

  it('queues again what is lost between two steps, or with a worker that is not in its room, and nothing else', async () => {
    // The one half of each pair of steps: an egress without its first job, a fence without its next one.
    await create('EG_unqueued', { queued: false });
    await create('EG_raised', { queued: false });
    await store.begin('EG_raised', 1);
    await store.raiseAttempt('EG_raised', 1);
    // One that is in its room, as far as the SFU can see, although its worker cannot reach Redis.
    await create('EG_seated', { queued: false });
    await store.begin('EG_seated', 1);
    seats.push({ identity: 'EG_seated', attempt: 1, kind: ParticipantInfo_Kind.EGRESS });
    // The same of an ingress; one without a worker of its own; one that is in its room under another name.
    const unqueued = await createIngress('IN_unqueued', 'url');
    const direct = await createIngress('IN_direct', 'direct');
    const seated = await createIngress('IN_seated', 'url');
    seats.push({ identity: 'camera', attempt: seated, kind: ParticipantInfo_Kind.INGRESS });
    // One that has ended.
    await create('EG_ended', { queued: false });
    await store.begin('EG_ended', 1);
    const ended = new EgressInfo({ egressId: 'EG_ended', status: EgressStatus.EGRESS_COMPLETE });
    await store.saveInfo('EG_ended', 1, ended, 0);
    await until('both to be found', () => requeued.length === 2, FOUND_MS);
    expect(requeued.toSorted()).toEqual(['EG_raised-2', 'EG_unqueued-0']);
    expect([await attemptOf('EG_unqueued'), await attemptOf('EG_raised')]).toEqual([1, 3]);
    expect(await queue.waiting()).toBe(2);
    await until('the ingress to be queued', async () => (await queueOfIngresses.waiting()) === 1);
    const ingresses = await ingressStore.live();
    const attempts = new Map(ingresses.map(({ ingressId, session }) => [ingressId, session?.attempt]));
    expect(attempts.get('IN_unqueued')).toBeGreaterThan(unqueued);
    expect(attempts.get('IN_direct')).toBe(direct);
    expect(attempts.get('IN_seated')).toBe(seated);

    // A worker takes both, and is stopped like a machine that is gone: its sockets stay open.
    const first = await startWorker();
    await until('both to be taken', () => first.lines.filter((line) => line.startsWith('took')).length === 2);
    await sleep(5000);
    // What is taken and what waits is let be.
    expect(requeued).toHaveLength(2);
    first.child.kill('SIGSTOP');
    const second = await startWorker();
    const stoppedAt = performance.now();
    await until('the next attempts to be taken', () => second.lines.length >= 3, FOUND_MS);
    expect(performance.now() - stoppedAt).toBeLessThan(FOUND_MS);
    expect(requeued.slice(2).toSorted()).toEqual(['EG_raised-3', 'EG_unqueued-1']);
    expect(second.lines).toEqual(expect.arrayContaining(['took EG_unqueued 2', 'took EG_raised 4']));
    // It wakes up, and can write no more.
    first.child.kill('SIGCONT');
    await until(
      'the first to be fenced',
      () => first.lines.filter((line) => line.startsWith('fenced')).length === 2,
    );

    // Redis is away for longer than any lease: nobody is lost by it.
    await server.restart({ downMs: 3500 });
    await sleep(6000);
    expect(requeued).toHaveLength(4);
    expect([await attemptOf('EG_unqueued'), await attemptOf('EG_raised')]).toEqual([2, 4]);
    expect(second.lines.filter((line) => line.startsWith('fenced'))).toEqual([]);
    expect(await attemptOf('EG_seated')).toBe(1);
    expect(await queueOfIngresses.waiting()).toBe(1);
  }, 60_000);
});
