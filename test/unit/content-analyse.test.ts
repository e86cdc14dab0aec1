/** The content analyser on files made with known defects: it must find each, and nothing in a sound file. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { analyse, fitPicture, type ContentReport, type TileReport } from '../../src/demo/content/analyse.ts';
import { makeClip, type ClipOptions } from '../support/content/clip.ts';
import { runTool } from '../../src/demo/content/tool.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sluice-content-'));
});
afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
});

async function clip(name: string, options: Partial<ClipOptions>): Promise<ContentReport> {
  const file = join(folder, name);
  await makeClip(file, { seconds: 5, ...options });
  return analyse(file, { tiles: [{ name: 'one', color: options.color ?? 'red' }] });
}

function only(report: ContentReport): TileReport {
  expect(report.tiles).toHaveLength(1);
  return report.tiles[0]!;
}

describe.concurrent('a sound file', () => {
  test.for([
    ['sound.mp4', undefined],
    ['sound.ts', undefined],
    [
      'sound.webm',
      ['-c:v', 'libvpx', '-deadline', 'realtime', '-threads', '1', '-b:v', '600k', '-c:a', 'libopus'],
    ],
  ] as const)('%s has everything', async ([name, encode]) => {
    const report = await clip(name, encode ? { encode: [...encode] } : {});
    const tile = only(report);
    expect(report.decodeErrors).toEqual([]);
    expect(report.video).toMatchObject({
      width: 320,
      height: 180,
      frames: 150,
      monotonic: true,
      black: [],
      frozen: [],
    });
    expect(report.video?.fps).toBeCloseTo(30, 1);
    expect(report.video?.maxGapMs).toBeLessThan(36);
    expect(report.audio).toMatchObject({ gaps: [], monotonic: true, silence: [] });
    expect(tile).toMatchObject({
      first: 0,
      last: 149,
      read: 150,
      share: 1,
      inOrder: true,
      missing: [],
      held: 0,
    });
    expect(tile.longestGapMs).toBeLessThan(36);
    // The file begins lit, so the first flash has no onset.
    expect(tile.flashes).toHaveLength(4);
    expect(tile.beeps).toHaveLength(5);
    expect(tile.beepShare).toBe(1);
    expect(tile.avOffset.count).toBe(4);
    expect(tile.avOffset.max).toBeLessThan(8);
    expect(tile.avOffsetByCounter.count).toBe(5);
    expect(tile.avOffsetByCounter.max).toBeLessThan(8);
    expect(tile.soundGaps).toEqual([]);
    expect(tile.color).toMatchObject({ closest: 'red', share: 1 });
    expect(tile.color.distance).toBeLessThan(20);
  });
});

describe.concurrent('a defect is found', () => {
  test('a frozen stretch', async () => {
    const report = await clip('frozen.mp4', { show: (n) => (n >= 60 && n < 90 ? 60 : n) });
    const tile = only(report);
    expect(report.video!.frozen).toHaveLength(1);
    expect(report.video!.frozen[0]!.from).toBeCloseTo(2, 1);
    expect(report.video!.frozen[0]!.to).toBeCloseTo(3, 1);
    expect(tile.held).toBe(29);
    expect(tile.missing).toEqual(Array.from({ length: 29 }, (_, i) => 61 + i));
    expect(tile.longestGapMs).toBeCloseTo(1000, -1);
    expect(tile.longestGapAt).toBeCloseTo(2, 1);
  });

  test('a dropped second', async () => {
    const report = await clip('dropped.mp4', { leaveOut: { from: 75, to: 104 } });
    const tile = only(report);
    expect(report.video!.maxGapMs).toBeCloseTo(1033, -1);
    expect(report.video!.maxGapAt).toBeCloseTo(2.47, 1);
    expect(tile.share).toBeCloseTo(120 / 150, 5);
    expect(tile.missing).toHaveLength(30);
    expect(report.video!.frozen).toEqual([]);
  });

  test.for([0.12, -0.12, 0.03])('sound that is %s s late', async (soundLate) => {
    const tile = only(await clip(`late${soundLate}.mp4`, { soundLate }));
    expect(Math.abs(tile.avOffset.p50 - soundLate * 1000)).toBeLessThan(5);
    expect(Math.abs(tile.avOffsetByCounter.p50 - soundLate * 1000)).toBeLessThan(5);
    expect(Math.abs(tile.avOffset.p95 - Math.abs(soundLate) * 1000)).toBeLessThan(8);
  });

  test('a wrong colour', async () => {
    const file = join(folder, 'colour.mp4');
    await makeClip(file, { seconds: 2, color: 'green' });
    const { color } = only(await analyse(file, { tiles: [{ name: 'one', color: 'blue', pitch: 659 }] }));
    expect(color).toMatchObject({ closest: 'green', share: 0 });
    expect(color.distance).toBeGreaterThan(100);
  });

  test('a wrong pitch', async () => {
    const tile = only(await clip('pitch.mp4', { pitch: 784 }));
    expect(tile).toMatchObject({ beeps: [], beepShare: 0, soundGaps: null });
    expect(tile.avOffset.count).toBe(0);
  });

  test('a black stretch', async () => {
    const report = await clip('black.mp4', { show: (n) => (n >= 45 && n < 60 ? 'black' : n) });
    expect(report.video!.black).toHaveLength(1);
    expect(report.video!.black[0]!.from).toBeCloseTo(1.5, 1);
    expect(report.video!.black[0]!.to).toBeCloseTo(2, 1);
    expect(only(report)).toMatchObject({ unreadable: 15, read: 135 });
  });

  test('frames out of order', async () => {
    const tile = only(await clip('order.mp4', { show: (n) => (n === 50 ? 51 : n === 51 ? 50 : n) }));
    expect(tile).toMatchObject({ inOrder: false, missing: [], share: 1 });
  });

  test('lost sound between the beeps', async () => {
    const report = await clip('mute.mp4', { mute: { from: 2.3, to: 2.7 } });
    const tile = only(report);
    expect(report.audio!.silence).toHaveLength(1);
    expect(tile.soundGaps).toHaveLength(1);
    expect(Math.abs(tile.soundGaps![0]!.from - 2.3)).toBeLessThan(0.05);
    expect(Math.abs(tile.soundGaps![0]!.to - 2.7)).toBeLessThan(0.05);
    expect(tile.beeps).toHaveLength(5);
  });

  test('a missing beep', async () => {
    const tile = only(await clip('beep.mp4', { mute: { from: 1.9, to: 2.4 } }));
    expect(tile.beeps).toHaveLength(4);
    expect(tile.beepShare).toBeCloseTo(0.8, 5);
  });

  test("a hole in the sound's timestamps keeps what follows in its place", async () => {
    const report = await clip('hole.mkv', {
      encode: [
        '-af',
        "aselect='not(between(t,2.3,2.7))'",
        '-c:v',
        'libx264',
        '-preset',
        'superfast',
        '-c:a',
        'pcm_s16le',
      ],
    });
    expect(report.audio!.gaps).toHaveLength(1);
    expect(report.audio!.gaps[0]!.to - report.audio!.gaps[0]!.from).toBeCloseTo(0.4, 1);
    const tile = only(report);
    expect(tile.beeps).toHaveLength(5);
    expect(tile.avOffset.max).toBeLessThan(8);
    expect(tile.soundGaps).toHaveLength(1);
  });
});

test('four participants in a grid are told apart', { timeout: 60_000 }, async () => {
  const colors = ['red', 'green', 'blue', 'yellow'] as const;
  const files = colors.map((color) => join(folder, `grid-${color}.mp4`));
  await Promise.all(
    colors.map((color, i) =>
      makeClip(files[i]!, {
        seconds: 4,
        color,
        // One is 4:3, so that it has bars; one is 7 frames and 210 ms ahead in everything; one's sound is late.
        ...(color === 'green' ? { width: 240, height: 180 } : {}),
        ...(color === 'blue' ? { show: (n: number) => n + 7, soundLate: -7 / 30 } : {}),
        ...(color === 'yellow' ? { soundLate: 0.06 } : {}),
      }),
    ),
  );
  const grid = join(folder, 'grid.mp4');
  const tile = 'scale=320:180:force_original_aspect_ratio=decrease,pad=320:180:-1:-1';
  await runTool('ffmpeg', [
    ...['-v', 'error', '-y', ...files.flatMap((file) => ['-i', file]), '-filter_complex'],
    colors.map((_, i) => `[${i}:v]${tile}[v${i}];`).join('') +
      '[v0][v1][v2][v3]xstack=inputs=4:layout=0_0|320_0|0_180|320_180[v];[0:a][1:a][2:a][3:a]amix=inputs=4:normalize=0[a]',
    ...[
      '-map',
      '[v]',
      '-map',
      '[a]',
      '-c:v',
      'libx264',
      '-preset',
      'superfast',
      '-crf',
      '26',
      '-c:a',
      'aac',
      grid,
    ],
  ]);
  const boxes = [0, 1, 2, 3].map((i) => ({
    x: (i % 2) * 320,
    y: Math.floor(i / 2) * 180,
    width: 320,
    height: 180,
  }));
  const { tiles } = await analyse(grid, {
    tiles: colors.map((color, i) => ({
      name: color,
      color,
      region: color === 'green' ? fitPicture(boxes[i]!, 240, 180) : boxes[i]!,
    })),
  });
  for (const [i, color] of colors.entries()) {
    const report = tiles[i]!;
    const late = color === 'yellow' ? 60 : 0;
    expect(report, color).toMatchObject({ share: 1, inOrder: true, unreadable: 0 });
    // What is late is not there at the beginning.
    expect(report.soundGaps).toHaveLength(color === 'yellow' ? 1 : 0);
    expect(report.first).toBe(color === 'blue' ? 7 : 0);
    expect(report.color).toMatchObject({ closest: color, share: 1 });
    expect(report.beepShare).toBe(1);
    expect(Math.abs(report.avOffset.p50 - late), color).toBeLessThan(8);
    expect(Math.abs(report.avOffsetByCounter.p50 - late), color).toBeLessThan(8);
  }
});
