/** Images made of a real log, and looked at. */
import { mkdir, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Chunk } from '../../src/egress/log/types.ts';
import { ImagesOutput } from '../../src/egress/outputs/images/index.ts';
import { firstPictureNs } from '../../src/egress/outputs/images/key-frame.ts';
import type { ImagesOptions } from '../../src/egress/outputs/images/index.ts';
import { lateWork, spanOfLog } from '../../src/egress/sinks/late.ts';
import { StorageError } from '../../src/storage/types.ts';
import { fadingLog, lookAt, secondOf } from '../support/fading-log.ts';
import {
  EPOCH_MS,
  MemoryStorage,
  chunkLine,
  chunkUnits,
  silent,
  withFolder,
} from '../support/log-fixtures.ts';
import { buildTs } from '../support/ts-builder.ts';

/** A fading picture is dated to this by its brightness, seconds. */
const NEAR = 0.15;

function output(dir: string, storage: MemoryStorage, change: Partial<ImagesOptions> = {}): ImagesOutput {
  return new ImagesOutput({
    ...{ storage, prefix: 'room/pic', suffix: 'index', captureInterval: 2, width: 0, height: 0 },
    ...{ container: 'mpegts', scratch: join(dir, 'scratch'), earlier: [], logger: silent, ...change },
  });
}

/** What each image in the storage shows, in order of their names. */
async function look(dir: string, storage: MemoryStorage) {
  const folder = join(dir, 'looked-at');
  await mkdir(folder, { recursive: true });
  const found = [];
  for (const [key, bytes] of [...storage.objects].sort()) {
    const path = join(folder, key.replaceAll('/', '_'));
    await writeFile(path, bytes);
    const { grey, width, height } = await lookAt(path);
    found.push({ key, second: secondOf(grey), width, height });
  }
  return found;
}

