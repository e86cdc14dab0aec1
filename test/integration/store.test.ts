import { EgressInfo, EgressStatus } from '@livekit/protocol';
import { pino } from 'pino';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { ENDED_TTL_SECONDS, keys } from '../../src/store/keys.ts';
import { connectRedis, createEgressStore } from '../../src/store/index.ts';
import type { EgressDesired, EgressRecord, EgressStore, RedisConnections } from '../../src/store/index.ts';
import { startRedis } from '../support/redis.ts';
import type { TestRedis } from '../support/redis.ts';

const logger = pino({ level: 'silent' });
let server: TestRedis;
let redis: RedisConnections;
let store: EgressStore;

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
  store = createEgressStore(redis, logger);
});
afterEach(async () => {
  await store.close();
  await redis.close();
});

function record(egressId: string, roomName = 'demo', createdAtMs = Date.now()) {
  return {
    egressId,
    roomName,
    requestType: 'RoomCompositeEgressRequest',
    requestJson: '{"roomName":"demo","webhooks":[{"url":"http://h"}]}',
    trackKind: undefined,
    createdAtMs,
    info: new EgressInfo({ egressId, roomName, status: EgressStatus.EGRESS_STARTING, startedAt: 0n }),
    desired: { revision: 0, streamUrls: ['rtmp://h/app/key'] },
    bridgeUrl: 'ws://127.0.0.1:7880/bridge',
  };
}

const info = (egressId: string, status: EgressStatus, error = '') =>
  new EgressInfo({ egressId, roomName: 'demo', status, error, updatedAt: 1_700_000_000_123_456_789n });

const ids = async (filter?: { roomName?: string; active?: boolean }) =>
  (await store.list(filter)).map(({ egressId }) => egressId);

describe('records', () => {
  it('come back as they were put in', async () => {
    const role = { identity: 'alice', source: 'camera', kind: 'video' } as const;
    const put = {
      ...{ ...record('EG_1'), trackKind: 'video' as const, trackRoles: { TR_1: role } },
      optionsJson: '{"show_names":true}',
    };
    await store.create(put);
    const got = await store.get('EG_1');
    expect(got).toEqual({
      ...put,
      attempt: 0,
      appliedRevision: 0,
      epochMs: undefined,
    } satisfies EgressRecord);
    expect(got?.info).toBeInstanceOf(EgressInfo);
  });

  it('are not there when nobody created them', async () => {
    expect(await store.get('EG_none')).toBeUndefined();
    expect(await store.begin('EG_none', 1)).toBe(false);
    expect(await store.saveInfo('EG_none', 1, info('EG_none', EgressStatus.EGRESS_ACTIVE), 0)).toBe(false);
    expect(await store.setEpoch('EG_none', 1, 5)).toBeUndefined();
    expect(await store.raiseAttempt('EG_none', 0)).toBeUndefined();
    expect(await store.changeDesired('EG_none', (d) => ({ ...d, stop: 'x' }))).toBeUndefined();
    expect(await store.abortUntaken('EG_none', info('EG_none', EgressStatus.EGRESS_ABORTED))).toBe(false);
    expect(await redis.shared.keys('*')).toEqual([]);
  });

  it('are created once', async () => {
    await store.create(record('EG_1'));
    await expect(store.create(record('EG_1'))).rejects.toMatchObject({ code: 'already_exists' });
    expect(await ids()).toEqual(['EG_1']);
  });
});

describe('list', () => {
  it('is newest first, by room and by whether it runs', async () => {
    await store.create(record('EG_a', 'one', 1000));
    await store.create(record('EG_b', 'two : : \n*', 2000));
    await store.create(record('EG_c', 'one', 3000));
    await store.begin('EG_a', 1);
    await store.saveInfo('EG_a', 1, info('EG_a', EgressStatus.EGRESS_COMPLETE), 0);
    expect(await ids()).toEqual(['EG_c', 'EG_b', 'EG_a']);
    expect(await ids({ roomName: 'one' })).toEqual(['EG_c', 'EG_a']);
    expect(await ids({ roomName: 'two : : \n*' })).toEqual(['EG_b']);
    expect(await ids({ active: true })).toEqual(['EG_c', 'EG_b']);
    expect(await ids({ active: false })).toEqual(['EG_a']);
    expect(await ids({ roomName: 'one', active: true })).toEqual(['EG_c']);
    expect(await ids({ roomName: 'nobody' })).toEqual([]);
  });

  it('forgets ended egresses after 24 h, from every index, and running ones never', async () => {
    let now = Date.now();
    const aging = createEgressStore(redis, logger, { now: () => now });
    await aging.create(record('EG_done', 'room with blanks'));
    await aging.create(record('EG_runs'));
    await aging.begin('EG_done', 1);
    await aging.saveInfo('EG_done', 1, info('EG_done', EgressStatus.EGRESS_FAILED), 0);
    expect(await redis.shared.ttl(keys.egress('EG_done'))).toBeGreaterThan(ENDED_TTL_SECONDS - 10);
    expect(await redis.shared.ttl(keys.egress('EG_runs'))).toBe(-1);
    now += (ENDED_TTL_SECONDS - 60) * 1000;
    expect(await aging.list()).toHaveLength(2);
    now += 120 * 1000;
    expect((await aging.list()).map((i) => i.egressId)).toEqual(['EG_runs']);
    expect(await aging.get('EG_done')).toBeUndefined();
    expect(await redis.shared.exists(keys.room('room with blanks'), keys.ended, keys.egress('EG_done'))).toBe(
      0,
    );
    await aging.close();
  });
});

