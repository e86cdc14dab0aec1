import { describe, expect, test } from 'vitest';

import { ChunkPacing, FIRST_CHUNK_NS } from '../../pipelines/shared/chunk-pacing.ts';

const S = 1e9;

/** multifilesink, as its source has it: cuts at the first keyframe at or after a grid's next line. */
function cuts(pacing: ChunkPacing, keyFrames: readonly number[], first = 0): number[] {
  let next = first + pacing.distanceNs;
  const found: number[] = [];
  for (const at of keyFrames) {
    if (at < next) continue;
    next += pacing.distanceNs;
    found.push(at);
    pacing.cut(at, first);
  }
  return found;
}

const every = (seconds: number, count: number, from = 0): number[] =>
  Array.from({ length: count }, (_, index) => Math.round((from + index * seconds) * S));

describe('ChunkPacing', () => {
  test('cuts at every keyframe, once the first has met its sound', () => {
    const keyFrames = every(2, 20, 0.2);
    expect(cuts(new ChunkPacing(0), keyFrames)).toEqual(keyFrames.slice(1));
  });

  test('keeps a least distance however irregular keyframes are', () => {
    const keyFrames = [0.1, 0.9, 3, 3.1, 3.2, 8, 30, 30.1, 30.4, 31, 31.9, 32, 34, 34.1].map((at) => at * S);
    const found = cuts(new ChunkPacing(1.9 * S), keyFrames);
    // After a long pause the grid has fallen behind: one short chunk, no more.
    const distances = found.slice(1).map((at, index) => at - (found[index] ?? 0));
    expect(distances.filter((distance) => distance < 1.7 * S).length).toBeLessThanOrEqual(1);
    expect(found.at(-1)).toBeGreaterThanOrEqual(34 * S);
  });

  test('makes one chunk a second of a stream that is all keyframes', () => {
    const found = cuts(new ChunkPacing(0), every(1 / 30, 30 * 60));
    const late = found.filter((at) => at > 5 * S);
    const distances = late.slice(1).map((at, index) => at - (late[index] ?? 0));
    expect(Math.min(...distances)).toBeGreaterThan(0.9 * S);
    expect(found.length).toBeLessThan(80);
  });

  test('cuts at every keyframe again when the stream has settled', () => {
    const keyFrames = [...every(1 / 30, 300), ...every(2, 20, 12)];
    const found = cuts(new ChunkPacing(0), keyFrames);
    expect(found.filter((at) => at > 16 * S)).toEqual(keyFrames.filter((at) => at > 16 * S));
  });

  test('a distance that is set applies from the next cut on', () => {
    const pacing = new ChunkPacing(0);
    expect(pacing.distanceNs).toBe(FIRST_CHUNK_NS);
    pacing.setMinDuration(4 * S);
    expect(pacing.distanceNs).toBe(FIRST_CHUNK_NS);
    cuts(pacing, every(1, 3));
    expect(pacing.distanceNs).toBeGreaterThanOrEqual(4 * S);
    pacing.setMinDuration(0);
    expect(pacing.distanceNs).toBe(0);
  });
});
