import { setTimeout as sleep } from 'node:timers/promises';
import { IngressInfo, IngressInput, IngressState, IngressState_Status } from '@livekit/protocol';
import { pino } from 'pino';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { ingressQueue } from '../../src/jobs/queues.ts';
import { IngressRecovery } from '../../src/jobs/recovery.ts';
import { ingressKeys, keys } from '../../src/store/keys.ts';
import { connectRedis, createIngressStore } from '../../src/store/index.ts';
import type { IngressRecord, IngressSession, IngressStore, RedisConnections } from '../../src/store/index.ts';
import { createWebhooks } from '../../src/webhooks/index.ts';
import { startRedis } from '../support/redis.ts';
import type { TestRedis } from '../support/redis.ts';
import { startWebhookServer } from '../support/webhook-receiver.ts';
import { loopbackPolicy } from '../support/outbound.ts';

const { ENDPOINT_INACTIVE, ENDPOINT_BUFFERING, ENDPOINT_PUBLISHING, ENDPOINT_ERROR, ENDPOINT_COMPLETE } =
  IngressState_Status;
const logger = pino({ level: 'silent' });
let server: TestRedis;
let redis: RedisConnections;
let store: IngressStore;

beforeAll(async () => {
  server = await startRedis();
});
afterAll(async () => {
  await server.stop();
});
beforeEach(async () => {
  redis = connectRedis({ url: server.url, logger });
  await redis.ready();
  await redis.shared.flushall();
  store = createIngressStore(redis, logger, { lapsedMs: 100 });
});
afterEach(async () => {
  await store.close();
  await redis.close();
});

function record(ingressId: string, changes: Partial<IngressInfo> = {}, createdAtMs = Date.now()) {
  const streamKey = `key-of-${ingressId}`;
  const info = new IngressInfo({
    ingressId,
    streamKey,
    inputType: IngressInput.RTMP_INPUT,
    url: 'rtmp://h/live',
    roomName: 'demo',
    participantIdentity: 'obs',
    reusable: true,
    state: new IngressState(),
    ...changes,
  });
  return { ingressId, info, streamKey, sourceUrl: '', createdAtMs };
}

function session(resourceId: string): Omit<IngressSession, 'attempt'> {
  return { resourceId, source: { type: 'url' }, bridgeUrl: 'ws://h/bridge', startedAtMs: 1_700_000_000_123 };
}

/** @throws when it is refused */
async function begin(ingressId: string, resourceId: string, leaseMs = 60_000): Promise<IngressSession> {
  const begun = await store.beginSession(ingressId, session(resourceId), leaseMs);
  if (typeof begun === 'string') throw new Error(begun);
  return begun;
}

const state = (status: IngressState_Status, error = '') =>
  new IngressState({ status, error, roomId: 'RM_1' });
const statusOf = async (ingressId: string) => (await store.get(ingressId))?.info.state?.status;

/** What waits for webhooks: `event ingress id resource or error`. */
async function outbox(): Promise<[string, string, string][]> {
  const entries = await redis.shared.lrange(keys.outbox, 0, -1);
  return entries.map((text) => {
    const entry = JSON.parse(text) as { event: string; ingressId: string; state: string };
    return [
      entry.event,
      entry.ingressId,
      IngressState_Status[IngressState.fromJsonString(entry.state).status],
    ];
  });
}

