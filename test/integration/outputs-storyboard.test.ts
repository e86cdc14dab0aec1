/** Storyboards of real logs: the sheets are looked at where the WebVTT says. */
import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readLog } from '../../src/egress/log/reader.ts';
import { writeStoryboard } from '../../src/egress/outputs/storyboard/index.ts';
import { MOST_FILES, planStoryboard, storyboardVtt } from '../../src/egress/outputs/storyboard/plan.ts';
import { runTool } from '../../src/demo/content/tool.ts';
import { fadingLog, lookAt, secondOf } from '../support/fading-log.ts';
import { chunkLine, silent, withFolder } from '../support/log-fixtures.ts';

const settings = { interval: 2, width: 64, columns: 2, rows: 1 };

/** Cues as players read them. */
function cues(vtt: string) {
  const seconds = (time: string): number => time.split(':').reduce((sum, part) => sum * 60 + Number(part), 0);
  expect(vtt.startsWith('WEBVTT\n\n')).toBe(true);
  return [...vtt.matchAll(/^(\S+) --> (\S+)\n(\S+)#xywh=(\d+),(\d+),(\d+),(\d+)$/gm)].map((found) => {
    const [, from = '', to = '', sheet = '', ...place] = found;
    return { from: seconds(from), to: seconds(to), sheet, place: place.map(Number) };
  });
}

async function board(dir: string) {
  const folder = join(dir, 'board');
  const made = await writeStoryboard({
    ...{ log: await readLog(dir), settings, folder, vttName: 'a.vtt', logger: silent },
    sheetName: (sheet) => `a_${String(sheet).padStart(5, '0')}.jpeg`,
    sheetUri: (sheet) => `a_${String(sheet).padStart(5, '0')}.jpeg`,
  });
  return { folder, made, found: cues(await readFile(join(folder, 'a.vtt'), 'utf8')) };
}

/** Which second of the fading log a cue's place shows. */
async function shown(folder: string, { sheet, place }: ReturnType<typeof cues>[number]): Promise<number> {
  const [x = 0, y = 0, width = 0, height = 0] = place;
  const cut = join(folder, `cut-${sheet}-${x}-${y}.jpeg`);
  await runTool('ffmpeg', [
    ...['-v', 'error', '-i', join(folder, sheet), '-vf', `crop=${width}:${height}:${x}:${y}`, '-y', cut],
  ]);
  return secondOf((await lookAt(cut)).grey);
}

describe('a storyboard', () => {
  it('shows at each cue what the recording shows at its time', () =>
    withFolder(async (dir) => {
      await fadingLog({ dir, seconds: 5.8 });
      const { folder, made, found } = await board(dir);
      expect((await readdir(folder)).sort()).toEqual(['a.vtt', 'a_00000.jpeg', 'a_00001.jpeg']);
      expect(made).toMatchObject({ sheets: 2, width: 64, height: 36 });
      expect(found).toHaveLength(3);
      for (const [i, cue] of found.entries()) {
        expect(Math.abs(cue.from - 2 * i)).toBeLessThan(0.1);
        expect(cue.to).toBeCloseTo(found[i + 1]?.from ?? 5.8, 1);
        expect(Math.abs((await shown(folder, cue)) - 2 * i), `picture ${i}`).toBeLessThan(0.15);
      }
    }));

  it('keeps every picture in its place when the size of the picture changes, and is made of VP8 too', () =>
    withFolder(async (dir) => {
      const changed = join(dir, 'changed');
      await fadingLog({ dir: changed, seconds: 3.8 });
      await fadingLog({ dir: changed, attempt: 2, offset: 4, seconds: 3.8, width: 320, height: 240 });
      const log = await readLog(changed);
      const folder = join(dir, 'board');
      const made = await writeStoryboard({
        ...{ log, settings: { ...settings, interval: 0.1, columns: 4 }, folder, logger: silent },
        ...{ vttName: 'a.vtt', sheetName: () => 'a_00000.jpeg', sheetUri: () => 'a_00000.jpeg' },
      });
      expect(made).toMatchObject({ width: 64, height: 48 });
      expect(made?.pictures).toHaveLength(4);
      for (const [i, x] of [0, 64, 128, 192].entries()) {
        const second = await shown(folder, { from: 0, to: 0, sheet: 'a_00000.jpeg', place: [x, 0, 64, 48] });
        expect(Math.abs(second - (i % 2) * 2), `picture ${i}`).toBeLessThan(0.15);
      }

      const vp8 = join(dir, 'vp8');
      await fadingLog({ dir: vp8, seconds: 3.8, container: 'matroska' });
      const of = await board(vp8);
      expect(of.found).toHaveLength(2);
      for (const [i, cue] of of.found.entries())
        expect(Math.abs((await shown(of.folder, cue)) - 2 * i), `picture ${i}`).toBeLessThan(0.15);
    }));

  it('takes keyframes that come early, leaves pauses out, and spreads a long recording over its pictures', () => {
    const chunks = Array.from({ length: 30 }, (_, i) => chunkLine(i * 1.96, 1.96));
    const plan = planStoryboard({ chunks, gaps: [], endNs: 0 }, { ...settings, interval: 10 });
    expect(plan?.pictures.map(({ from }) => Math.round(from * 100) / 100)).toEqual([
      0, 9.8, 19.6, 29.4, 39.2, 49,
    ]);

    const gap = { type: 'gap' as const, startNs: 4e9, endNs: 34e9, reason: 'paused' };
    const around = [chunkLine(0, 2), chunkLine(2, 2), chunkLine(34, 2)];
    const paused = planStoryboard({ chunks: around, gaps: [gap], endNs: 0 }, settings);
    expect(paused?.pictures.map(({ from, to }) => [from, to])).toEqual([
      [0, 2],
      [2, 4],
      [4, 6],
    ]);
    expect(storyboardVtt(paused!, (sheet) => `s${sheet}`)).toContain(
      '00:00:04.000 --> 00:00:06.000\ns1#xywh=0,0,64,36\n',
    );

    const day = Array.from({ length: 43_200 }, (_, i) => chunkLine(i * 2, 2));
    const long = planStoryboard({ chunks: day, gaps: [], endNs: 0 }, { ...settings, interval: 1 });
    expect(long?.pictures.length).toBeLessThanOrEqual(1000);
    expect(long?.pictures.length).toBeGreaterThan(900);
    // As many as there can be, each on a sheet of its own: they have a number each, and the WebVTT has one.
    const dense = Array.from({ length: 1000 }, (_, i) => chunkLine(i * 2.001, i < 999 ? 2.001 : 0.5));
    const alone = { ...settings, interval: 1, columns: 1, rows: 1 };
    const most = planStoryboard({ chunks: dense, gaps: [], endNs: 0 }, alone);
    expect(most?.sheets).toBe(1000);
    expect(most!.sheets + 1).toBeLessThanOrEqual(MOST_FILES);
    expect(planStoryboard({ chunks: [], gaps: [], endNs: 0 }, settings)).toBeUndefined();
  });
});
