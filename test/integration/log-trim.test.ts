/** A log of which nothing is made: its beginning goes, and what is left of it stays a log. */
import { truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { chunkPattern, listChunkFiles } from '../../src/egress/log/files.ts';
import { readLog } from '../../src/egress/log/reader.ts';
import { SegmentLogWriter, SupersededError } from '../../src/egress/log/writer.ts';
import { EPOCH_MS, silent, withFolder, writeChunk } from '../support/log-fixtures.ts';

const KEEP_S = 20;
/** Chunks are this long, s. */
const LENGTH_S = 2;
/** What may stay beside what must: a batch is dropped at a time, and the chunk at the edge stays whole. */
const MOST_KEPT_S = KEEP_S + 10 + 2 * LENGTH_S;

function openLog(dir: string, attempt = 1, keepS = KEEP_S): Promise<SegmentLogWriter> {
  return SegmentLogWriter.open({
    ...{ dir, egressId: 'EG_1', attempt, epochMs: EPOCH_MS, container: 'mpegts', keepS, logger: silent },
  });
}

const name = (number: number, run = 0): string =>
  chunkPattern(run, 'mpegts').replace('%06d', String(number).padStart(6, '0'));

/** Writes chunks from `startS` to `endS` and announces them. */
async function record(log: SegmentLogWriter, startS: number, endS: number, first = 0): Promise<void> {
  for (let at = startS, number = first; at < endS; at += LENGTH_S, number++) {
    await writeChunk(join(log.folder, name(number)), at);
    await log.addChunk({ file: name(number), startNs: at * 1e9, durationNs: LENGTH_S * 1e9 });
  }
}

const secondsOf = async (dir: string, attempt = 1): Promise<number> =>
  LENGTH_S * (await listChunkFiles(dir, attempt)).length;

describe('a log of which only the end is needed', () => {
  it('keeps that, never much more, and misses nothing', () =>
    withFolder(async (dir) => {
      const log = await openLog(dir);
      for (let at = 0; at < 100; at += LENGTH_S) {
        await record(log, at, at + LENGTH_S, at / LENGTH_S);
        const kept = await secondsOf(dir);
        expect(kept).toBeGreaterThanOrEqual(Math.min(at + LENGTH_S, KEEP_S));
        expect(kept).toBeLessThanOrEqual(MOST_KEPT_S);
      }
      await log.end(100e9);
      const read = await readLog(dir);
      expect(read.chunks.map(({ file }) => file)).toEqual(await listChunkFiles(dir, 1));
      expect(read.chunks.at(-1)).toMatchObject({ startNs: 98e9, number: 49 });
      expect(read).toMatchObject({ complete: true, endNs: 100e9, gaps: [], problems: [] });
      expect(read.videoFrames).toBe(60 * read.chunks.length);
    }));

  it('is kept whole where outputs are made of it', () =>
    withFolder(async (dir) => {
      const log = await openLog(dir, 1, Infinity);
      await record(log, 0, 60);
      await log.end(60e9);
      expect((await readLog(dir)).chunks).toHaveLength(30);
    }));

  it('still tells what was missing where it is dropped', () =>
    withFolder(async (dir) => {
      const log = await openLog(dir);
      await record(log, 0, 6);
      await writeFile(join(log.folder, name(3)), '');
      await log.addChunk({ file: name(3), startNs: 6e9, durationNs: 2e9 });
      await record(log, 12, 80, 4);
      await log.event('pipeline_restart', 5e9, { reason: 'killed' });
      await log.end(80e9);
      const read = await readLog(dir);
      expect(read.chunks[0]!.startNs).toBeGreaterThan(40e9);
      expect(read.gaps).toMatchObject([
        { startNs: 6e9, endNs: 8e9, reason: 'the chunk cannot be used: the file is empty' },
        { startNs: 6e9, endNs: 12e9, reason: 'no media' },
      ]);
      expect(read.events).toMatchObject([{ name: 'pipeline_restart' }]);
      expect(read.problems).toEqual([]);
      // The one that could not be used is not left behind.
      expect(await listChunkFiles(dir, 1)).not.toContain(name(3));
    }));

  it('takes no late word of a chunk that is gone for a gap', () =>
    withFolder(async (dir) => {
      const log = await openLog(dir);
      await record(log, 0, 60);
      expect(await log.addChunk({ file: name(0), startNs: 0, durationNs: 2e9 })).toBeUndefined();
      await log.end(60e9);
      expect((await readLog(dir)).gaps).toEqual([]);
    }));
});

describe('taking such a log over', () => {
  it('goes on where it is, and drops what earlier attempts have left when its time comes', () =>
    withFolder(async (dir) => {
      const old = await openLog(dir);
      await record(old, 0, 60);
      // The chunk it was killed in.
      const bytes = await writeChunk(join(old.folder, name(30)), 60);
      await truncate(join(old.folder, name(30)), bytes.length - 500);

      const log = await openLog(dir, 2);
      const { chunks } = log.earlier;
      expect(chunks.at(-1)).toMatchObject({ number: 30, recovered: true });
      expect(chunks[0]!.startNs).toBeGreaterThanOrEqual(28e9);
      expect(log.earlier).toMatchObject({ gaps: [], problems: [] });

      await record(log, 64, 74);
      const soon = await readLog(dir, { recover: false });
      expect(new Set(soon.chunks.map(({ attempt }) => attempt))).toEqual(new Set([1, 2]));
      await record(log, 74, 140, 5);
      expect(await listChunkFiles(dir, 1)).toEqual([]);
      expect(await secondsOf(dir, 2)).toBeLessThanOrEqual(MOST_KEPT_S);

      // A third finds the same.
      const third = await openLog(dir, 3);
      expect(third.earlier.chunks.every(({ attempt }) => attempt === 2)).toBe(true);
      expect(third.earlier.chunks.at(-1)?.startNs).toBe(138e9);
      await record(third, 140, 144);
      await third.end(144e9);
      const read = await readLog(dir);
      expect(read).toMatchObject({ complete: true, endNs: 144e9, problems: [] });
      expect(read.gaps).toMatchObject([{ endNs: 64e9, reason: 'another worker took over' }]);
      // Those that were held up end in order, though their chunks are gone.
      for (const writer of [old, log]) await writer.close();
    }));

  it('does not count what its worker had no time to remove, and removes it', () =>
    withFolder(async (dir) => {
      const old = await openLog(dir);
      await record(old, 0, 60);
      for (let number = 0; number < 3; number++) {
        await writeChunk(join(old.folder, name(number)), number * LENGTH_S);
      }
      const log = await openLog(dir, 2);
      expect(log.earlier.chunks[0]!.number).toBeGreaterThan(10);
      expect(log.earlier).toMatchObject({ gaps: [], problems: [] });
      await record(log, 60, 76);
      expect(await listChunkFiles(dir, 1)).not.toContain(name(0));
      await old.close();
      await log.close();
    }));

  it('takes the right to drop anything from the one before', () =>
    withFolder(async (dir) => {
      const old = await openLog(dir);
      await record(old, 0, 28);
      const before = await listChunkFiles(dir, 1);
      const log = await openLog(dir, 2);
      await expect(record(old, 28, 60, 14)).rejects.toThrow(SupersededError);
      expect(await listChunkFiles(dir, 1)).toEqual([...before, name(14)]);
      await old.close();
      await log.close();
    }));
});