describe('records', () => {
  it('come back as they were put in, by id and by stream key', async () => {
    const put = { ...record('IN_1'), sourceUrl: 'srt://user:secret@h:1' };
    await store.create(put);
    const expected: IngressRecord = { ...put, revision: 0, session: undefined };
    expect(await store.get('IN_1')).toEqual(expected);
    expect(await store.byStreamKey('key-of-IN_1')).toEqual(expected);
    expect(await store.byStreamKey('')).toBeUndefined();
    expect(await store.byStreamKey('another')).toBeUndefined();
    expect(await store.get('IN_2')).toBeUndefined();
    expect(await store.byAttempt(1)).toBeUndefined();
  });

  it('are there once: neither the id nor the stream key twice', async () => {
    await store.create(record('IN_1'));
    await expect(store.create(record('IN_1'))).rejects.toMatchObject({ code: 'already_exists' });
    await expect(store.create({ ...record('IN_2'), streamKey: 'key-of-IN_1' })).rejects.toMatchObject({
      code: 'already_exists',
    });
    expect(await store.list()).toHaveLength(1);
  });

  it("without a stream key do not get into each other's way", async () => {
    await store.create({ ...record('IN_1'), streamKey: '' });
    await store.create({ ...record('IN_2'), streamKey: '' });
    expect(await store.list()).toHaveLength(2);
  });

  it('are listed newest first, by room and by id', async () => {
    await store.create(record('IN_1', {}, 1000));
    await store.create(record('IN_3', { roomName: 'other' }, 3000));
    await store.create(record('IN_2', {}, 2000));
    const ids = async (filter?: Parameters<IngressStore['list']>[0]) =>
      (await store.list(filter)).map(({ ingressId }) => ingressId);
    expect(await ids()).toEqual(['IN_3', 'IN_2', 'IN_1']);
    expect(await ids({ roomName: 'demo' })).toEqual(['IN_2', 'IN_1']);
    expect(await ids({ ingressId: 'IN_3' })).toEqual(['IN_3']);
    expect(await ids({ ingressId: 'IN_9' })).toEqual([]);
    await store.update('IN_3', (info) => Object.assign(info, { roomName: 'demo' }));
    expect(await ids({ roomName: 'demo' })).toEqual(['IN_3', 'IN_2', 'IN_1']);
  });

  it('that cannot be read say which, and show nothing of themselves', async () => {
    await store.create(record('IN_1'));
    await redis.shared.hset(ingressKeys.ingress('IN_1'), 'state', '{"secret');
    await expect(store.get('IN_1')).rejects.toMatchObject({
      code: 'data_loss',
      message: 'the stored record of IN_1 cannot be read',
    });
  });
});

