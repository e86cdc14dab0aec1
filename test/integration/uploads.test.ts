/** Uploads that go on after their egress: whatever fails meanwhile, nothing goes from here before it is there. */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ListMultipartUploadsCommand, S3Client } from '@aws-sdk/client-s3';
import { EgressStatus } from '@livekit/protocol';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { uploadNote } from '../../src/egress/sinks/late.ts';
import { keys } from '../../src/store/keys.ts';
import { keepFolder } from '../../src/uploads/index.ts';
import { startRedis } from '../support/redis.ts';
import type { TestRedis } from '../support/redis.ts';
import { startSwift } from '../support/swift.ts';
import type { Swift } from '../support/swift.ts';
import { until } from '../support/takeover.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';
import { createStorage } from '../../src/storage/index.ts';
import { makeBroadcast } from '../support/broadcast.ts';
import { silent } from '../support/log-fixtures.ts';
import { UploadRig, endEgress, localPolicy, makeRecording } from '../support/uploads.ts';
import type { Recording, UploadRigOptions } from '../support/uploads.ts';

const MIB = 1024 * 1024;
const BUCKET = 'recordings';
const sha = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

let redis: TestRedis;
let swift: Swift;
let proxy: TcpProxy;
let folder: string;
let spoolDir: string;
let options: UploadRigOptions;
let rig: UploadRig;
let count = 0;

beforeAll(async () => {
  [redis, swift] = await Promise.all([startRedis(), startSwift()]);
  await swift.createBucket(BUCKET);
  proxy = await TcpProxy.start(swift.endpoint);
});
afterAll(async () => {
  await proxy?.stop();
  await Promise.all([redis?.stop(), swift?.stop()]);
});
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'sluice-uploads-'));
  spoolDir = join(folder, 'egress');
  await proxy.restore();
  const { region, accessKey, secret } = swift;
  const s3 = { bucket: BUCKET, region, accessKey, secret, endpoint: proxy.url };
  options = { redisUrl: redis.url, spoolDir, s3 };
});
afterEach(async () => {
  await rig.close();
  rmSync(folder, { recursive: true, force: true });
});

async function start(change: Partial<UploadRigOptions> = {}): Promise<void> {
  rig = await UploadRig.start({ ...options, ...change });
}

async function restart(change: Partial<UploadRigOptions> = {}): Promise<void> {
  await rig.close();
  await start(change);
}

const recording = (bytes: number, s3?: Parameters<typeof makeRecording>[2]['s3']) =>
  makeRecording(rig, spoolDir, { egressId: `EG_${++count}`, bytes, ...(s3 && { s3 }) });

const infoOf = async ({ upload }: Recording) => (await rig.store.get(upload.egressId))!.info;

const webhooksOf = async ({ upload }: Recording): Promise<string[]> =>
  (await rig.redis.shared.lrange(keys.outbox, 0, -1))
    .map((entry) => JSON.parse(entry) as { egressId: string; event: string })
    .flatMap(({ egressId, event }) => (egressId === upload.egressId ? [event] : []));

/** Ends the egress as its attempt does when its upload is still to come. */
async function endPending({ upload, folder: logDir, path }: Recording): Promise<void> {
  await endEgress(rig, upload.egressId, EgressStatus.EGRESS_COMPLETE, (info) => {
    info.details = `End reason: StopEgress API; ${uploadNote(upload, logDir, 'pending')}`;
    info.fileResults[0]!.location = path;
  });
}

/** Watches the file; when it is gone, what the store has must be whole. */
async function goneOnlyWhenStored({ upload, path, content }: Recording, timeoutMs = 15_000): Promise<void> {
  for (const deadline = Date.now() + timeoutMs; existsSync(path); await sleep(2)) {
    if (Date.now() > deadline) throw new Error(`${path} is still there`);
  }
  expect(sha(await swift.get(BUCKET, upload.key))).toBe(sha(content));
}

const settled = ({ upload }: Recording) =>
  until(
    'the upload is settled',
    async () => (await rig.redis.shared.exists(keys.uploads(upload.egressId))) === 0,
  );

