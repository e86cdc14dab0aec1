/** Names of files: nobody's file is written over, and an egress's next attempt finds its own. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { aside, isFree, nameOwner } from '../../src/egress/sinks/free-name.ts';
import type { EgressPlan } from '../../src/egress/plan/types.ts';
import { LocalStorage } from '../../src/storage/local.ts';
import { createNameClaims } from '../../src/store/name-claims.ts';
import { connectRedis } from '../../src/store/index.ts';
import { startRedis } from '../support/redis.ts';
import type { TestRedis } from '../support/redis.ts';

const logger = pino({ level: 'silent' });
const put = { contentType: 'video/mp4' };
let server: TestRedis;
let redis: ReturnType<typeof connectRedis>;
let folder = '';
let storage: LocalStorage;
beforeAll(async () => {
  server = await startRedis();
  redis = connectRedis({ url: server.url, logger });
  folder = await mkdtemp(join(tmpdir(), 'sluice-names-'));
  storage = new LocalStorage(folder);
});
afterAll(async () => {
  await redis.close();
  await server.stop();
  await rm(folder, { recursive: true, force: true });
});
const free = (holder: string, ...keys: string[]): Promise<boolean> =>
  isFree({ keys, holder, storage, claims: createNameClaims(redis.shared), logger });

it('of egresses that end at once with one name, one gets it, and keeps it over its attempts', async () => {
  const ids = Array.from({ length: 20 }, (_, index) => `EG_${index}`);
  const got = await Promise.all(ids.map((id) => free(id, 'same.mp4')));
  expect(got.filter((each) => each)).toHaveLength(1);
  const owner = ids[got.indexOf(true)]!;
  // It was stored, and its worker died before it could say so.
  await storage.putBytes('same.mp4', Buffer.from('mine'), put);
  expect(await free(owner, 'same.mp4')).toBe(true);
  expect(await free('EG_other', 'same.mp4')).toBe(false);
});

it('an output that was added has a claim of its own, and a name of its own where that is not free', async () => {
  const spans = [{ outputId: 'file' }, { outputId: 'EO_1' }, { outputId: 'EO_2' }];
  const plan = {
    outputs: spans.map(() => ({ type: 'file' })) as EgressPlan['outputs'],
    ownOutputs: 1,
    spans,
  };
  const owners = [0, 1, 2].map((index) => nameOwner({ plan, record: { egressId: 'EG_1' } }, index));
  const got = [];
  for (const { holder } of owners) got.push(await free(holder, 'twice.mp4'));
  expect(got).toEqual([true, false, false]);
  expect(owners.map(({ mark }) => aside('twice.mp4', mark))).toEqual([
    ...['twice-EG_1.mp4', 'twice-EO_1.mp4', 'twice-EO_2.mp4'],
  ]);
  // What was claimed before outputs could be added is still the egress's.
  expect(nameOwner({ plan: { outputs: plan.outputs }, record: { egressId: 'EG_1' } }, 2).holder).toBe('EG_1');
});

it('what has long been there is nobody’s to write over', async () => {
  await storage.putBytes('old/a.mp4', Buffer.from('old'), put);
  expect(await free('EG_new', 'old/b.mp4', 'old/a.mp4')).toBe(false);
  const name = aside('old/a.mp4', 'EG_new');
  expect(name).toBe('old/a-EG_new.mp4');
  expect(await free('EG_new', name)).toBe(true);
});

it.each([
  ['a', 'a-EG_1'],
  ['a.b/c', 'a.b/c-EG_1'],
  ['a/.mp4', 'a/.mp4-EG_1'],
  ['x.y.m3u8', 'x.y-EG_1.m3u8'],
])('%s is put aside as %s', (key, name) => {
  expect(aside(key, 'EG_1')).toBe(name);
});

it('a storage or a Redis that does not answer stops no egress', async () => {
  const broken = { kind: 's3' as const, name: 'b', size: () => Promise.reject(new Error('away')) };
  const hung = { kind: 's3' as const, name: 'h', size: () => new Promise<undefined>(() => undefined) };
  const claims = createNameClaims(redis.shared);
  const wanted = { keys: ['x.mp4'], holder: 'EG_1', logger };
  expect(await isFree({ ...wanted, storage: broken, claims })).toBe(true);
  const started = performance.now();
  const never = { claim: () => Promise.reject(new Error('away')) };
  expect(await isFree({ ...wanted, storage: hung, claims: never })).toBe(true);
  server.pause();
  await expect(claims.claim('local:x', 'y', 'EG_1')).rejects.toThrow('Redis does not answer');
  server.resume();
  expect(performance.now() - started).toBeLessThan(8000);
});