describe('sessions', () => {
  beforeEach(async () => {
    await store.create(record('IN_1'));
  });

  it('begin BUFFERING with an attempt of one counter over all ingresses', async () => {
    await store.create(record('IN_2'));
    expect(await begin('IN_1', 'IR_1')).toEqual({ ...session('IR_1'), attempt: 1 });
    expect((await begin('IN_2', 'IR_2')).attempt).toBe(2);
    const stored = await store.get('IN_1');
    expect(stored?.session).toEqual({ ...session('IR_1'), attempt: 1 });
    expect(stored?.info.state).toMatchObject({
      status: ENDPOINT_BUFFERING,
      resourceId: 'IR_1',
      startedAt: 1_700_000_000_123_000_000n,
    });
    expect((await store.byAttempt(2))?.ingressId).toBe('IN_2');
    expect(await store.liveSessions()).toBe(2);
  });

  it.each<IngressSession['source']>([
    { type: 'relay', url: 'http://h/relay/1' },
    { type: 'room', roomName: 'r', identity: 'i' },
    { type: 'direct' },
  ])('keep their source: $type', async (source) => {
    await store.beginSession('IN_1', { ...session('IR_1'), source }, 0);
    expect((await store.get('IN_1'))?.session?.source).toEqual(source);
  });

  it('are refused by name', async () => {
    expect(await store.beginSession('IN_9', session('IR_1'), 0)).toBe('not_found');
    await store.update('IN_1', (info) => Object.assign(info, { enabled: false }));
    expect(await store.beginSession('IN_1', session('IR_1'), 0)).toBe('disabled');
    await store.update('IN_1', (info) => Object.assign(info, { enabled: true }));
    await begin('IN_1', 'IR_1', 0);
    expect(await store.beginSession('IN_1', session('IR_2'), 0)).toBe('busy');
    await store.create(record('IN_2', { roomName: '' }));
    expect(await store.beginSession('IN_2', session('IR_1'), 0)).toBe('disabled');
  });

  it('of twenty at once one begins', async () => {
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, n) => store.beginSession('IN_1', session(`IR_${n}`), 60_000)),
    );
    expect(answers.filter((answer) => answer === 'busy')).toHaveLength(19);
    const [winner] = answers.filter((answer) => typeof answer === 'object');
    expect((await store.get('IN_1'))?.session).toEqual(winner);
  });

  it('whose lease has run out make room, with their end told once; a renewed one stays', async () => {
    await begin('IN_1', 'IR_1', 150);
    await store.saveState('IN_1', 1, state(ENDPOINT_PUBLISHING));
    await sleep(100);
    expect(await store.renewLease('IN_1', 'IR_1', 300)).toBe(true);
    await sleep(150);
    expect(await store.beginSession('IN_1', session('IR_2'), 60_000)).toBe('busy');
    await sleep(250);
    expect((await begin('IN_1', 'IR_2')).attempt).toBe(2);
    expect(await store.renewLease('IN_1', 'IR_1', 60_000)).toBe(false);
    expect(await store.saveState('IN_1', 1, state(ENDPOINT_PUBLISHING))).toBe(false);
    expect(await outbox()).toEqual([
      ['ingress_started', 'IN_1', 'ENDPOINT_PUBLISHING'],
      ['ingress_ended', 'IN_1', 'ENDPOINT_INACTIVE'],
    ]);
    expect((await store.byAttempt(1))?.session?.resourceId).toBe('IR_2');
  });

  it('without a lease never run out', async () => {
    await begin('IN_1', 'IR_1', 0);
    await sleep(30);
    expect(await store.endLapsed()).toEqual([]);
    expect(await store.beginSession('IN_1', session('IR_2'), 0)).toBe('busy');
  });

  it('whose server was lost are ended by whoever looks first', async () => {
    await store.create(record('IN_2'));
    await begin('IN_1', 'IR_1', 1);
    await begin('IN_2', 'IR_2', 60_000);
    await sleep(20);
    expect(await store.endLapsed()).toEqual([]);
    await sleep(150);
    const ended = await Promise.all([store.endLapsed(), store.endLapsed(), store.endLapsed()]);
    expect(ended.flat()).toEqual(['IN_1']);
    const { session: live, info } = (await store.get('IN_1'))!;
    expect(live).toBeUndefined();
    expect(info.state).toMatchObject({
      status: ENDPOINT_INACTIVE,
      resourceId: 'IR_1',
      error: 'the server that held the source was lost',
    });
    expect(info.state!.endedAt).toBeGreaterThan(0n);
    expect(await outbox()).toEqual([['ingress_ended', 'IN_1', 'ENDPOINT_INACTIVE']]);
    expect(await store.liveSessions()).toBe(1);
  });

  it('whose lease could not be renewed for a while are not taken for lost', async () => {
    await begin('IN_1', 'IR_1', 1);
    await sleep(20);
    expect(await store.endLapsed()).toEqual([]);
    await store.renewLease('IN_1', 'IR_1', 1);
    await sleep(150);
    // Seen anew: what was seen before the renewal does not count.
    expect(await store.endLapsed()).toEqual([]);
    expect((await store.get('IN_1'))?.session?.resourceId).toBe('IR_1');
  });

  it('whose server was lost are ended by the recovery of any other', async () => {
    const queue = ingressQueue(redis.shared, logger);
    const recovery = new IngressRecovery({
      ...{ connection: redis.shared, queue, store, logger },
      isJoined: () => false,
      sweepMs: 50,
    });
    try {
      await begin('IN_1', 'IR_1', 100);
      await recovery.ready();
      expect(await statusOf('IN_1')).toBe(ENDPOINT_BUFFERING);
      await vi.waitFor(async () => expect(await statusOf('IN_1')).toBe(ENDPOINT_INACTIVE), 3000);
    } finally {
      await recovery.close();
      await queue.close();
    }
  });

  it('are fenced: only the attempt in force begins, writes, ends', async () => {
    const { attempt } = await begin('IN_1', 'IR_1');
    expect(await store.begin('IN_1', attempt)).toBe(true);
    const raised = await store.raiseAttempt('IN_1', attempt);
    expect(raised).toBe(attempt + 1);
    expect(await store.raiseAttempt('IN_1', attempt)).toBeUndefined();
    expect(await store.begin('IN_1', attempt)).toBe(false);
    expect(await store.saveState('IN_1', attempt, state(ENDPOINT_PUBLISHING))).toBe(false);
    expect(await store.endSession('IN_1', attempt, state(ENDPOINT_ERROR))).toBe(false);
    expect(await statusOf('IN_1')).toBe(ENDPOINT_BUFFERING);
    expect(await store.begin('IN_1', raised!)).toBe(true);
    expect(await store.saveState('IN_1', raised!, state(ENDPOINT_PUBLISHING))).toBe(true);
    expect((await store.byAttempt(attempt))?.session?.attempt).toBe(raised);
    expect((await store.byAttempt(raised!))?.ingressId).toBe('IN_1');
    expect(await store.renewLease('IN_1', 'IR_1', 1000)).toBe(true);
  });

  it('of ten who raise an attempt at once one does', async () => {
    await begin('IN_1', 'IR_1');
    const answers = await Promise.all(Array.from({ length: 10 }, () => store.raiseAttempt('IN_1', 1)));
    expect(answers.filter((answer) => answer !== undefined)).toEqual([2]);
  });

  it('are over when they are ended, once; a reusable ingress begins another', async () => {
    await begin('IN_1', 'IR_1');
    expect(await store.endSession('IN_1', 1, state(ENDPOINT_COMPLETE))).toBe(true);
    expect(await store.endSession('IN_1', 1, state(ENDPOINT_ERROR))).toBe(false);
    expect(await store.saveState('IN_1', 1, state(ENDPOINT_PUBLISHING))).toBe(false);
    expect(await store.begin('IN_1', 1)).toBe(false);
    expect(await store.renewLease('IN_1', 'IR_1', 1000)).toBe(false);
    expect(await store.raiseAttempt('IN_1', 1)).toBeUndefined();
    expect(await statusOf('IN_1')).toBe(ENDPOINT_COMPLETE);
    expect((await store.byAttempt(1))?.session).toBeUndefined();
    expect(await redis.shared.ttl(ingressKeys.attempt(1))).toBeGreaterThan(3600);
    expect((await begin('IN_1', 'IR_2')).attempt).toBe(2);
    expect((await outbox()).map(([event]) => event)).toEqual(['ingress_ended']);
  });

  it('start once, however often PUBLISHING is saved; the next session starts again', async () => {
    await begin('IN_1', 'IR_1');
    await store.saveState('IN_1', 1, state(ENDPOINT_BUFFERING));
    await Promise.all(
      Array.from({ length: 10 }, () => store.saveState('IN_1', 1, state(ENDPOINT_PUBLISHING))),
    );
    const raised = (await store.raiseAttempt('IN_1', 1))!;
    await store.saveState('IN_1', raised, state(ENDPOINT_BUFFERING));
    await store.saveState('IN_1', raised, state(ENDPOINT_PUBLISHING));
    await store.endSession('IN_1', raised, state(ENDPOINT_INACTIVE));
    await begin('IN_1', 'IR_2');
    await store.saveState('IN_1', 3, state(ENDPOINT_PUBLISHING));
    expect((await outbox()).map(([event]) => event)).toEqual([
      'ingress_started',
      'ingress_ended',
      'ingress_started',
    ]);
  });
});