describe('an upload whose storage is away', () => {
  it('lets the egress end, survives restarts, and is stored whole before the file goes', async () => {
    await start();
    await proxy.cut();
    const made = await recording(12 * MIB);
    const began = Date.now();
    expect(await rig.uploads.store(made.upload, made.plan)).toEqual({ state: 'pending' });
    expect(Date.now() - began).toBeLessThan(3000);
    await endPending(made);
    // The record is needed for as long as the upload is.
    expect(await rig.redis.shared.ttl(keys.egress(made.upload.egressId))).toBe(-1);
    await rig.close();
    await redis.restart();
    await start();
    await sleep(1500);
    expect(sha(readFileSync(made.path))).toBe(sha(made.content));
    expect((await infoOf(made)).fileResults[0]!.location).toBe(made.path);
    await Promise.all([proxy.restore(), goneOnlyWhenStored(made)]);
    await settled(made);
    const info = await infoOf(made);
    expect(info.status).toBe(EgressStatus.EGRESS_COMPLETE);
    expect(info.fileResults[0]!.location).toBe(`${proxy.url}/${BUCKET}/${made.upload.key}`);
    expect(info.details).toMatch(/^End reason: StopEgress API; EG_\d+\/call.mp4 was uploaded at 20/);
    expect(await webhooksOf(made)).toEqual(['egress_started', 'egress_ended', 'egress_updated']);
    expect(existsSync(made.folder)).toBe(false);
    expect(await rig.redis.shared.ttl(keys.egress(made.upload.egressId))).toBeGreaterThan(80_000);
  });

  it('is not waited for when it is slow and takes something: the same upload goes on', async () => {
    await start({ backup: join(folder, 'backup'), timing: { wait: 600 } });
    const made = await recording(12 * MIB);
    proxy.slow(8 * MIB);
    const before = proxy.bytesUp;
    expect(await rig.uploads.store(made.upload, made.plan)).toEqual({ state: 'pending' });
    await endPending(made);
    await goneOnlyWhenStored(made, 30_000);
    expect(proxy.bytesUp - before).toBeLessThan(made.content.length * 1.3);
    expect(existsSync(join(folder, 'backup'))).toBe(false);
  });

  it('goes into the backup storage, under a name of its own, and only then goes from here', async () => {
    const backup = join(folder, 'backup');
    await start({ backup });
    proxy.silence();
    const made = await recording(MIB);
    const outcome = await rig.uploads.store(made.upload, made.plan);
    const location = join(backup, made.upload.egressId, made.upload.key);
    expect(outcome).toEqual({ state: 'stored', stored: { location, bytes: MIB, backup: true } });
    expect(sha(readFileSync(location))).toBe(sha(made.content));
    await settled(made);
    expect(existsSync(made.path)).toBe(true);
  });

  it('goes into the backup storage later too, and the info says so', async () => {
    await start();
    await proxy.cut();
    const made = await recording(MIB);
    expect(await rig.uploads.store(made.upload, made.plan)).toEqual({ state: 'pending' });
    await endPending(made);
    const backup = join(folder, 'backup');
    await restart({ backup });
    await until('it is in the backup', async () => (await infoOf(made)).backupStorageUsed);
    const location = join(backup, made.upload.egressId, made.upload.key);
    expect((await infoOf(made)).fileResults[0]!.location).toBe(location);
    expect(sha(readFileSync(location))).toBe(sha(made.content));
    await settled(made);
  });

  it('is given up after the set time, and stays here', async () => {
    await start({ timing: { giveUp: 500 } });
    await proxy.cut();
    const made = await recording(1000);
    expect(await rig.uploads.store(made.upload, made.plan)).toEqual({ state: 'pending' });
    await endPending(made);
    await sleep(500);
    await restart({ timing: { giveUp: 500 } });
    await settled(made);
    expect((await infoOf(made)).details).toContain(`was not uploaded, and is kept at ${made.path}`);
    // Also a further start, with a store that is there, does not take it for what is stored.
    await proxy.restore();
    await restart();
    await sleep(500);
    expect(sha(readFileSync(made.path))).toBe(sha(made.content));
  });
});

