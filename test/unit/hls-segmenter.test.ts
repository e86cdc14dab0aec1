import { describe, expect, it } from 'vitest';
import { cutChunk } from '../../src/egress/outputs/hls/pieces.ts';
import type { Piece } from '../../src/egress/outputs/hls/pieces.ts';
import { longestSegmentNs, targetDurationFor } from '../../src/egress/outputs/hls/playlist.ts';
import { Segmenter } from '../../src/egress/outputs/hls/segmenter.ts';
import type { Segment } from '../../src/egress/outputs/hls/segmenter.ts';
import { inspectTs } from '../../src/egress/log/ts-inspect.ts';
import type { Chunk } from '../../src/egress/log/types.ts';
import { chunkLine, chunkUnits } from '../support/log-fixtures.ts';
import { random } from '../support/mutate.ts';
import { buildTs, picture, SPS_1080 } from '../support/ts-builder.ts';

function piece(startS: number, durationS: number, change: Partial<Chunk> = {}, hash = 'a'): Piece {
  const chunk = chunkLine(startS, durationS, change);
  return {
    chunk,
    from: 0,
    to: chunk.bytes,
    startNs: chunk.startNs,
    durationNs: chunk.durationNs,
    parametersHash: hash,
    tables: undefined,
  };
}

/** Pieces one after the other, of these lengths (seconds). */
function run(lengths: readonly number[]): Piece[] {
  let at = 0;
  return lengths.map((length, number) => {
    const made = piece(at, length, { number });
    at += length;
    return made;
  });
}

function segment(pieces: readonly Piece[], duration: number): Segment[] {
  const segmenter = new Segmenter(duration);
  return [...pieces.flatMap((each) => segmenter.push(each)), ...segmenter.flush()];
}

const seconds = (segments: readonly Segment[]): number[] =>
  segments.map(({ durationNs }) => Math.round(durationNs / 1e6) / 1000);

describe('segments', () => {
  it.each([
    ['even chunks', 4, [2, 2, 2, 2, 2], [4, 4, 2]],
    ['chunks a little short', 4, [1.9, 1.9, 1.9, 1.9], [3.8, 3.8]],
    ['one chunk each', 2, [2, 2.1, 1.9], [2, 2.1, 1.9]],
    ['a late keyframe', 4, [2, 5, 2, 2], [2, 5, 4]],
    ['many short chunks', 4, [1, 1, 1, 1, 1], [4, 1]],
    ['an odd length', 5, [2, 2, 2, 2], [6, 2]],
  ])('of %s', (_, duration, lengths, expected) => {
    expect(seconds(segment(run(lengths), duration))).toEqual(expected);
  });

  it('never exceed the target duration, whatever comes, and lose nothing', () => {
    const next = random(3);
    for (let i = 0; i < 500; i++) {
      const duration = 1 + Math.floor(next() * 10);
      const target = targetDurationFor(duration);
      const longest = longestSegmentNs(target) / 1e9;
      const lengths = Array.from({ length: 40 }, () => 0.05 + next() * (longest - 0.05));
      const segments = segment(run(lengths), duration);
      for (const { durationNs } of segments) {
        expect(Math.round(Number((durationNs / 1e9).toFixed(5)))).toBeLessThanOrEqual(target);
      }
      expect(segments.flatMap(({ pieces }) => pieces)).toHaveLength(40);
      expect(segments.map(({ index }) => index)).toEqual(segments.map((_, index) => index));
    }
  });

  it.each([
    ['another attempt', piece(2, 2, { attempt: 2 })],
    ['another run', piece(2, 2, { run: 1 })],
    ['other parameter sets', piece(2, 2, {}, 'b')],
    ['a hole in time', piece(5, 2)],
  ])('end at %s, with a discontinuity', (_, after) => {
    const segments = segment(
      [piece(0, 2), after, piece(after.startNs / 1e9 + 2, 2, after.chunk, after.parametersHash)],
      4,
    );
    expect(segments.map(({ discontinuity }) => discontinuity)).toEqual([false, true]);
    expect(segments[1]?.pieces).toHaveLength(2);
  });

  it('are marked where a break falls on a boundary', () => {
    const segments = segment([piece(0, 4), piece(4, 4, { run: 1 }), piece(8, 4, { run: 1 })], 4);
    expect(segments.map(({ discontinuity }) => discontinuity)).toEqual([false, true, false]);
  });

  it('carry the wall clock of their first sample', () => {
    const [first, second] = segment(run([4, 4]), 4);
    expect((second?.wallMs ?? 0) - (first?.wallMs ?? 0)).toBe(4000);
  });
});

describe('pieces of a chunk', () => {
  it('are cut where other parameter sets begin, each with its tables', () => {
    const units = [...chunkUnits(0), ...chunkUnits(2, 2, picture(true, 1000, SPS_1080))];
    const data = buildTs(units);
    const pieces = cutChunk(chunkLine(0, 4, { bytes: data.length }), data, 6e9);
    expect(pieces.map(({ startNs, durationNs }) => [startNs, durationNs])).toEqual([
      [0, 2e9],
      [2e9, 2e9],
    ]);
    expect(pieces[0]?.parametersHash).not.toBe(pieces[1]?.parametersHash);
    expect(pieces.map(({ tables }) => tables)).toEqual([undefined, { pat: 0, pmt: 188 }]);
    // Nothing is lost or doubled.
    expect(pieces.map(({ from, to }) => [from, to])).toEqual([
      [0, pieces[1]?.from],
      [pieces[1]?.from, data.length],
    ]);
  });

  it('are no longer than allowed, also without keyframes', () => {
    const data = buildTs(chunkUnits(0, 20));
    const pieces = cutChunk(chunkLine(0, 20, { bytes: data.length }), data, 6.49e9);
    expect(pieces.length).toBe(4);
    let frames = 0;
    for (const { from, to, durationNs, tables } of pieces) {
      expect(durationNs).toBeLessThanOrEqual(6.49e9);
      const head = tables ? data.subarray(0, 2 * 188) : Buffer.alloc(0);
      frames +=
        inspectTs(Buffer.concat([head, data.subarray(from, to)]), { closed: true, nearNs: 0 }).video
          ?.frames ?? 0;
    }
    expect(frames).toBe(600);
    expect(pieces.at(-1)?.to).toBe(data.length);
  });

  it('are no longer than allowed, also where only the sound goes on', () => {
    const data = buildTs(chunkUnits(0, 20).filter(({ kind, at }) => kind === 'audio' || at < 1 || at > 12));
    const pieces = cutChunk(chunkLine(0, 20, { bytes: data.length }), data, 3.49e9);
    for (const [i, { startNs, durationNs, to }] of pieces.entries()) {
      expect(durationNs).toBeLessThanOrEqual(3.49e9);
      expect(durationNs).toBeGreaterThan(0);
      expect(pieces[i + 1]?.startNs ?? 20e9).toBe(startNs + durationNs);
      expect(pieces[i + 1]?.from ?? data.length).toBe(to);
    }
  });

  it('get tables in front when sound came before them', () => {
    const early = buildTs([{ kind: 'audio', at: 0 }], { tables: 'none' });
    const data = Buffer.concat([early, buildTs(chunkUnits(0))]);
    const pieces = cutChunk(chunkLine(0, 2, { bytes: data.length }), data, 6e9);
    expect(pieces).toMatchObject([
      { from: 0, to: data.length, tables: { pat: early.length, pmt: early.length + 188 } },
    ]);
  });
});