describe('update', () => {
  it('changes what the API may change beside what the worker writes, and loses nothing', async () => {
    await store.create(record('IN_1'));
    const { attempt } = await begin('IN_1', 'IR_1');
    const saved: Promise<unknown>[] = [];
    for (let n = 1; n <= 20; n++) {
      saved.push(store.saveState('IN_1', attempt, new IngressState({ roomId: `RM_${n}` })));
      saved.push(
        store.update('IN_1', (info) => Object.assign(info, { participantName: `${info.participantName}x` })),
      );
    }
    await Promise.all(saved);
    const { info, revision } = (await store.get('IN_1'))!;
    expect(info.participantName).toBe('x'.repeat(20));
    expect(info.state?.roomId).toBe('RM_20');
    expect(revision).toBe(20);
  });

  it('never changes the state, except that an error of the past is taken back', async () => {
    await store.create(record('IN_1'));
    await begin('IN_1', 'IR_1');
    await store.saveState('IN_1', 1, state(ENDPOINT_ERROR, 'live'));
    const change = (info: IngressInfo) => Object.assign(info, { state: state(ENDPOINT_COMPLETE), name: 'n' });
    expect((await store.update('IN_1', change))?.info.state?.status).toBe(ENDPOINT_ERROR);
    await store.endSession('IN_1', 1, state(ENDPOINT_ERROR, 'gone'));
    expect((await store.update('IN_1', change))?.info.state?.status).toBe(ENDPOINT_INACTIVE);
    expect(await statusOf('IN_1')).toBe(ENDPOINT_INACTIVE);
  });

  it('changes nothing when the change throws, or there is nothing', async () => {
    await store.create(record('IN_1'));
    const fail = () => {
      throw new Error('no');
    };
    await expect(store.update('IN_1', fail)).rejects.toThrow('no');
    expect((await store.get('IN_1'))?.revision).toBe(0);
    expect(await store.update('IN_9', (info) => info)).toBeUndefined();
  });
});

