import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { EgressInfo, EgressStatus, WebhookConfig } from '@livekit/protocol';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createAddressPolicy } from '../../src/outbound/index.ts';
import { connectRedis, createEgressStore } from '../../src/store/index.ts';
import type { RedisConnections } from '../../src/store/index.ts';
import { createWebhooks } from '../../src/webhooks/index.ts';
import type { Webhooks, WebhookTiming } from '../../src/webhooks/index.ts';
import { startRedis } from '../support/redis.ts';
import type { TestRedis } from '../support/redis.ts';
import { startWebhookServer } from '../support/webhook-receiver.ts';
import type { WebhookServer } from '../support/webhook-receiver.ts';

const SECRET = 'a-secret-of-at-least-thirty-two-characters';
const KEYS = { devkey: SECRET, other: `other-${SECRET}` };
const QUICK = { firstRetry: 50, maxRetry: 200, lease: 2000, request: 1000 };

let server: TestRedis;
let receiver: WebhookServer;
const owned: (() => Promise<unknown>)[] = [];

beforeEach(async () => {
  server = await startRedis();
  receiver = await startWebhookServer('devkey', SECRET);
});
afterEach(async () => {
  for (const close of owned.splice(0).reverse()) await close();
  await receiver.close();
  await server.stop();
});

/** One process: connections and webhooks of its own. */
function boot(
  urls: string[],
  timing: Partial<WebhookTiming> = QUICK,
  logger = pino({ level: 'silent' }),
  allowNetworks = ['127.0.0.0/8'],
) {
  const redis = connectRedis({ url: server.url, logger });
  const webhooks = createWebhooks({
    config: { webhook: { urls, apiKey: 'devkey' }, keys: KEYS },
    redis,
    policy: createAddressPolicy({ allowNetworks, setting: 'outbound.allow_networks', logger }),
    logger,
    timing,
  });
  let closed: Promise<void> | undefined;
  const close = () => (closed ??= webhooks.close().then(() => redis.close()));
  owned.push(close);
  return { webhooks, redis, close };
}

const room = (name: string, numParticipants = 0) => ({ name, sid: `RM_${name}`, numParticipants });

async function emitNumbered(webhooks: Webhooks, name: string, from: number, to: number): Promise<void> {
  for (let n = from; n < to; n++) await webhooks.emit({ event: 'room_started', room: room(name, n) }, name);
}

const numbers = (of: WebhookServer, name: string) =>
  of.received
    .filter(({ event }) => event.room?.name === name)
    .map(({ event }) => event.room?.numParticipants);

const upTo = (n: number) => Array.from({ length: n }, (_, i) => i);

describe('an event', () => {
  it('has LiveKit’s form and a signature its receiver accepts', async () => {
    const { webhooks } = boot([receiver.url]);
    await webhooks.start();
    await webhooks.emit(
      { event: 'participant_joined', room: room('demo'), participant: { identity: 'alice' } },
      'demo',
    );
    await vi.waitFor(() => expect(receiver.received).toHaveLength(1));
    const [got] = receiver.received;
    expect(receiver.rejected).toEqual([]);
    expect(got?.headers['content-type']).toBe('application/webhook+json');
    expect(got?.headers.authorization).toMatch(/^eyJ/);
    const body = JSON.parse(got?.body ?? '') as Record<string, unknown>;
    expect(body).toEqual({
      event: 'participant_joined',
      id: expect.stringMatching(/^EV_[A-Za-z0-9]{12}$/) as string,
      createdAt: expect.stringMatching(/^\d{10}$/) as string,
      room: { name: 'demo', sid: 'RM_demo' },
      participant: { identity: 'alice' },
    });
    expect(Math.abs(Number(body.createdAt) - Date.now() / 1000)).toBeLessThan(5);
    const claims = JSON.parse(
      Buffer.from(got?.headers.authorization?.split('.')[1] ?? '', 'base64url').toString(),
    ) as {
      iss: string;
      exp: number;
      nbf: number;
    };
    expect(claims.iss).toBe('devkey');
    expect(claims.exp - claims.nbf).toBe(300);
  });

  it('goes to every URL, and to those of a request as its filter and key say', async () => {
    const second = await startWebhookServer('other', KEYS.other);
    owned.push(() => second.close());
    const { webhooks } = boot([receiver.url]);
    await webhooks.start();
    const extra = [
      new WebhookConfig({
        url: second.url,
        signingKey: 'other',
        filterParams: { excludeEvents: ['room_finished'] },
      }),
      new WebhookConfig({ url: second.url, signingKey: 'nobody' }),
    ];
    await webhooks.emit({ event: 'room_started', room: room('a') }, 'a', extra);
    await webhooks.emit({ event: 'room_finished', room: room('a') }, 'a', extra);
    await webhooks.emit({ event: 'track_published', room: room('a') }, 'a', extra);
    const names = (of: WebhookServer) => of.received.map(({ event }) => event.event);
    await vi.waitFor(() => {
      expect(names(receiver)).toEqual(['room_started', 'room_finished', 'track_published']);
      expect(names(second)).toEqual(['room_started', 'track_published']);
    });
    expect(second.rejected).toEqual([]);
    const [first] = receiver.received;
    expect(second.received[0]?.event.id).toBe(first?.event.id);
  });

  it('goes from a request only to where the outbound policy lets it, whatever the configuration names', async () => {
    const { port } = new URL(receiver.url);
    const refused = [receiver.url.replace('/hook', '/own'), `http://2130706433:${port}/own`];
    const { webhooks } = boot([receiver.url], { ...QUICK, giveUpRefused: 0 }, undefined, []);
    await webhooks.start();
    const extra = [receiver.url, ...refused].map((url) => new WebhookConfig({ url }));
    await webhooks.emit({ event: 'room_started', room: room('a') }, 'a', extra);
    await vi.waitFor(() => expect(receiver.attempts.length).toBe(1));
    // Dropped, not kept for later: nothing waits any more.
    const redis = connectRedis({ url: server.url, logger: pino({ level: 'silent' }) });
    owned.push(() => redis.close());
    await vi.waitFor(async () => expect(await redis.shared.scard('sluice:webhook-pending')).toBe(0));
    expect(receiver.attempts).toHaveLength(1);
  });
});