describe('the fence', () => {
  it('lets only the newest attempt write', async () => {
    await store.create(record('EG_1'));
    expect(await store.saveInfo('EG_1', 1, info('EG_1', EgressStatus.EGRESS_ACTIVE), 0)).toBe(false);
    expect(await store.begin('EG_1', 1)).toBe(true);
    expect(await store.begin('EG_1', 1)).toBe(true);
    expect(await store.saveInfo('EG_1', 1, info('EG_1', EgressStatus.EGRESS_ACTIVE), 3)).toBe(true);
    expect(await store.setEpoch('EG_1', 1, 1000)).toBe(1000);

    expect(await store.raiseAttempt('EG_1', 1)).toBe(2);
    expect(await store.raiseAttempt('EG_1', 1)).toBeUndefined();
    expect(await store.begin('EG_1', 1)).toBe(false);
    expect(await store.saveInfo('EG_1', 1, info('EG_1', EgressStatus.EGRESS_COMPLETE, 'zombie'), 9)).toBe(
      false,
    );
    expect(await store.setEpoch('EG_1', 1, 7)).toBeUndefined();

    expect(await store.begin('EG_1', 2)).toBe(true);
    expect(await store.setEpoch('EG_1', 2, 2000)).toBe(1000);
    const got = await store.get('EG_1');
    expect(got).toMatchObject({ attempt: 2, appliedRevision: 3, epochMs: 1000 });
    expect(got?.info).toMatchObject({ status: EgressStatus.EGRESS_ACTIVE, error: '' });
  });

  it('raises once, whoever races', async () => {
    await store.create(record('EG_1'));
    await store.begin('EG_1', 1);
    const raised = await Promise.all(Array.from({ length: 20 }, () => store.raiseAttempt('EG_1', 1)));
    expect(raised.filter((attempt) => attempt !== undefined)).toEqual([2]);
  });

  it('ends an egress for good', async () => {
    await store.create(record('EG_1'));
    await store.begin('EG_1', 1);
    expect(await store.saveInfo('EG_1', 1, info('EG_1', EgressStatus.EGRESS_COMPLETE), 0)).toBe(true);
    expect(await store.saveInfo('EG_1', 1, info('EG_1', EgressStatus.EGRESS_ACTIVE), 0)).toBe(false);
    expect(await store.begin('EG_1', 2)).toBe(false);
    expect(await store.raiseAttempt('EG_1', 1)).toBeUndefined();
    expect(await store.setEpoch('EG_1', 1, 1)).toBeUndefined();
    expect((await store.get('EG_1'))?.info.status).toBe(EgressStatus.EGRESS_COMPLETE);
  });

  it('lets exactly one win between taking an egress and aborting it', async () => {
    for (let round = 0; round < 20; round++) {
      const id = `EG_${round}`;
      await store.create(record(id));
      const aborted = info(id, EgressStatus.EGRESS_ABORTED);
      const race =
        round % 2 === 0
          ? [store.begin(id, 1), store.abortUntaken(id, aborted)]
          : [store.abortUntaken(id, aborted), store.begin(id, 1)];
      expect((await Promise.all(race)).filter(Boolean)).toHaveLength(1);
    }
    expect(await store.list({ active: true })).toHaveLength(10);
  });
});

