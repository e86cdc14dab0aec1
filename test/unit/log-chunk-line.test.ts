import { describe, expect, it } from 'vitest';
import { describeChunk } from '../../src/egress/log/chunk-line.ts';
import { chunkUnits } from '../support/log-fixtures.ts';
import { buildTs } from '../support/ts-builder.ts';
import type { BuiltUnit } from '../support/ts-builder.ts';

/** Seconds a chunk of `units` lasts when the pipeline says `told` of it. */
function seconds(units: readonly BuiltUnit[], told: number): number {
  const line = describeChunk(buildTs(units), 'r0-000000.ts', {
    attempt: 1,
    epochMs: 0,
    container: 'mpegts',
    nearNs: 0,
    closed: true,
    durationNs: told * 1e9,
  });
  return line.durationNs / 1e9;
}

describe('the length of a chunk', () => {
  it('is that of its pictures, for the pipeline says a little less', () => {
    expect(seconds(chunkUnits(0), 1.985)).toBeCloseTo(2, 4);
  });

  it('counts from sound that comes before the first picture', () => {
    expect(seconds([{ kind: 'audio', at: 0 }, ...chunkUnits(0.1)], 2.09)).toBeCloseTo(2.1, 4);
  });

  it('goes on with the sound where the pictures stop', () => {
    const units = chunkUnits(0).filter(({ kind, at }) => kind === 'audio' || at < 1);
    expect(seconds(units, 1.98)).toBeCloseTo(1.976, 2);
  });

  it('is what the pipeline says where the content stops before the next chunk', () => {
    expect(seconds(chunkUnits(0), 2.3)).toBe(2.3);
  });

  it.each([0, 60])('is not what the pipeline says when that cannot be: %f s', (told) => {
    expect(seconds(chunkUnits(0), told)).toBeCloseTo(2, 4);
  });
});
