/** Uploads that go on after their egress: whatever fails meanwhile, nothing goes from here before it is there. */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ListMultipartUploadsCommand, S3Client } from '@aws-sdk/client-s3';
import { EgressStatus } from '@livekit/protocol';
import { afterAll, beforeAll, describe, expect, it, type TestContext } from 'vitest';
import { uploadNote } from '../../src/egress/sinks/late.ts';
import { keys } from '../../src/store/keys.ts';
import { keepFolder } from '../../src/uploads/index.ts';
import { startRedis } from '../support/redis.ts';
import type { TestRedis } from '../support/redis.ts';
import { startSwift } from '../support/swift.ts';
import type { Swift } from '../support/swift.ts';
import { until } from '../support/takeover.ts';
import { createStorage } from '../../src/storage/index.ts';
import { makeBroadcast } from '../support/broadcast.ts';
import { silent } from '../support/log-fixtures.ts';
import { endEgress, localPolicy } from '../support/uploads.ts';
import type { Recording } from '../support/uploads.ts';
import { newEgressId, UploadScene } from '../support/upload-scene.ts';

const MIB = 1024 * 1024;
const BUCKET = 'recordings';
const sha = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

let redis: TestRedis;
let swift: Swift;

beforeAll(async () => {
  [redis, swift] = await Promise.all([startRedis(), startSwift()]);
  await swift.createBucket(BUCKET);
});
afterAll(async () => {
  await Promise.all([redis?.stop(), swift?.stop()]);
});
const setScene = (context: TestContext): Promise<UploadScene> =>
  UploadScene.set(context, { redis, swift, bucket: BUCKET });

/** Watches the file; when it is gone, what the store has must be whole. */
async function goneOnlyWhenStored({ upload, path, content }: Recording, timeoutMs = 15_000): Promise<void> {
  for (const deadline = Date.now() + timeoutMs; existsSync(path); await sleep(5)) {
    if (Date.now() > deadline) throw new Error(`${path} is still there`);
  }
  expect(sha(await swift.get(BUCKET, upload.key))).toBe(sha(content));
}

// Alone: Redis is shared.
it('an upload whose storage is away lets the egress end, survives restarts, and is stored whole before the file goes', async (context) => {
  const scene = await setScene(context);
  await scene.start();
  await scene.proxy.cut();
  const made = await scene.recording(12 * MIB);
  const began = Date.now();
  expect(await scene.rig.uploads.store(made.upload, made.plan)).toEqual({ state: 'pending' });
  expect(Date.now() - began).toBeLessThan(3000);
  await scene.endPending(made);
  // The record is needed for as long as the upload is.
  expect(await scene.rig.redis.shared.ttl(keys.egress(made.upload.egressId))).toBe(-1);
  await scene.rig.close();
  await redis.restart();
  await scene.start();
  await sleep(1500);
  expect(sha(readFileSync(made.path))).toBe(sha(made.content));
  expect((await scene.infoOf(made)).fileResults[0]!.location).toBe(made.path);
  await Promise.all([scene.proxy.restore(), goneOnlyWhenStored(made)]);
  await scene.settled(made);
  const info = await scene.infoOf(made);
  expect(info.status).toBe(EgressStatus.EGRESS_COMPLETE);
  expect(info.fileResults[0]!.location).toBe(`${scene.proxy.url}/${BUCKET}/${made.upload.key}`);
  expect(info.details).toMatch(/^End reason: StopEgress API; EG_\d+\/call.mp4 was uploaded at 20/);
  expect(await scene.webhooksOf(made)).toEqual(['egress_started', 'egress_ended', 'egress_updated']);
  expect(existsSync(made.folder)).toBe(false);
  expect(await scene.rig.redis.shared.ttl(keys.egress(made.upload.egressId))).toBeGreaterThan(80_000);
});

