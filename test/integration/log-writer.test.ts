/** The log on a real disk: attempts, seals, kills, damage. */
import { appendFile, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { chunkPattern, indexPath, pidPath } from '../../src/egress/log/files.ts';
import { LogError, readLog } from '../../src/egress/log/reader.ts';
import type { Chunk } from '../../src/egress/log/types.ts';
import { SegmentLogWriter, SupersededError } from '../../src/egress/log/writer.ts';
import { chunkLine, EPOCH_MS, silent, withFolder, writeChunk } from '../support/log-fixtures.ts';

const name = (run: number, number: number): string =>
  chunkPattern(run, 'mpegts').replace('%06d', String(number).padStart(6, '0'));

function openLog(dir: string, attempt = 1): Promise<SegmentLogWriter> {
  return SegmentLogWriter.open({
    dir,
    egressId: 'EG_1',
    attempt,
    epochMs: EPOCH_MS,
    container: 'mpegts',
    logger: silent,
  });
}

/** Writes `count` chunks of two seconds and announces them. */
async function record(log: SegmentLogWriter, count: number, startS = 0, run = 0): Promise<void> {
  for (let i = 0; i < count; i++) {
    const at = startS + 2 * i;
    await writeChunk(join(log.folder, name(run, i)), at);
    await log.addChunk({ file: name(run, i), startNs: at * 1e9, durationNs: 2e9 });
  }
}

describe('one attempt', () => {
  it('is read back as it was written', () =>
    withFolder(async (dir) => {
      const log = await openLog(dir);
      const seen: Chunk[] = [];
      log.onChunk((chunk) => seen.push(chunk));
      await record(log, 3);
      await log.event('mute', 1.5e9, { trackId: 'TR_1' });
      await log.end(6e9);
      const read = await readLog(dir);
      expect(read.chunks).toEqual(seen);
      expect(read).toMatchObject({ complete: true, endNs: 6e9, videoFrames: 180, gaps: [], problems: [] });
      expect(read.chunks[1]).toMatchObject({
        startNs: 2e9,
        durationNs: 2e9,
        wallMs: EPOCH_MS + 2000,
        keyFrames: 1,
      });
      expect(read.events).toMatchObject([{ name: 'mute', atNs: 1.5e9, wallMs: EPOCH_MS + 1500 }]);
    }));

  it('tells listeners in order, whatever they do', () =>
    withFolder(async (dir) => {
      const log = await openLog(dir);
      const seen: number[] = [];
      log.onChunk(() => {
        throw new Error('a bad listener');
      });
      log.onChunk((chunk) => seen.push(chunk.number));
      for (let i = 0; i < 10; i++) await writeChunk(join(log.folder, name(0, i)), 2 * i);
      await Promise.all(
        Array.from({ length: 10 }, (_, i) =>
          log.addChunk({ file: name(0, i), startNs: 2e9 * i, durationNs: 2e9 }),
        ),
      );
      await log.close();
      expect(seen).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    }));

  it('takes in chunks that were never announced, once', () =>
    withFolder(async (dir) => {
      const log = await openLog(dir);
      for (let i = 0; i < 3; i++) await writeChunk(join(log.folder, name(0, i)), 2 * i);
      // The first two announcements are late, or lost.
      await log.addChunk({ file: name(0, 2), startNs: 4e9, durationNs: 2e9 });
      expect(await log.addChunk({ file: name(0, 0), startNs: 0, durationNs: 2e9 })).toBeUndefined();
      await log.close();
      expect((await readLog(dir)).chunks.map((chunk) => chunk.number)).toEqual([0, 1, 2]);
    }));

  it('goes on after its pipeline was killed, with the gap recorded', () =>
    withFolder(async (dir) => {
      const log = await openLog(dir);
      await record(log, 2);
      const bytes = await writeChunk(join(log.folder, name(0, 2)), 4);
      await truncate(join(log.folder, name(0, 2)), Math.floor(bytes.length / 2) + 50);
      expect(await log.endRun(0)).toMatchObject([{ number: 2, recovered: true, startNs: 4e9 }]);
      expect(await log.endRun(0)).toEqual([]);
      await record(log, 2, 6.5, 1);
      await log.end(10.5e9);
      const read = await readLog(dir);
      expect(read.chunks.map((chunk) => chunk.run)).toEqual([0, 0, 0, 1, 1]);
      expect(read.gaps).toMatchObject([{ reason: 'the pipeline was restarted', endNs: 6.5e9 }]);
      expect(read.gaps[0]!.startNs).toBeGreaterThan(4.8e9);
    }));

  it.each([
    ['empty', ''],
    ['not MPEG-TS', 'x'.repeat(500)],
  ])('records a gap for a chunk that is %s', (_, content) =>
    withFolder(async (dir) => {
      const log = await openLog(dir);
      await record(log, 1);
      await writeFile(join(log.folder, name(0, 1)), content);
      expect(await log.addChunk({ file: name(0, 1), startNs: 2e9, durationNs: 2e9 })).toBeUndefined();
      expect(await log.addChunk({ file: name(0, 2), startNs: 4e9, durationNs: 2e9 })).toBeUndefined();
      await log.end(6e9);
      expect((await readLog(dir)).gaps).toMatchObject([
        { startNs: 2e9, endNs: 4e9 },
        { startNs: 4e9, endNs: 6e9, reason: 'the chunk cannot be used: the file is missing' },
      ]);
    }),
  );

  it('refuses to begin twice, and to be written after its end', () =>
    withFolder(async (dir) => {
      const log = await openLog(dir);
      await expect(openLog(dir)).rejects.toThrow('has begun already');
      await log.end(0);
      await log.close();
      await expect(log.gap(0, 1, 'late')).rejects.toThrow(LogError);
    }));

  it('is an error where there is none', () =>
    withFolder((dir) => expect(readLog(join(dir, 'nothing'))).rejects.toThrow(LogError)));
});

describe('taking over', () => {
  it('keeps what is whole, leaves out what comes later, and says what ran', () =>
    withFolder(async (dir) => {
      const old = await openLog(dir);
      await record(old, 2);
      await writeFile(pidPath(dir, 1), '12345\n');
      // Half a chunk and half a line: the worker was killed.
      const bytes = await writeChunk(join(old.folder, name(0, 2)), 4);
      await truncate(join(old.folder, name(0, 2)), bytes.length - 500);
      await appendFile(indexPath(dir, 1), '{"type":"gap","startNs":1');

      const log = await openLog(dir, 2);
      expect(log.leftovers).toEqual([{ attempt: 1, pid: 12345 }]);
      expect(log.earlier.chunks.map((chunk) => chunk.recovered ?? false)).toEqual([false, false, true]);
      const before = log.earlier.videoFrames;
      expect(before).toBeLessThan(180);

      // The old pipeline goes on writing into its open chunk and begins others; its worker finds out.
      await writeFile(join(old.folder, name(0, 2)), bytes);
      await writeChunk(join(old.folder, name(0, 3)), 6);
      await expect(old.addChunk({ file: name(0, 3), startNs: 6e9, durationNs: 2e9 })).rejects.toThrow(
        SupersededError,
      );
      await expect(old.event('marker', 1)).rejects.toThrow(SupersededError);
      await expect(old.end(1)).rejects.toThrow(SupersededError);
      // Even if it did not ask first.
      const { path, ...line } = chunkLine(6, 2, { number: 3 });
      expect(path).toContain('r0-000003');
      await appendFile(indexPath(dir, 1), `\n${JSON.stringify(line)}\n`);

      await record(log, 2, 14);
      await log.end(18e9);
      const read = await readLog(dir);
      expect(read.chunks.map(({ attempt, number }) => [attempt, number])).toEqual([
        [1, 0],
        [1, 1],
        [1, 2],
        [2, 0],
        [2, 1],
      ]);
      expect(read.videoFrames).toBe(before + 120);
      expect(read.gaps).toMatchObject([{ reason: 'another worker took over', endNs: 14e9 }]);
      expect(read.problems).toEqual([]);
      await old.close();
    }));

  it('honours the first seal when there are several', () =>
    withFolder(async (dir) => {
      await (await openLog(dir)).close();
      const first = join(dir, 'attempt-1');
      await writeChunk(join(first, name(0, 0)), 0);
      const second = await openLog(dir, 2);
      await writeChunk(join(first, name(0, 1)), 2);
      const third = await openLog(dir, 3);
      expect(third.earlier.chunks.map((chunk) => chunk.number)).toEqual([0]);
      await expect(openLog(dir, 2)).rejects.toThrow(SupersededError);
      await second.close();
      await third.close();
    }));

  it('is possible when the old worker died before its first line', () =>
    withFolder(async (dir) => {
      const first = await openLog(dir);
      await writeFile(indexPath(dir, 1), '{"type":"attem');
      const second = await openLog(dir, 2);
      await record(second, 1);
      await second.end(2e9);
      expect((await readLog(dir)).chunks).toHaveLength(1);
      await first.close();
    }));
});

describe('damage on disk', () => {
  async function damaged(
    damage: (path: string) => Promise<void>,
  ): Promise<Awaited<ReturnType<typeof readLog>>> {
    return withFolder(async (dir) => {
      const log = await openLog(dir);
      await record(log, 3);
      await log.end(6e9);
      await damage(join(log.folder, name(0, 1)));
      return readLog(dir);
    });
  }

  it.each([
    ['missing', (path: string) => rm(path), 'the chunk file is missing'],
    ['empty', (path: string) => truncate(path, 0), 'the chunk file cannot be used: the file is empty'],
    ['cut to nothing whole', (path: string) => truncate(path, 400), 'the chunk file cannot be used'],
  ])('a chunk that is %s is a recorded gap', async (_, damage, reason) => {
    const read = await damaged(damage);
    expect(read.chunks).toHaveLength(2);
    expect(read.gaps).toHaveLength(1);
    expect(read.gaps[0]).toMatchObject({ startNs: 2e9, endNs: 4e9 });
    expect(read.gaps[0]?.reason).toContain(reason);
    expect(read.problems).toHaveLength(1);
  });

  it('a chunk that is cut short counts as far as it is whole, the rest is a gap', async () => {
    const read = await damaged((path) => truncate(path, 30_000));
    expect(read.chunks).toHaveLength(3);
    const cut = read.chunks[1]!;
    expect(cut.bytes).toBeLessThanOrEqual(30_000);
    expect(cut.truncatedBytes).toBeGreaterThan(0);
    expect(read.videoFrames).toBe(120 + cut.videoFrames);
    expect(read.gaps).toMatchObject([{ startNs: cut.startNs + cut.durationNs, endNs: 4e9 }]);
  });
});
