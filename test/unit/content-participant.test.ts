import { describe, expect, test } from 'vitest';

import { parseFrameTimes } from '../../src/demo/content/frame-times.ts';
import { MotionDetector, stretches } from '../../src/demo/content/motion.ts';
import {
  beepShare,
  flashOnsets,
  match,
  offsetStats,
  reportTile,
  secondsByCounter,
} from '../../src/demo/content/participant.ts';
import { holes } from '../../src/demo/content/read-audio.ts';
import type { TileFrame } from '../../src/demo/content/types.ts';

const RED = [196, 40, 40] as const;
const frame = (time: number, counter: number | null, flash = false): TileFrame => ({
  time,
  counter,
  flash,
  color: RED,
});

describe('reportTile', () => {
  const spec = { name: 'one', color: 'red' } as const;
  const report = (frames: TileFrame[]) => reportTile(spec, { frames, beeps: [], hum: [], from: 0, to: 1 });

  test('nothing seen is nothing, not a pass', () => {
    expect(report([])).toMatchObject({
      read: 0,
      share: 0,
      first: null,
      last: null,
      soundGaps: null,
      beepShare: 0,
    });
    expect(report([frame(0, null)])).toMatchObject({ read: 0, unreadable: 1, share: 0 });
    expect(report([]).avOffset).toMatchObject({ count: 0, p50: NaN, p95: NaN });
  });

  test('counters missing, held and out of order', () => {
    const seen = report([10, 11, 11, 13, 12, 16].map((counter, i) => frame(i / 30, counter)));
    expect(seen).toMatchObject({ first: 10, last: 16, missing: [14, 15], held: 1, inOrder: false });
    expect(seen.share).toBeCloseTo(5 / 7, 6);
  });

  test('the longest gap is between new counters, however often an old one is shown', () => {
    const seen = report([frame(0, 1), frame(0.1, 1), frame(0.2, 1), frame(0.5, 2), frame(0.53, 3)]);
    expect(seen.longestGapMs).toBeCloseTo(500, 3);
    expect(seen.longestGapAt).toBe(0);
  });
});

test('a flash that was lit before anything was read has no onset', () => {
  expect(flashOnsets([frame(0, 0, true), frame(0.03, 1), frame(1, 30, true), frame(1.03, 31, true)])).toEqual(
    [1],
  );
  // A white picture without a barcode is not a flash.
  expect(flashOnsets([frame(0, 0), frame(0.03, null, true)])).toEqual([]);
});

test("seconds are told by the counters when the flash's own frame is lost", () => {
  const fresh = [25, 26, 27, 28, 29, 31, 32, 33].map((counter) => ({ time: 5 + counter / 30, counter }));
  const [second, ...more] = secondsByCounter(fresh, 30);
  expect(more).toEqual([]);
  expect(second).toBeCloseTo(6, 9);
  expect(secondsByCounter(fresh.slice(3, 5), 30)).toEqual([]);
});

test('flash and beep belong together when they are nearest, and not half a second apart', () => {
  const differences = match([1, 2, 3], [1.02, 1.95, 3.5]);
  expect(differences).toHaveLength(2);
  expect(differences[0]).toBeCloseTo(0.02, 9);
  expect(differences[1]).toBeCloseTo(-0.05, 9);
  expect(match([1], [])).toEqual([]);
});

test('offset statistics', () => {
  const stats = offsetStats([0.01, 0.02, 0.03, -0.2, 0.02]);
  expect(stats.count).toBe(5);
  expect(stats.p50).toBeCloseTo(20, 6);
  expect(stats.p95).toBeCloseTo(200, 6);
  expect(stats.max).toBeCloseTo(200, 6);
});

test.for([
  ['all of them', [0.5, 1.5, 2.5, 3.5], 0, 4, 1],
  ['none', [], 0, 4, 0],
  ['one is missing in the middle', [0.5, 1.5, 3.5], 0, 4, 0.75],
  ['the last two are missing', [0.5, 1.5], 0, 4, 0.5],
  ['the first two are missing', [2.5, 3.5], 0, 4, 0.5],
  ['the last does not fit any more', [0.9, 1.9, 2.9], 0, 4, 1],
] as const)('share of beeps: %s', ([, beeps, from, to, share]) => {
  expect(beepShare(beeps, from, to)).toBeCloseTo(share, 6);
});

test('stretches', () => {
  const times = [0, 1, 2, 3, 4, 5];
  expect(stretches(times, [false, true, true, false, true, false], 6, 1.5)).toEqual([{ from: 1, to: 3 }]);
  expect(stretches(times, [false, false, false, false, false, true], 7, 1.5)).toEqual([{ from: 5, to: 7 }]);
  expect(stretches([], [], 0, 0)).toEqual([]);
});

test('a picture that changes a little has moved, and noise has not', () => {
  const motion = new MotionDetector();
  const picture = (at: number, noise: number) => {
    const data = new Uint8Array((160 * 90 * 3) / 2).fill(60 + noise);
    for (let y = 40; y < 60; y++) data.fill(235, y * 160 + at, y * 160 + at + 12);
    return { data, width: 160, height: 90 };
  };
  expect(motion.look(picture(0, 0))).toEqual({ black: false, moved: true });
  expect(motion.look(picture(0, 9))).toEqual({ black: false, moved: false });
  expect(motion.look(picture(4, 0))).toEqual({ black: false, moved: true });
  const black = { data: new Uint8Array((160 * 90 * 3) / 2).fill(16), width: 160, height: 90 };
  expect(motion.look(black).black).toBe(true);
});

test('holes and overlaps in sound', () => {
  const frames = [0, 0.02, 0.04, 0.5, 0.51].map((time) => ({ time, duration: 0.02 }));
  const { gaps, monotonic } = holes(frames);
  expect(gaps).toEqual([{ from: 0.06, to: 0.5 }]);
  expect(monotonic).toBe(false);
  expect(holes(frames.slice(0, 3))).toEqual({ gaps: [], monotonic: true });
});

test('a listing of frame times', () => {
  const listing =
    '#software: Lavf\n#tb 0: 1/90000\n#media_type 0: video\n0, 0, 900, 3000, 86400, 0x1\n0, 3900, 3900, 3000, 86400, 0x2\n';
  expect(parseFrameTimes(listing).map(({ time }) => time)).toEqual([0.01, 3900 / 90_000]);
  expect(() => parseFrameTimes('0, 0, 900, 3000, 86400, 0x1\n')).toThrow(/framecrc/);
});