describe('desired', () => {
  it('loses no change of many at once, and counts each', async () => {
    await store.create(record('EG_1'));
    await Promise.all(
      Array.from({ length: 30 }, (_, n) =>
        store.changeDesired('EG_1', (d) => ({ ...d, streamUrls: [...d.streamUrls, `srt://h:${n}`] })),
      ),
    );
    const desired = (await store.get('EG_1'))?.desired;
    expect(desired?.revision).toBe(30);
    expect(new Set(desired?.streamUrls).size).toBe(31);
  });

  it('is not raised by a change that changes nothing', async () => {
    await store.create(record('EG_1'));
    const unchanged = await store.changeDesired('EG_1', (d) => d);
    expect(unchanged?.desired.revision).toBe(0);
    expect((await store.changeDesired('EG_1', (d) => ({ ...d, stop: 'asked' })))?.desired).toEqual({
      revision: 1,
      stop: 'asked',
      streamUrls: ['rtmp://h/app/key'],
    });
  });

  it('reaches listeners in another process, the present state first, until they leave', async () => {
    await store.create(record('EG_1'));
    const there = connectRedis({ url: server.url, logger });
    const worker = createEgressStore(there, logger);
    const heard: EgressDesired[] = [];
    const leave = worker.onDesired('EG_1', (desired) => heard.push(desired));
    await vi.waitFor(() => expect(heard.map((d) => d.revision)).toEqual([0]));
    await store.changeDesired('EG_1', (d) => ({ ...d, layout: 'grid' }));
    await store.changeDesired('EG_1', (d) => ({ ...d, stop: 'asked' }));
    await vi.waitFor(() => expect(heard.map((d) => d.revision)).toEqual([0, 1, 2]));
    expect(heard[2]).toMatchObject({ layout: 'grid', stop: 'asked' });
    leave();
    await store.changeDesired('EG_1', (d) => ({ ...d, layout: 'speaker' }));
    await store.create(record('EG_2'));
    const other: number[] = [];
    worker.onDesired('EG_2', (desired) => other.push(desired.revision));
    await vi.waitFor(() => expect(other).toEqual([0]));
    expect(heard).toHaveLength(3);
    await worker.close();
    await there.close();
  });

  it('is read again after Redis was away: a change made meanwhile is not missed', async () => {
    await store.create(record('EG_1'));
    const heard: EgressDesired[] = [];
    store.onDesired('EG_1', (desired) => heard.push(desired));
    await vi.waitFor(() => expect(heard).toHaveLength(1));
    const down = server.restart({ downMs: 300 });
    // Given while Redis is away; carried out when it is back, before or after the subscription is.
    const changed = store.changeDesired('EG_1', (d) => ({ ...d, stop: 'asked' }));
    await down;
    expect((await changed)?.desired.revision).toBe(1);
    await vi.waitFor(() => expect(heard.at(-1)).toMatchObject({ revision: 1, stop: 'asked' }), {
      timeout: 10_000,
    });
    expect((await store.get('EG_1'))?.desired.stop).toBe('asked');
  });
});

describe('info', () => {
  it('reaches listeners of every process, also when one of them throws', async () => {
    const heard: string[] = [];
    store.onInfo(() => {
      throw new Error('a listener of somebody else');
    });
    const leave = store.onInfo(({ egressId, status }) => heard.push(`${egressId} ${status}`));
    // The subscription is in force once it hears something.
    let tries = 0;
    await vi.waitFor(async () => {
      await store.create(record(`EG_try${tries++}`));
      expect(heard.length).toBeGreaterThan(0);
    });
    await store.create(record('EG_1'));
    await store.begin('EG_1', 1);
    await store.saveInfo('EG_1', 1, info('EG_1', EgressStatus.EGRESS_ACTIVE), 0);
    await store.saveInfo('EG_1', 1, info('EG_1', EgressStatus.EGRESS_ACTIVE), 1);
    await store.saveInfo('EG_1', 7, info('EG_1', EgressStatus.EGRESS_FAILED), 0);
    await store.saveInfo('EG_1', 1, info('EG_1', EgressStatus.EGRESS_COMPLETE), 0);
    const ours = () => heard.filter((line) => line.startsWith('EG_1 '));
    await vi.waitFor(() => expect(ours()).toEqual(['EG_1 0', 'EG_1 1', 'EG_1 3']));
    leave();
  });

  it('is put into the outbox with the write, once a change', async () => {
    await store.create(record('EG_1'));
    await store.begin('EG_1', 1);
    await store.saveInfo('EG_1', 1, info('EG_1', EgressStatus.EGRESS_ACTIVE), 0);
    await store.saveInfo('EG_1', 1, info('EG_1', EgressStatus.EGRESS_ACTIVE), 1);
    await store.saveInfo('EG_1', 1, info('EG_1', EgressStatus.EGRESS_LIMIT_REACHED), 1);
    await store.create(record('EG_2'));
    await store.abortUntaken('EG_2', info('EG_2', EgressStatus.EGRESS_ABORTED));
    const outbox = (await redis.shared.lrange(keys.outbox, 0, -1)).map(
      (entry) => JSON.parse(entry) as { egressId: string; event: string },
    );
    expect(outbox.map(({ egressId, event }) => `${egressId} ${event}`)).toEqual([
      'EG_1 egress_started',
      'EG_1 egress_updated',
      'EG_1 egress_ended',
      'EG_2 egress_started',
      'EG_2 egress_ended',
    ]);
  });
});