describe('delivery', () => {
  it('is in order for each key over two processes, failures and all, each event once', async () => {
    const a = boot([receiver.url]);
    const b = boot([receiver.url]);
    receiver.answer = async () => {
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 10));
      return Math.random() < 0.1 ? 503 : 200;
    };
    await Promise.all([a.webhooks.start(), b.webhooks.start()]);
    const rooms = ['one', 'two', 'three', 'four', 'five'];
    await Promise.all(rooms.map((name, i) => emitNumbered((i % 2 === 0 ? a : b).webhooks, name, 0, 30)));
    await vi.waitFor(() => expect(receiver.received.length).toBeGreaterThanOrEqual(150), { timeout: 30_000 });
    for (const name of rooms) expect(numbers(receiver, name)).toEqual(upTo(30));
  });

  it('keeps the order of calls that nobody waited for', async () => {
    const { webhooks } = boot([receiver.url]);
    await webhooks.start();
    await Promise.all(upTo(40).map((n) => webhooks.emit({ event: 'room_started', room: room('a', n) }, 'a')));
    await vi.waitFor(() => expect(numbers(receiver, 'a')).toEqual(upTo(40)));
  });

  it('is not held up by destinations that are dead, refuse or hang', async () => {
    const hanging = await startWebhookServer('devkey', SECRET);
    hanging.answer = () => 'hang';
    owned.push(() => hanging.close());
    const failing = await startWebhookServer('devkey', SECRET);
    failing.answer = () => 500;
    owned.push(() => failing.close());
    const { webhooks } = boot(['http://127.0.0.1:1/', hanging.url, failing.url, receiver.url], {
      ...QUICK,
      request: 20_000,
    });
    await webhooks.start();
    await Promise.all(upTo(40).map((n) => emitNumbered(webhooks, `room${n}`, 0, 2)));
    // Before the first request that hangs has timed out.
    await vi.waitFor(() => expect(receiver.received).toHaveLength(80), { timeout: 15_000 });
    // The one that hangs is asked by some at a time, not by all.
    expect(hanging.attempts.length).toBeLessThanOrEqual(16);
  });

  it.each([
    ['fails', 500],
    ['refuses', 401],
    ['is elsewhere', 302],
    ['does not answer', 'hang'],
  ] as const)('is tried again with growing pauses while the destination %s', async (_, answer) => {
    const { webhooks } = boot([receiver.url], { ...QUICK, request: 100 });
    await webhooks.start();
    receiver.answer = (_event, attempt) => (attempt < 4 ? answer : 200);
    await emitNumbered(webhooks, 'a', 0, 2);
    await vi.waitFor(() => expect(numbers(receiver, 'a')).toEqual([0, 1]), { timeout: 10_000 });
    const times = receiver.attempts.map(({ at }) => at);
    expect(receiver.attempts.slice(0, 4).every(({ event }) => event.room?.numParticipants === 0)).toBe(true);
    expect((times[3] ?? 0) - (times[2] ?? 0)).toBeGreaterThan((times[1] ?? 0) - (times[0] ?? 0));
  });

  it('gives up what is gone, and what is too old, and goes on with the next', async () => {
    const { webhooks } = boot([receiver.url], { ...QUICK, giveUp: 500, giveUpRefused: 100 });
    await webhooks.start();
    receiver.answer = (event) => [410, 400, 500, 200][event.room?.numParticipants ?? 3] ?? 200;
    await emitNumbered(webhooks, 'a', 0, 4);
    await vi.waitFor(() => expect(numbers(receiver, 'a')).toEqual([3]), { timeout: 10_000 });
    const tries = (n: number) =>
      receiver.attempts.filter(({ event }) => event.room?.numParticipants === n).length;
    expect(tries(0)).toBe(1);
    expect(tries(1)).toBeGreaterThan(1);
    expect(tries(2)).toBeGreaterThan(1);
  });

  it('leaves nothing in Redis, and shows no secret in the log', async () => {
    const lines: string[] = [];
    const logger = pino({ level: 'trace' }, { write: (line: string) => void lines.push(line) });
    const { webhooks, redis } = boot([`${receiver.url}?token=TOPSECRETTOKEN`], QUICK, logger);
    await webhooks.start();
    receiver.answer = (_event, attempt) => (attempt < 3 ? 500 : 200);
    await emitNumbered(webhooks, 'a', 0, 3);
    await vi.waitFor(() => expect(numbers(receiver, 'a')).toEqual([0, 1, 2]), { timeout: 10_000 });
    await vi.waitFor(async () => {
      const keys = await redis.shared.keys('*');
      expect(keys.filter((key) => !/^sluice:webhooks:(meta|id|events|stalled-check)$/.test(key))).toEqual([]);
    });
    expect(lines.join('')).toContain('webhook not delivered');
    expect(lines.join('')).not.toContain('TOPSECRETTOKEN');
    expect(lines.join('')).not.toContain(SECRET);
  });
});

