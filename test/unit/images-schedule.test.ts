/** Which pictures of a log become images. */
import { describe, expect, it } from 'vitest';
import { imageKey } from '../../src/egress/outputs/images/names.ts';
import { ImageSchedule } from '../../src/egress/outputs/images/schedule.ts';
import type { Shot } from '../../src/egress/outputs/images/schedule.ts';
import { EPOCH_MS, chunkLine } from '../support/log-fixtures.ts';
import type { Chunk } from '../../src/egress/log/types.ts';

function shots(interval: number, chunks: readonly Chunk[]): Shot[] {
  const schedule = new ImageSchedule(interval);
  return [...chunks.flatMap((chunk) => schedule.push(chunk)), ...schedule.finish()];
}

const everyTwo = (count: number, offset = 0) =>
  Array.from({ length: count }, (_, i) => chunkLine(offset + i * 2, 2));

const shown = (made: readonly Shot[]) =>
  made.map(({ atNs, keyFrame }) => `${atNs / 1e9}${keyFrame ? ' key' : ''}`);

describe('the schedule of images', () => {
  it('takes keyframes where they come often enough, and counts from the first picture', () => {
    expect(shown(shots(10, everyTwo(16, 3)))).toEqual(['3 key', '13 key', '23 key', '33 key']);
  });

  it('takes the nearest keyframe for a moment between two, before or after it', () => {
    expect(shown(shots(5, everyTwo(10)))).toEqual(['0 key', '4 key', '10 key', '14 key']);
    const odd = [chunkLine(0, 4.2), chunkLine(4.2, 4.2), chunkLine(8.4, 4.2)];
    expect(shown(shots(4, odd))).toEqual(['0 key', '4.2 key', '8.4 key', '12']);
  });

  it('decodes what lies between keyframes, and takes no keyframe twice', () => {
    expect(shown(shots(1, everyTwo(3)))).toEqual(['0 key', '1', '2 key', '3', '4 key', '5']);
    expect(shown(shots(10, [chunkLine(0, 25)]))).toEqual(['0 key', '10', '20']);
  });

  it('leaves moments out at which nothing was recorded, or only sound', () => {
    const chunks = [...everyTwo(3), ...everyTwo(3, 20)];
    expect(shown(shots(4, chunks))).toEqual(['0 key', '4 key', '20 key', '24 key']);
    const muted = [...everyTwo(2), chunkLine(4, 4, { videoFrames: 0, keyFrames: 0 }), ...everyTwo(2, 8)];
    expect(shown(shots(4, muted))).toEqual(['0 key', '4'].slice(0, 1).concat('8 key'));
  });

  it('counts from the first picture, where sound came before it', () => {
    const schedule = new ImageSchedule(4);
    const made = [
      ...schedule.push(chunkLine(0, 3.5), 1.5e9),
      ...schedule.push(chunkLine(3.5, 2)),
      ...schedule.push(chunkLine(5.5, 2)),
    ];
    expect(shown(made)).toEqual(['1.5 key', '5.5 key']);
    expect(made.map(({ wallMs }) => wallMs - EPOCH_MS)).toEqual([1500, 5500]);
  });

  it('answers the same when it goes through the same log again', () => {
    const chunks = [...everyTwo(4), ...everyTwo(5, 9.3)];
    expect(shots(3, chunks)).toEqual(shots(3, chunks));
    expect(shots(3, chunks).map(({ index }) => index)).toEqual(shots(3, chunks).map((_, i) => i));
  });

  it('knows the wall clock of what an image shows', () => {
    expect(shots(1, [chunkLine(4, 2)]).map(({ wallMs }) => wallMs - EPOCH_MS)).toEqual([4000, 5000]);
  });
});

describe('the name of an image', () => {
  it('has its number, its time, or nothing', () => {
    const at = Date.UTC(2026, 0, 31, 12, 0, 1, 45);
    expect(imageKey('a/b', 'index', 7, at)).toBe('a/b_00007.jpeg');
    expect(imageKey('a/b', 'timestamp', 7, at)).toBe('a/b_20260131120001045.jpeg');
    expect(imageKey('a/b', 'none', 7, at)).toBe('a/b.jpeg');
  });
});