describe('images of a recording', () => {
  /** A keyframe every two seconds. */
  let chunks: Chunk[];
  let logDir: string;

  beforeAll(async () => {
    logDir = await mkdtemp(join(tmpdir(), 'sluice-images-'));
    ({ chunks } = await fadingLog({ dir: logDir, seconds: 5.8 }));
  });
  afterAll(() => rm(logDir, { recursive: true, force: true }));

  it('are made of its keyframes, each of one decoded frame, and show the moment they are of', () =>
    withFolder(async (dir) => {
      const storage = new MemoryStorage();
      const images = output(dir, storage);
      for (const chunk of chunks) images.push(chunk);
      const { images: stored, fromKeyFrames, decoded } = await images.finish();
      expect({ fromKeyFrames, decoded }).toEqual({ fromKeyFrames: 3, decoded: 0 });
      expect(stored.map(({ key }) => key)).toEqual([0, 1, 2].map((i) => `room/pic_0000${i}.jpeg`));
      const found = await look(dir, storage);
      for (const [i, { second, width, height }] of found.entries()) {
        expect(Math.abs(second - 2 * i), `image ${i} shows ${second} s`).toBeLessThan(NEAR);
        expect([width, height]).toEqual([160, 90]);
      }
      // Nothing lies about.
      expect(await readdir(join(dir, 'scratch'))).toEqual([]);
    }));

  it('are decoded where no keyframe is near, in the size and under the names asked for', () =>
    withFolder(async (dir) => {
      const storage = new MemoryStorage();
      const images = output(dir, storage, {
        ...{ captureInterval: 1, width: 100, height: 100, suffix: 'timestamp' },
      });
      for (const chunk of chunks) images.push(chunk);
      const { fromKeyFrames, decoded } = await images.finish();
      expect({ fromKeyFrames, decoded }).toEqual({ fromKeyFrames: 3, decoded: 3 });
      const found = await look(dir, storage);
      for (const [i, { key, second, width, height }] of found.entries()) {
        expect(Math.abs(second - i), `image ${i} shows ${second} s`).toBeLessThan(NEAR);
        expect([width, height]).toEqual([100, 100]);
        const [, ...parts] =
          /^room\/pic_(....)(..)(..)(..)(..)(..)(\d{3})\.jpeg$/.exec(key)?.map(Number) ?? [];
        const [year = 0, month = 0, day, hour, minute, at, millis] = parts;
        const wallMs = Date.UTC(year, month - 1, day, hour, minute, at, millis);
        expect(Math.abs(wallMs - EPOCH_MS - i * 1000), key).toBeLessThan(100);
      }
    }));

  it('are made of VP8 too, and one name shows the newest', () =>
    withFolder(async (dir) => {
      const vp8 = await fadingLog({ dir, seconds: 5.8, container: 'matroska' });
      const storage = new MemoryStorage();
      const images = output(dir, storage, { container: 'matroska', suffix: 'none', width: 80 });
      for (const chunk of vp8.chunks) images.push(chunk);
      expect((await images.finish()).images).toHaveLength(3);
      expect([...storage.objects.keys()]).toEqual(['room/pic.jpeg']);
      const [found] = await look(dir, storage);
      expect(Math.abs((found?.second ?? 0) - 4)).toBeLessThan(NEAR);
      expect([found?.width, found?.height]).toEqual([80, 45]);
    }));

  it('are not made twice by a later attempt, and those that are missing are', () =>
    withFolder(async (dir) => {
      const storage = new MemoryStorage();
      const first = output(dir, storage);
      for (const chunk of chunks) first.push(chunk);
      await first.finish();
      storage.objects.delete('room/pic_00001.jpeg');
      const puts = storage.puts.length;
      const second = output(dir, storage, { earlier: chunks });
      const { images } = await second.finish();
      expect(images).toHaveLength(3);
      expect(storage.puts.slice(puts)).toEqual(['room/pic_00001.jpeg']);
      expect(storage.objects.size).toBe(3);
    }));

  it('wait for a storage that is away, and end with one that refuses', () =>
    withFolder(async (dir) => {
      const storage = new MemoryStorage();
      storage.failures.push(new StorageError('destination', 503, 'away'));
      const images = output(dir, storage);
      for (const chunk of chunks) images.push(chunk);
      expect((await images.finish()).images).toHaveLength(3);

      storage.failures.push(new StorageError('user', 403, 'denied'));
      const failures: Error[] = [];
      const refused = output(dir, storage, { onFailure: (error) => failures.push(error) });
      for (const chunk of chunks) refused.push(chunk);
      await expect(refused.finish()).rejects.toThrow('denied');
      expect(failures).toHaveLength(1);
    }));

  it('are made of the log after the end of the egress, those of its stretch that are not stored', async () => {
    const storage = new MemoryStorage();
    const work = lateWork(dirname(logDir), silent);
    const late = async (suffix: 'index' | 'none', prefix: string) =>
      work.storeImages(
        {
          ...{ kind: 'images', egressId: basename(logDir), output: 0, storage: 0, own: true, result: 0 },
          ...{ prefix, suffix, captureInterval: 1, width: 0, height: 0 },
          // It was added with the second chunk.
          ...spanOfLog({ chunks: chunks.slice(1) }),
        },
        { storage, prefix: 'EG_1/', logDir, signal: new AbortController().signal },
      );
    expect(await late('index', 'pic')).toBe(4);
    const found = await look(logDir, storage);
    expect(found.map(({ key }) => key)).toEqual([0, 1, 2, 3].map((i) => `EG_1/pic_0000${i}.jpeg`));
    for (const [i, { second }] of found.entries()) expect(Math.abs(second - 2 - i)).toBeLessThan(NEAR);

    // Of one that is overwritten the newest: the others would be gone.
    storage.objects.clear();
    storage.puts.length = 0;
    expect(await late('none', 'last')).toBe(4);
    expect(storage.puts).toEqual(['EG_1/last.jpeg']);
    const [last] = await look(logDir, storage);
    expect(Math.abs((last?.second ?? 0) - 5)).toBeLessThan(NEAR);
  });

  it('are dated by their picture, where sound came before it', () =>
    withFolder(async (dir) => {
      const path = join(dir, 'r0-000000.ts');
      const sound = chunkUnits(0, 1.5).filter(({ kind }) => kind === 'audio');
      await writeFile(path, buildTs([...sound, ...chunkUnits(1.5, 2)]));
      const chunk = chunkLine(0, 3.5, { path, bytes: (await stat(path)).size });
      expect((await firstPictureNs(chunk, 'mpegts')) / 1e9).toBeCloseTo(1.5, 2);
    }));
});