describe.concurrent('an upload whose storage is away', () => {
  it('is not waited for when it is slow and takes something: the same upload goes on', async (context) => {
    const scene = await setScene(context);
    await scene.start({ backup: join(scene.folder, 'backup'), timing: { wait: 600 } });
    const made = await scene.recording(12 * MIB);
    scene.proxy.slow(8 * MIB);
    const before = scene.proxy.bytesUp;
    expect(await scene.rig.uploads.store(made.upload, made.plan)).toEqual({ state: 'pending' });
    await scene.endPending(made);
    await goneOnlyWhenStored(made, 30_000);
    expect(scene.proxy.bytesUp - before).toBeLessThan(made.content.length * 1.3);
    expect(existsSync(join(scene.folder, 'backup'))).toBe(false);
  });

  it('goes into the backup storage, under a name of its own, and only then goes from here', async (context) => {
    const scene = await setScene(context);
    const backup = join(scene.folder, 'backup');
    await scene.start({ backup });
    scene.proxy.silence();
    const made = await scene.recording(MIB);
    const outcome = await scene.rig.uploads.store(made.upload, made.plan);
    const location = join(backup, made.upload.egressId, made.upload.key);
    expect(outcome).toEqual({ state: 'stored', stored: { location, bytes: MIB, backup: true } });
    expect(sha(readFileSync(location))).toBe(sha(made.content));
    await scene.settled(made);
    expect(existsSync(made.path)).toBe(true);
  });

  it('goes into the backup storage later too, and the info says so', async (context) => {
    const scene = await setScene(context);
    await scene.start();
    await scene.proxy.cut();
    const made = await scene.recording(MIB);
    expect(await scene.rig.uploads.store(made.upload, made.plan)).toEqual({ state: 'pending' });
    await scene.endPending(made);
    const backup = join(scene.folder, 'backup');
    await scene.restart({ backup });
    await until('it is in the backup', async () => (await scene.infoOf(made)).backupStorageUsed);
    const location = join(backup, made.upload.egressId, made.upload.key);
    expect((await scene.infoOf(made)).fileResults[0]!.location).toBe(location);
    expect(sha(readFileSync(location))).toBe(sha(made.content));
    await scene.settled(made);
  });

  it('is given up after the set time, and stays here', async (context) => {
    const scene = await setScene(context);
    await scene.start({ timing: { giveUp: 500 } });
    await scene.proxy.cut();
    const made = await scene.recording(1000);
    expect(await scene.rig.uploads.store(made.upload, made.plan)).toEqual({ state: 'pending' });
    await scene.endPending(made);
    await sleep(500);
    await scene.restart({ timing: { giveUp: 500 } });
    await scene.settled(made);
    expect((await scene.infoOf(made)).details).toContain(`was not uploaded, and is kept at ${made.path}`);
    // Also a further start, with a store that is there, does not take it for what is stored.
    await scene.proxy.restore();
    await scene.restart();
    await sleep(500);
    expect(sha(readFileSync(made.path))).toBe(sha(made.content));
  });
});