describe('delete', () => {
  it('takes it out of everything and answers what it was', async () => {
    await store.create(record('IN_1'));
    expect((await store.delete('IN_1'))?.info.roomName).toBe('demo');
    expect(await store.delete('IN_1')).toBeUndefined();
    expect(await store.get('IN_1')).toBeUndefined();
    expect(await store.byStreamKey('key-of-IN_1')).toBeUndefined();
    expect(await store.list()).toEqual([]);
    expect(await redis.shared.keys('*')).toEqual([]);
  });

  it('of a live one ends its session, once', async () => {
    await store.create(record('IN_1'));
    await begin('IN_1', 'IR_1');
    await store.saveState('IN_1', 1, state(ENDPOINT_PUBLISHING));
    const deleted = await Promise.all([store.delete('IN_1'), store.delete('IN_1'), store.delete('IN_1')]);
    expect(deleted.filter((each) => each !== undefined)).toMatchObject([{ session: { resourceId: 'IR_1' } }]);
    expect(await store.endSession('IN_1', 1, state(ENDPOINT_INACTIVE))).toBe(false);
    expect(await store.saveState('IN_1', 1, state(ENDPOINT_PUBLISHING))).toBe(false);
    expect(await store.get('IN_1')).toBeUndefined();
    expect(await store.byAttempt(1)).toBeUndefined();
    expect(await outbox()).toEqual([
      ['ingress_started', 'IN_1', 'ENDPOINT_PUBLISHING'],
      ['ingress_ended', 'IN_1', 'ENDPOINT_INACTIVE'],
    ]);
    expect(await store.liveSessions()).toBe(0);
    const left = await redis.shared.keys('*');
    expect(left.toSorted()).toEqual([ingressKeys.attempt(1), ingressKeys.counter, keys.outbox].toSorted());
  });
});