describe('an upload that is refused', () => {
  it('is told at once, tried on, and stored when the settings have been mended', async () => {
    await start({ timing: { wait: 20_000 } });
    const bucket = `mended-${process.pid}`;
    const plain = {
      sessionToken: '',
      forcePathStyle: true,
      metadata: {},
      tagging: '',
      contentDisposition: '',
    };
    const made = await recording(6 * MIB, { ...options.s3, ...plain, bucket });
    const outcome = await rig.uploads.store(made.upload, made.plan);
    expect(outcome).toMatchObject({ state: 'refused', error: { code: 404, blame: 'user' } });
    await endEgress(rig, made.upload.egressId, EgressStatus.EGRESS_FAILED, (info) => {
      info.details = `End reason: Failure; ${uploadNote(made.upload, made.folder, 'kept')}`;
    });
    await sleep(700);
    expect(existsSync(made.path)).toBe(true);
    await swift.createBucket(bucket);
    await settled(made);
    expect(sha(await swift.get(bucket, made.upload.key))).toBe(sha(made.content));
    const info = await infoOf(made);
    expect(info.status).toBe(EgressStatus.EGRESS_FAILED);
    expect(info.fileResults[0]!.location).toContain(bucket);
    expect(info.details).toContain('was uploaded at');
    expect(existsSync(made.folder)).toBe(false);
    // Credentials are where they have been before, in the request, and nowhere else.
    const stored: string[] = [];
    for (const key of await rig.redis.shared.keys('sluice:upload*')) {
      stored.push(JSON.stringify(await rig.redis.shared.hgetall(key).catch(() => key)));
    }
    expect(stored.join()).not.toContain(swift.secret);
  });

  it('goes into the backup storage at once', async () => {
    const backup = join(folder, 'backup');
    await start({ backup, timing: { wait: 10_000 } });
    const plain = {
      sessionToken: '',
      forcePathStyle: true,
      metadata: {},
      tagging: '',
      contentDisposition: '',
    };
    const made = await recording(1000, { ...options.s3, ...plain, secret: 'wr0ng-s3cret' });
    const outcome = await rig.uploads.store(made.upload, made.plan);
    expect(outcome).toMatchObject({ state: 'stored', stored: { backup: true } });
    expect(readFileSync(join(backup, made.upload.egressId, made.upload.key))).toEqual(made.content);
  });
});

describe('a process in the middle of an upload', () => {
  const script = new URL('../support/upload-process.ts', import.meta.url).pathname;
  let client: S3Client;
  let child: ChildProcess;
  let made: Recording;

  beforeEach(async () => {
    client = new S3Client({
      ...{ endpoint: swift.endpoint, region: swift.region, forcePathStyle: true },
      credentials: { accessKeyId: swift.accessKey, secretAccessKey: swift.secret },
    });
    await start();
    await proxy.cut();
    made = await recording(14 * MIB);
    expect(await rig.uploads.store(made.upload, made.plan)).toEqual({ state: 'pending' });
    await endPending(made);
    await rig.close();
    await proxy.restore();
    proxy.slow(8 * MIB);
    const before = proxy.bytesUp;
    child = spawn(process.execPath, [script, JSON.stringify(options)], { stdio: 'ignore' });
    await until('it is in the middle', () => proxy.bytesUp - before > 6 * MIB);
  });
  afterEach(async () => {
    if (child.exitCode === null && child.signalCode === null) {
      child.kill('SIGKILL');
      await once(child, 'exit');
    }
    client.destroy();
  });

  const parts = async () =>
    (await client.send(new ListMultipartUploadsCommand({ Bucket: BUCKET }))).Uploads ?? [];

  it('that is killed leaves no half object and no parts, and the next one goes on', async () => {
    child.kill('SIGKILL');
    await once(child, 'exit');
    await proxy.restore();
    expect(await parts()).toHaveLength(1);
    expect(await swift.list(BUCKET)).not.toContain(made.upload.key);
    expect(existsSync(made.path)).toBe(true);
    await start();
    await goneOnlyWhenStored(made);
    await settled(made);
    expect(await parts()).toEqual([]);
  });

  it('that is stopped has lost it when it wakes up, and does no harm', async () => {
    child.kill('SIGSTOP');
    await proxy.restore();
    await start();
    await goneOnlyWhenStored(made);
    await settled(made);
    child.kill('SIGCONT');
    await sleep(1000);
    expect(sha(await swift.get(BUCKET, made.upload.key))).toBe(sha(made.content));
    expect(await webhooksOf(made)).toEqual(['egress_started', 'egress_ended', 'egress_updated']);
    expect(await parts()).toEqual([]);
    expect(existsSync(made.folder)).toBe(false);
  });
});