describe.concurrent('an upload that is refused', () => {
  it('is told at once, tried on, and stored when the settings have been mended', async (context) => {
    const scene = await setScene(context);
    await scene.start({ timing: { wait: 20_000 } });
    const bucket = `mended-${process.pid}`;
    const plain = {
      sessionToken: '',
      forcePathStyle: true,
      metadata: {},
      tagging: '',
      contentDisposition: '',
    };
    const made = await scene.recording(6 * MIB, { ...scene.options.s3, ...plain, bucket });
    const outcome = await scene.rig.uploads.store(made.upload, made.plan);
    expect(outcome).toMatchObject({ state: 'refused', error: { code: 404, blame: 'user' } });
    await endEgress(scene.rig, made.upload.egressId, EgressStatus.EGRESS_FAILED, (info) => {
      info.details = `End reason: Failure; ${uploadNote(made.upload, made.folder, 'kept')}`;
    });
    await sleep(700);
    expect(existsSync(made.path)).toBe(true);
    await swift.createBucket(bucket);
    await scene.settled(made);
    expect(sha(await swift.get(bucket, made.upload.key))).toBe(sha(made.content));
    const info = await scene.infoOf(made);
    expect(info.status).toBe(EgressStatus.EGRESS_FAILED);
    expect(info.fileResults[0]!.location).toContain(bucket);
    expect(info.details).toContain('was uploaded at');
    expect(existsSync(made.folder)).toBe(false);
    // Credentials are where they have been before, in the request, and nowhere else.
    const stored: string[] = [];
    for (const key of await scene.rig.redis.shared.keys('sluice:upload*')) {
      stored.push(JSON.stringify(await scene.rig.redis.shared.hgetall(key).catch(() => key)));
    }
    expect(stored.join()).not.toContain(swift.secret);
  });

  it('goes into the backup storage at once', async (context) => {
    const scene = await setScene(context);
    const backup = join(scene.folder, 'backup');
    await scene.start({ backup, timing: { wait: 10_000 } });
    const plain = {
      sessionToken: '',
      forcePathStyle: true,
      metadata: {},
      tagging: '',
      contentDisposition: '',
    };
    const made = await scene.recording(1000, { ...scene.options.s3, ...plain, secret: 'wr0ng-s3cret' });
    const outcome = await scene.rig.uploads.store(made.upload, made.plan);
    expect(outcome).toMatchObject({ state: 'stored', stored: { backup: true } });
    expect(readFileSync(join(backup, made.upload.egressId, made.upload.key))).toEqual(made.content);
  });
});

describe.concurrent('a process in the middle of an upload', () => {
  const script = new URL('../support/upload-process.ts', import.meta.url).pathname;
  async function begin(context: TestContext) {
    const scene = await setScene(context);
    const client = new S3Client({
      ...{ endpoint: swift.endpoint, region: swift.region, forcePathStyle: true },
      credentials: { accessKeyId: swift.accessKey, secretAccessKey: swift.secret },
    });
    context.onTestFinished(() => client.destroy());
    await scene.start();
    await scene.proxy.cut();
    const made = await scene.recording(14 * MIB);
    expect(await scene.rig.uploads.store(made.upload, made.plan)).toEqual({ state: 'pending' });
    await scene.endPending(made);
    await scene.rig.close();
    await scene.proxy.restore();
    scene.proxy.slow(8 * MIB);
    const before = scene.proxy.bytesUp;
    const child = spawn(process.execPath, [script, JSON.stringify(scene.options)], { stdio: 'ignore' });
    context.onTestFinished(async () => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill('SIGKILL');
      await once(child, 'exit');
    });
    await until('it is in the middle', () => scene.proxy.bytesUp - before > 6 * MIB);
    const parts = async () => {
      const { Uploads = [] } = await client.send(new ListMultipartUploadsCommand({ Bucket: BUCKET }));
      return Uploads.filter(({ Key }) => Key === made.upload.key);
    };
    return { scene, made, child, parts };
  }

  it('that is killed leaves no half object and no parts, and the next one goes on', async (context) => {
    const { scene, made, child, parts } = await begin(context);
    child.kill('SIGKILL');
    await once(child, 'exit');
    await scene.proxy.restore();
    expect(await parts()).toHaveLength(1);
    expect(await swift.list(BUCKET)).not.toContain(made.upload.key);
    expect(existsSync(made.path)).toBe(true);
    await scene.start();
    await goneOnlyWhenStored(made);
    await scene.settled(made);
    expect(await parts()).toEqual([]);
  });

  it('that is stopped has lost it when it wakes up, and does no harm', async (context) => {
    const { scene, made, child, parts } = await begin(context);
    child.kill('SIGSTOP');
    await scene.proxy.restore();
    await scene.start();
    await goneOnlyWhenStored(made);
    await scene.settled(made);
    child.kill('SIGCONT');
    await sleep(1000);
    expect(sha(await swift.get(BUCKET, made.upload.key))).toBe(sha(made.content));
    expect(await scene.webhooksOf(made)).toEqual(['egress_started', 'egress_ended', 'egress_updated']);
    expect(await parts()).toEqual([]);
    expect(existsSync(made.folder)).toBe(false);
  });
});