describe('nothing is lost', () => {
  it('when there is nobody to deliver, or the deliverer stops in the middle', async () => {
    const first = boot([receiver.url]);
    await emitNumbered(first.webhooks, 'a', 0, 5);
    await first.close();
    expect(receiver.attempts).toEqual([]);

    const second = boot([receiver.url]);
    receiver.answer = (event) => (event.room?.numParticipants === 2 ? 'hang' : 200);
    await second.webhooks.start();
    await vi.waitFor(() => expect(receiver.attempts).toHaveLength(3), { timeout: 10_000 });
    await second.close();

    receiver.answer = () => 200;
    const third = boot([receiver.url]);
    await third.webhooks.start();
    await vi.waitFor(() => expect(numbers(receiver, 'a')).toEqual(upTo(5)), { timeout: 10_000 });
  });

  it('when Redis is restarted', async () => {
    const { webhooks } = boot([receiver.url]);
    await webhooks.start();
    await emitNumbered(webhooks, 'a', 0, 3);
    const down = server.restart({ downMs: 300 });
    const emitted = emitNumbered(webhooks, 'a', 3, 6);
    await down;
    await emitted;
    await vi.waitFor(() => expect(new Set(numbers(receiver, 'a'))).toEqual(new Set(upTo(6))), {
      timeout: 20_000,
    });
    // A removal that was on its way when Redis went may come twice, never out of order.
    expect(numbers(receiver, 'a')).toEqual(numbers(receiver, 'a').toSorted((x = 0, y = 0) => x - y));
  });

  it('when the process that delivers is killed', async () => {
    const program = `
      import { pino } from 'pino';
      import { connectRedis } from '${join(import.meta.dirname, '../../src/store/index.ts')}';
      import { createWebhooks } from '${join(import.meta.dirname, '../../src/webhooks/index.ts')}';
      const logger = pino({ level: 'silent' });
      const redis = connectRedis({ url: '${server.url}', logger });
      const config = { webhook: { urls: ['${receiver.url}'], apiKey: 'devkey' }, keys: ${JSON.stringify(KEYS)} };
      const webhooks = createWebhooks({ config, redis, logger, timing: ${JSON.stringify(QUICK)} });
      await webhooks.start();
      for (let n = 0; n < 20; n++) await webhooks.emit({ event: 'room_started', room: { name: 'a', numParticipants: n } }, 'a');
      process.stdout.write('all queued');`;
    receiver.answer = (event) => (event.room?.numParticipants === 7 ? 'hang' : 200);
    const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
      cwd: join(import.meta.dirname, '../..'),
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await once(child.stdout, 'data');
    await vi.waitFor(() => expect(receiver.attempts).toHaveLength(8), { timeout: 20_000 });
    const closed = once(child, 'close');
    child.kill('SIGKILL');
    await closed;
    receiver.answer = () => 200;
    const { webhooks } = boot([receiver.url]);
    await webhooks.start();
    await vi.waitFor(() => expect(numbers(receiver, 'a')).toEqual(upTo(20)), { timeout: 20_000 });
  });

  it('and no order, when a process is stopped while it delivers and goes on later', async () => {
    const one = boot([receiver.url]);
    await one.webhooks.start();
    // As long as this one has not been answered, its process holds the list.
    let release: (() => void) | undefined;
    const held = new Promise<void>((resolve) => (release = resolve));
    receiver.answer = async (event, attempt) => {
      if (attempt === 1) await held;
      return event.event === 'room_started' ? 200 : 500;
    };
    await emitNumbered(one.webhooks, 'a', 0, 3);
    await vi.waitFor(() => expect(receiver.attempts).toHaveLength(1));
    const two = boot([receiver.url]);
    await two.webhooks.start();
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect(receiver.attempts).toHaveLength(1);
    release?.();
    await vi.waitFor(() => expect(numbers(receiver, 'a')).toEqual([0, 1, 2]), { timeout: 10_000 });
  });
});

