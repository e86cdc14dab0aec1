/** A broadcast of fragmented MP4 that another attempt takes up: by its index, and without it. */
import { appendFile, readFile, rm, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { readLog } from '../../src/egress/log/reader.ts';
import type { Chunk } from '../../src/egress/log/types.ts';
import { SegmentLogWriter } from '../../src/egress/log/writer.ts';
import { FragmentedOutput } from '../../src/egress/outputs/hls/fmp4/index.ts';
import type { FragmentedOptions } from '../../src/egress/outputs/hls/fmp4/index.ts';
import { MemoryStorage, silent, withFolder, writeChunk } from '../support/log-fixtures.ts';
import { picture, SPS_1080 } from '../support/ts-builder.ts';

/** Timestamps of what grows are near to now. */
const EPOCH_MS = Date.now() - 100_000;
/** Of two seconds each. */
const CHUNKS = 50;
/** From here on the picture has another size. */
const CHANGE = 6;
/** What players may still ask for parts of, and a segment, chunks. */
const RECENT = 34;

function output(storage: MemoryStorage, change: Partial<FragmentedOptions>): FragmentedOutput {
  return new FragmentedOutput({
    ...{ storage, segmentPrefix: 'seg', playlistKey: 'list.m3u8', livePlaylistKey: 'live.m3u8' },
    ...{ suffix: 'index', segmentDuration: 4, partDuration: 0.4, earlier: [], epochMs: EPOCH_MS },
    ...{ logger: silent, ...change },
  });
}

const indexPath = (dir: string, attempt: number) => join(dir, `attempt-${attempt}`, 'broadcast-0.jsonl');

/** Records an attempt: its chunks go into the log and into the broadcast, which is lost in the middle. */
async function attempt(dir: string, number: number, storage: MemoryStorage, from: number, to: number) {
  const log = await SegmentLogWriter.open({
    ...{ dir, egressId: 'EG_1', attempt: number, epochMs: EPOCH_MS, container: 'mpegts', logger: silent },
  });
  const index = { logDir: dir, attempt: number, output: 0 };
  const live = { attempt: number, folder: log.folder };
  const hls = output(storage, { index, live, earlier: log.earlier.chunks });
  log.onChunk((chunk) => hls.push(chunk));
  for (let i = from; i < to; i++) {
    const [run, first] = number > 1 ? [0, from] : i < CHANGE ? [0, 0] : [1, CHANGE];
    const file = `r${run}-${String(i - first).padStart(6, '0')}.ts`;
    const key = picture(true, 100, i < CHANGE ? undefined : SPS_1080);
    await writeChunk(join(log.folder, file), i * 2, 2, key);
    // Of some, it reads before the log has them.
    if (i % 8 === 0) await sleep(45);
    await log.addChunk({ file, startNs: i * 2e9, durationNs: 2e9 });
  }
  const segments = () => hls.status.segments;
  await expect.poll(segments, { timeout: 10_000 }).toBeGreaterThanOrEqual(Math.floor((to - 2) / 2));
  await hls.close();
  await log.close();
}

async function whole(chunks: readonly Chunk[]): Promise<MemoryStorage> {
  const storage = new MemoryStorage();
  await output(storage, { earlier: chunks, over: true, live: { attempt: 9, folder: '/nowhere' } }).finish();
  return storage;
}

describe('a broadcast that is taken over', () => {
  it('reads no more of the log than its live end, and goes on the same, time and again', () =>
    withFolder(async (dir) => {
      const storage = new MemoryStorage();
      await attempt(dir, 1, storage, 0, CHUNKS);
      const lost = await readLog(dir);
      expect(lost.chunks).toHaveLength(CHUNKS);
      // It can not be packaged again.
      const old = lost.chunks.slice(0, CHUNKS - RECENT - 4);
      const kept = await Promise.all(old.map(({ path }) => readFile(path)));
      for (const { path, bytes } of old) {
        await truncate(path, 0);
        await truncate(path, bytes);
      }
      // What it was about to write when it was lost.
      await appendFile(indexPath(dir, 1), '{"segment":{"key":"seg');
      storage.puts.length = 0;
      await attempt(dir, 2, storage, CHUNKS, CHUNKS + 4);
      expect(storage.puts.filter((key) => /seg_\d+\.m4s$/.test(key))).toEqual(
        [24, 25].map((i) => `seg_000${i}.m4s`),
      );

      const index = { logDir: dir, attempt: 3, output: 0 };
      const log = await SegmentLogWriter.open({
        ...{ dir, egressId: 'EG_1', attempt: 3, epochMs: EPOCH_MS, container: 'mpegts', logger: silent },
      });
      const live = { attempt: 3, folder: log.folder };
      const last = output(storage, { index, live, earlier: log.earlier.chunks });
      const result = await last.finish();
      await log.close();
      await Promise.all(old.map(async ({ path }, i) => appendFile(path, kept[i]!, { flag: 'w' })));
      const all = await readLog(dir);
      const expected = await whole(all.chunks);
      expect(result).toMatchObject({ segments: 27 });
      for (const name of ['list.m3u8', 'live.m3u8']) expect(storage.text(name)).toBe(expected.text(name));
      expect(storage.text('list.m3u8')).toContain('seg_init_2.mp4');
      expect([...storage.objects.keys()].sort()).toEqual([...expected.objects.keys()].sort());
      for (const [key, bytes] of expected.objects)
        expect(bytes.equals(storage.objects.get(key)!), key).toBe(true);
    }));

  it('packages the whole log where the index tells of another one, or there is none', () =>
    withFolder(async (dir) => {
      const storage = new MemoryStorage();
      await attempt(dir, 1, storage, 0, CHUNKS);
      const { chunks } = await readLog(dir);
      // The first chunk has been lost since.
      const rest = chunks.slice(1);
      const expected = await whole(rest);
      const index = { logDir: dir, attempt: 2, output: 0 };
      for (const missing of [false, true]) {
        if (missing) await rm(indexPath(dir, 1));
        const log = join(dir, 'attempt-2');
        await rm(log, { recursive: true, force: true });
        const found = new MemoryStorage();
        await output(found, {
          ...{ index, earlier: rest, over: true, live: { attempt: 2, folder: '/nowhere' } },
        }).finish();
        expect(found.text('list.m3u8')).toBe(expected.text('list.m3u8'));
        expect(found.objects.size).toBe(expected.objects.size);
      }
    }));
});