describe.concurrent('a broadcast', () => {
  const names = { segmentPrefix: 'part', playlist: 'call.m3u8' };
  const listed = (playlist: string) => playlist.split('\n').filter((line) => line.endsWith('.ts'));

  it('waits for its storage while it is live, and names only what is stored', async (context) => {
    const scene = await setScene(context);
    await scene.start();
    const live = await makeBroadcast(scene.rig, scene.spoolDir, {
      egressId: newEgressId(),
      seconds: 10,
      names,
    });
    const [first, ...others] = live.chunks;
    const sink = await live.open(
      createStorage({ type: 'default' }, live.config(scene.options.s3), silent, localPolicy),
    );
    sink.onChunk(first!);
    await scene.proxy.cut();
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
    setTimeout(() => void scene.proxy.restore(), 200);
    // In time or late: that is the machine's load.
    if ((await sink.finish(await live.log())) === 'pending')
      await endEgress(scene.rig, live.egressId, EgressStatus.EGRESS_COMPLETE, () => undefined);
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

  it('goes on in the backup storage, from its first segment on', async (context) => {
    const scene = await setScene(context);
    const backup = join(scene.folder, 'backup');
    // Long enough for a busy machine to store what is there.
    await scene.start({ backup, timing: { wait: 1500 } });
    const live = await makeBroadcast(scene.rig, scene.spoolDir, {
      egressId: newEgressId(),
      seconds: 10,
      names,
    });
    const [first, second, ...others] = live.chunks;
    const sink = await live.open(
      createStorage({ type: 'default' }, live.config(scene.options.s3), silent, localPolicy),
    );
    sink.onChunk(first!);
    await until('it has begun', async () =>
      (await swift.list(BUCKET)).includes(`${live.egressId}/${names.playlist}`),
    );
    await scene.proxy.cut();
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

describe.concurrent('what lies in the spool at start', () => {
  it('is queued when it is noted, removed when it is stored, and kept otherwise', async (context) => {
    const scene = await setScene(context);
    await scene.start();
    await scene.proxy.cut();
    const [lost, stored, kept, running, other] = [
      await scene.recording(1000),
      await scene.recording(1000),
      await scene.recording(1000),
      await scene.recording(1000),
      await scene.recording(1000),
    ];
    expect(await scene.rig.uploads.store(lost.upload, lost.plan)).toEqual({ state: 'pending' });
    await scene.endPending(lost);
    await scene.rig.close();
    // Redis has lost its data, all but some records.
    await scene.start();
    const redisKeys = await scene.rig.redis.shared.keys('sluice:*');
    const records = [stored, kept, running, other].map(({ upload }) => keys.egress(upload.egressId));
    // The set of its uploads stays, as what a crash of Redis leaves need not fit together.
    const left = [...records, keys.uploads(lost.upload.egressId)];
    await scene.rig.redis.shared.del(...redisKeys.filter((key) => !left.includes(key)));
    mkdirSync(join(stored.folder, 'attempt-1'));
    const elsewhere = join(scene.spoolDir, other.upload.egressId, 'attempt-0');
    mkdirSync(elsewhere);
    for (const each of [stored, kept, other]) {
      await endEgress(scene.rig, each.upload.egressId, EgressStatus.EGRESS_COMPLETE, () => undefined);
    }
    await keepFolder(scene.spoolDir, kept.upload.egressId, 'the pipeline failed');
    mkdirSync(join(scene.spoolDir, 'EG_unknown'));
    writeFileSync(join(scene.spoolDir, 'EG_unknown', 'output-1.mp4'), 'x');
    await scene.rig.close();
    await scene.proxy.restore();
    await scene.start();
    await goneOnlyWhenStored(lost);
    await until('the stored one is removed', () => !existsSync(stored.folder));
    for (const path of [
      kept.path,
      running.path,
      elsewhere,
      join(scene.spoolDir, 'EG_unknown', 'output-1.mp4'),
    ]) {
      expect(existsSync(path), path).toBe(true);
    }
  });
});