describe('egresses', () => {
  const info = (egressId: string, status: EgressStatus) =>
    new EgressInfo({ egressId, roomName: 'demo', status });

  async function runEgress(redis: RedisConnections, egressId: string): Promise<void> {
    const store = createEgressStore(redis, pino({ level: 'silent' }));
    await store.create({
      egressId,
      roomName: 'demo',
      requestType: 'RoomCompositeEgressRequest',
      requestJson: JSON.stringify({
        roomName: 'demo',
        webhooks: [
          {
            url: `${receiver.url}?own`,
            signingKey: 'devkey',
            filterParams: { includeEvents: ['egress_ended'] },
          },
        ],
      }),
      trackKind: undefined,
      createdAtMs: Date.now(),
      info: info(egressId, EgressStatus.EGRESS_STARTING),
      desired: { revision: 0, streamUrls: [] },
      bridgeUrl: 'ws://h',
    });
    await store.begin(egressId, 1);
    for (const status of [
      EgressStatus.EGRESS_ACTIVE,
      EgressStatus.EGRESS_ENDING,
      EgressStatus.EGRESS_COMPLETE,
    ]) {
      await store.saveInfo(egressId, 1, info(egressId, status), 0);
    }
    await store.close();
  }

  const seen = (egressId: string) =>
    receiver.received
      .filter(({ event }) => event.egressInfo?.egressId === egressId)
      .map(({ event }) => `${event.event} ${event.egressInfo?.status}`);

  it('tell each change once and in order, however many processes listen, and the request’s own webhooks', async () => {
    const a = boot([receiver.url]);
    const b = boot([receiver.url]);
    await Promise.all([a.webhooks.start(), b.webhooks.start()]);
    await Promise.all(upTo(8).map((n) => runEgress((n % 2 === 0 ? a : b).redis, `EG_${n}`)));
    await vi.waitFor(() => expect(receiver.received).toHaveLength(8 * 5), { timeout: 10_000 });
    for (const n of upTo(8)) {
      const events = seen(`EG_${n}`);
      expect(events.filter((event) => event === 'egress_ended 3')).toHaveLength(2);
      expect([...new Set(events)]).toEqual(
        expect.arrayContaining([
          'egress_started 0',
          'egress_updated 1',
          'egress_updated 2',
          'egress_ended 3',
        ]),
      );
      const configured = events.filter((event) => event !== 'egress_ended 3');
      expect(configured).toEqual(['egress_started 0', 'egress_updated 1', 'egress_updated 2']);
    }
  });

  it('tell what happened while no process was there to listen', async () => {
    const redis = connectRedis({ url: server.url, logger: pino({ level: 'silent' }) });
    await runEgress(redis, 'EG_1');
    await redis.close();
    const { webhooks } = boot([receiver.url]);
    await webhooks.start();
    await vi.waitFor(() => expect(receiver.received).toHaveLength(5), { timeout: 10_000 });
    expect(seen('EG_1').at(-1)).toBe('egress_ended 3');
  });
});
