/** Pauses of a recording: nothing of them stays on the disk, and files close them up. */
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readLog } from '../../src/egress/log/reader.ts';
import type { SegmentLog } from '../../src/egress/log/reader.ts';
import { SegmentLogWriter } from '../../src/egress/log/writer.ts';
import { writeFileView } from '../../src/egress/outputs/file/index.ts';
import type { FileViewFormat } from '../../src/egress/outputs/file/index.ts';
import { ffprobe, ffprobePackets } from '../../src/demo/content/ffprobe.ts';
import { runTool } from '../../src/demo/content/tool.ts';
import { makeChunks } from '../support/chunks.ts';
import type { ChunkRecipe } from '../support/chunks.ts';
import { EPOCH_MS, silent, withFolder } from '../support/log-fixtures.ts';

const SECONDS = 12;
/** Egress clock, seconds: in the middle of chunks, which are two seconds long. */
const PAUSE = 5;
const RESUME = 9;

async function record(dir: string, recipe: Omit<ChunkRecipe, 'folder' | 'seconds'>, listed = true) {
  const container = recipe.video === 'vp8' || recipe.audio === 'opus' ? 'matroska' : 'mpegts';
  const options = {
    dir,
    egressId: 'EG_1',
    attempt: 1,
    epochMs: EPOCH_MS,
    container,
    logger: silent,
  } as const;
  const log = await SegmentLogWriter.open(options);
  await log.event('marker', 2e9, { id: 'MK_1', label: 'first; = # \\' });
  await log.event('pause', PAUSE * 1e9);
  await log.event('marker', 7e9, { id: 'MK_2', label: 'in the pause' });
  if (listed) await log.event('resume', RESUME * 1e9);
  const files = await makeChunks({ ...recipe, seconds: SECONDS, folder: log.folder });
  if (listed) {
    for (const file of files) await log.addChunk({ file, startNs: 0, durationNs: 0 });
    await log.event('marker', 11e9, { id: 'MK_3', label: '' });
    await log.end(SECONDS * 1e9);
  }
  await log.close();
  return readLog(dir);
}

async function made(log: SegmentLog, format: FileViewFormat, dir: string) {
  const path = join(dir, `view.${format}`);
  const view = await writeFileView(format, { log, path, logger: silent });
  const { stderr } = await runTool('ffmpeg', ['-v', 'warning', '-i', path, '-f', 'null', '-']);
  // What FFmpeg says of every file with chapters.
  expect(stderr.replaceAll(/^Unsupported codec with id \d+ for input stream \d+\n/gm, '')).toBe('');
  return { view, path };
}

/** Longest time between two packets, seconds. */
function longest(packets: readonly { pts: number | undefined }[]): number {
  const times = packets.map(({ pts }) => pts ?? NaN).sort((a, b) => a - b);
  return Math.max(...times.slice(1).map((time, i) => time - times[i]!));
}

describe('a pause', () => {
  it('is taken out of picture and sound alike: the file is continuous, exact at its beginning, and goes on at a keyframe', () =>
    withFolder(async (dir) => {
      const log = await record(dir, { video: 'h264', audio: 'aac' });
      expect(log.gaps.map(({ reason }) => reason)).toEqual(['paused']);
      const [gap] = log.gaps;
      expect(gap!.startNs / 1e9).toBeCloseTo(PAUSE, 1);
      // Chunks begin every two seconds with a keyframe.
      expect(gap!.endNs / 1e9).toBeCloseTo(10, 1);
      for (const { path, bytes } of log.chunks) expect((await stat(path)).size).toBe(bytes);
      const { view, path } = await made(log, 'mp4', dir);
      expect(view.durationNs / 1e9).toBeCloseTo(SECONDS - (gap!.endNs - gap!.startNs) / 1e9, 1);
      for (const stream of ['v:0', 'a:0']) {
        const packets = await ffprobePackets(path, stream);
        expect(longest(packets)).toBeLessThan(0.06);
        // At the seam, too, a frame begins where the one before it ends, not in its middle.
        const shortest = Math.min(...packets.slice(1).map(({ pts }, i) => pts! - packets[i]!.pts!));
        expect(shortest).toBeGreaterThan(stream === 'a:0' ? 0.02 : 0.03);
      }
    }));

  it('leaves markers where they are in the file, as chapters; those in it are at its seam', () =>
    withFolder(async (dir) => {
      const { path } = await made(await record(dir, { video: 'h264', audio: 'aac' }), 'mp4', dir);
      const { stdout } = await runTool('ffprobe', ['-v', 'error', '-show_chapters', '-of', 'json', path]);
      const { chapters } = JSON.parse(stdout) as {
        chapters: { start_time: string; tags: { title: string } }[];
      };
      expect(chapters.map(({ tags }) => tags.title)).toEqual([
        ...['Start', 'first; = # /', 'in the pause', 'Marker 3'],
      ]);
      for (const [i, at] of [0, 2, 5, 6].entries()) {
        expect(Number(chapters[i]!.start_time)).toBeCloseTo(at, 1);
      }
    }));

  it.each([
    ['webm', { video: 'vp8' }],
    ['ogg', { video: 'none', audio: 'opus' }],
    ['mp3', { video: 'none', audio: 'aac' }],
    ['mp4', { video: 'none', audio: 'aac' }],
  ] as const)('is taken out of %s of one stream', (format, recipe) =>
    withFolder(async (dir) => {
      const log = await record(dir, recipe);
      expect(log.gaps.map(({ reason }) => reason)).toEqual(['paused']);
      const { path } = await made(log, format, dir);
      const { duration } = await ffprobe(path);
      const left = SECONDS - (log.gaps[0]!.endNs - log.gaps[0]!.startNs) / 1e9;
      expect(left).toBeLessThan(8.2);
      expect(Math.abs((duration ?? 0) - left)).toBeLessThan(0.15);
    }),
  );

  it.each([
    { video: 'h264', audio: 'aac' },
    { video: 'vp8', audio: 'opus' },
    { video: 'none', audio: 'opus' },
  ] as const)('stays out of what a killed worker has not listed: $video, $audio', (recipe) =>
    withFolder(async (dir) => {
      const log = await record(dir, recipe, false);
      expect(log.endNs / 1e9).toBeCloseTo(PAUSE, 1);
      expect(log.chunks.every(({ truncatedBytes = 0 }) => truncatedBytes === 0)).toBe(true);
    }),
  );
});