describe('onChange', () => {
  it('tells how it is, each change, and the end, and then no more', async () => {
    await store.create(record('IN_1'));
    const other = createIngressStore(redis, logger);
    const told: (string | undefined)[] = [];
    store.onChange('IN_1', (changed) => told.push(changed?.info.participantName));
    await vi.waitFor(() => expect(told).toEqual(['']));
    await other.update('IN_1', (info) => Object.assign(info, { participantName: 'a' }));
    await vi.waitFor(() => expect(told).toEqual(['', 'a']));
    await begin('IN_1', 'IR_1');
    await other.saveState('IN_1', 1, state(ENDPOINT_PUBLISHING));
    await other.delete('IN_1');
    await vi.waitFor(() => expect(told).toEqual(['', 'a', undefined]));
    await other.create(record('IN_1'));
    await other.update('IN_1', (info) => info);
    await sleep(50);
    expect(told).toHaveLength(3);
    await other.close();
  });

  it('tells what was missed while Redis was away', async () => {
    await store.create(record('IN_1'));
    const told: (boolean | undefined)[] = [];
    store.onChange('IN_1', (changed) => told.push(changed?.info.enabled));
    await vi.waitFor(() => expect(told).toEqual([undefined]));
    const changed = store.update('IN_1', (info) => Object.assign(info, { enabled: false }));
    await server.restart();
    await changed;
    await vi.waitFor(() => expect(told.at(-1)).toBe(false), 5000);
  });

  it('is silent once it is taken back', async () => {
    await store.create(record('IN_1'));
    const listener = vi.fn();
    const stop = store.onChange('IN_1', listener);
    await vi.waitFor(() => expect(listener).toHaveBeenCalledOnce());
    stop();
    await store.update('IN_1', (info) => info);
    await sleep(50);
    expect(listener).toHaveBeenCalledOnce();
  });
});

it('webhooks say when an ingress started and ended, each once, with the whole IngressInfo', async () => {
  const secret = 'a-secret-of-at-least-thirty-two-characters';
  const receiver = await startWebhookServer('devkey', secret);
  const config = { webhook: { urls: [receiver.url], apiKey: 'devkey' }, keys: { devkey: secret } };
  // Two servers empty one outbox.
  const both = [0, 1].map(() => createWebhooks({ config, redis, policy: loopbackPolicy(logger), logger }));
  try {
    for (const webhooks of both) await webhooks.start();
    for (const id of ['IN_1', 'IN_2']) {
      await store.create(record(id));
      const { attempt } = await begin(id, `IR_of_${id}`);
      await store.saveState(id, attempt, state(ENDPOINT_PUBLISHING, 'video: copied'));
      await store.saveState(id, attempt, state(ENDPOINT_PUBLISHING));
    }
    await store.endSession('IN_1', 1, state(ENDPOINT_ERROR, 'it broke'));
    await store.delete('IN_2');
    await vi.waitFor(() => expect(receiver.received).toHaveLength(4), 5000);
    await sleep(200);
    const of = (id: string) =>
      receiver.received
        .map(({ event }) => event)
        .filter(({ ingressInfo }) => ingressInfo?.ingressId === id)
        .map(({ event, ingressInfo }) => [event, ingressInfo?.state?.status, ingressInfo?.state?.error]);
    expect(of('IN_1')).toEqual([
      ['ingress_started', ENDPOINT_PUBLISHING, 'video: copied'],
      ['ingress_ended', ENDPOINT_ERROR, 'it broke'],
    ]);
    expect(of('IN_2')).toEqual([
      ['ingress_started', ENDPOINT_PUBLISHING, 'video: copied'],
      ['ingress_ended', ENDPOINT_INACTIVE, ''],
    ]);
    expect(receiver.received[0]?.event.ingressInfo).toMatchObject({ roomName: 'demo', url: 'rtmp://h/live' });
  } finally {
    for (const webhooks of both) await webhooks.close();
    await receiver.close();
  }
});