describe('a broadcast', () => {
  const names = { segmentPrefix: 'part', playlist: 'call.m3u8' };
  const listed = (playlist: string) => playlist.split('\n').filter((line) => line.endsWith('.ts'));

  it('waits for its storage while it is live, and names only what is stored', async () => {
    await start();
    const live = await makeBroadcast(rig, spoolDir, { egressId: `EG_${++count}`, seconds: 10, names });
    const [first, ...others] = live.chunks;
    const sink = await live.open(
      createStorage({ type: 'default' }, live.config(options.s3), silent, localPolicy),
    );
    sink.onChunk(first!);
    await proxy.cut();
    for (const chunk of others) sink.onChunk(chunk);
    await sleep(300);
    const wrong: string[] = [];
    const watching = new AbortController();
    const watched = (async () => {
      while (!watching.signal.aborted) {
        const playlist = await swift.get(BUCKET, `${live.egressId}/${names.playlist}`).catch(() => undefined);
        const there = new Set(await swift.list(BUCKET));
        const text = playlist ? Buffer.from(playlist).toString() : '';
        wrong.push(...listed(text).filter((name) => !there.has(`${live.egressId}/${name}`)));
        await sleep(30);
      }
    })();
    setTimeout(() => void proxy.restore(), 200);
    // In time or late: that is the machine's load.
    if ((await sink.finish(await live.log())) === 'pending')
      await endEgress(rig, live.egressId, EgressStatus.EGRESS_COMPLETE, () => undefined);
    await until('everything is stored', async () =>
      Buffer.from(await swift.get(BUCKET, `${live.egressId}/${names.playlist}`).catch(() => Buffer.alloc(0)))
        .toString()
        .includes('ENDLIST'),
    );
    watching.abort();
    await watched;
    await sink.close();
    expect(wrong).toEqual([]);
    const stored = (await swift.list(BUCKET)).filter((key) => key.startsWith(`${live.egressId}/part`));
    expect(stored.length).toBeGreaterThanOrEqual(4);
  });

  it('goes on in the backup storage, from its first segment on', async () => {
    const backup = join(folder, 'backup');
    await start({ backup });
    const live = await makeBroadcast(rig, spoolDir, { egressId: `EG_${++count}`, seconds: 10, names });
    const [first, second, ...others] = live.chunks;
    const sink = await live.open(
      createStorage({ type: 'default' }, live.config(options.s3), silent, localPolicy),
    );
    sink.onChunk(first!);
    await until('it has begun', async () =>
      (await swift.list(BUCKET)).includes(`${live.egressId}/${names.playlist}`),
    );
    await proxy.cut();
    sink.onChunk(second!);
    await until('the backup has it', () => live.status.info.backupStorageUsed);
    for (const chunk of others) sink.onChunk(chunk);
    expect(await sink.finish(await live.log())).toBe('done');
    await sink.close();
    const place = join(backup, live.egressId, live.egressId);
    const playlist = readFileSync(join(place, names.playlist), 'utf8');
    expect(playlist).toContain('#EXT-X-ENDLIST');
    expect(listed(playlist).length).toBeGreaterThanOrEqual(4);
    for (const name of listed(playlist)) expect(existsSync(join(place, name)), name).toBe(true);
    const [info] = live.status.info.segmentResults;
    expect(info!.playlistLocation).toBe(join(place, names.playlist));
    expect(Number(info!.segmentCount)).toBe(listed(playlist).length);
  });
});

describe('what lies in the spool at start', () => {
  it('is queued when it is noted, removed when it is stored, and kept otherwise', async () => {
    await start();
    await proxy.cut();
    const [lost, stored, kept, running, other] = [
      await recording(1000),
      await recording(1000),
      await recording(1000),
      await recording(1000),
      await recording(1000),
    ];
    expect(await rig.uploads.store(lost.upload, lost.plan)).toEqual({ state: 'pending' });
    await endPending(lost);
    await rig.close();
    // Redis has lost its data, all but some records.
    await start();
    const redisKeys = await rig.redis.shared.keys('sluice:*');
    const records = [stored, kept, running, other].map(({ upload }) => keys.egress(upload.egressId));
    // The set of its uploads stays, as what a crash of Redis leaves need not fit together.
    const left = [...records, keys.uploads(lost.upload.egressId)];
    await rig.redis.shared.del(...redisKeys.filter((key) => !left.includes(key)));
    mkdirSync(join(stored.folder, 'attempt-1'));
    const elsewhere = join(spoolDir, other.upload.egressId, 'attempt-0');
    mkdirSync(elsewhere);
    for (const each of [stored, kept, other]) {
      await endEgress(rig, each.upload.egressId, EgressStatus.EGRESS_COMPLETE, () => undefined);
    }
    await keepFolder(spoolDir, kept.upload.egressId, 'the pipeline failed');
    mkdirSync(join(spoolDir, 'EG_unknown'));
    writeFileSync(join(spoolDir, 'EG_unknown', 'output-1.mp4'), 'x');
    await rig.close();
    await proxy.restore();
    await start();
    await goneOnlyWhenStored(lost);
    await until('the stored one is removed', () => !existsSync(stored.folder));
    for (const path of [kept.path, running.path, elsewhere, join(spoolDir, 'EG_unknown', 'output-1.mp4')]) {
      expect(existsSync(path), path).toBe(true);
    }
  });
});
