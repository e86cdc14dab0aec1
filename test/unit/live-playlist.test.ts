/** Delivery directives of RFC 8216bis, 6.2.5: when a playlist has what is asked for, and what it leaves out. */
import { describe, expect, it } from 'vitest';
import { deltaUpdate, isThere, isTooFar, readDirectives, readEnd } from '../../src/api/live-playlist.ts';
import { renderPlaylist } from '../../src/egress/outputs/hls/playlist.ts';
import type { PlaylistPart, PlaylistSegment } from '../../src/egress/outputs/hls/playlist.ts';
import { EPOCH_MS } from '../support/log-fixtures.ts';
import { assertLowLatency } from '../support/ll-hls-rules.ts';

const parts = (segment: number, count: number): PlaylistPart[] =>
  Array.from({ length: count }, (_, i) => ({
    ...{ uri: `p_${segment}_${i}.m4s`, durationNs: 0.5e9, independent: i === 0 },
  }));

function segments(count: number, from = 0): PlaylistSegment[] {
  return Array.from({ length: count }, (_, i) => ({
    ...{ uri: `s_${from + i}.m4s`, index: from + i, durationNs: 2e9, wallMs: EPOCH_MS + i * 2000 },
    ...{ discontinuity: false, map: 'init.mp4', parts: i >= count - 4 ? parts(from + i, 4) : undefined },
  }));
}

function playlist(count: number, open: number, ended = false): string {
  return renderPlaylist(segments(count), {
    ...{ targetDuration: 3, type: 'event', ended },
    low: {
      partTarget: 0.5,
      open: open === 0 ? undefined : { ...segments(1)[0]!, wallMs: EPOCH_MS, parts: parts(count, open) },
      hint: `p_${count}_${open}.m4s`,
    },
  });
}

describe('the end of a playlist', () => {
  it('is read as it was written', () => {
    const text = playlist(6, 2);
    expect(readEnd(text)).toEqual({
      ...{ blocks: true, targetDuration: 3, lastSegment: 5, lastParts: 4, openParts: 2, hint: 'p_6_2.m4s' },
    });
    const read = assertLowLatency(text);
    expect(read).toMatchObject({ hint: 'p_6_2.m4s', partTarget: 0.5, skipUntil: 18 });
    expect(read.open).toHaveLength(2);
  });

  it('does not block once it has ended, nor without low latency', () => {
    expect(readEnd(playlist(6, 0, true)).blocks).toBe(false);
    const text = renderPlaylist(segments(3), { targetDuration: 3, type: 'event', ended: false });
    expect(readEnd(text)).toMatchObject({ blocks: false, lastSegment: 2 });
  });
});

describe('what is waited for', () => {
  const end = readEnd(playlist(6, 2));
  it.each([
    // A whole segment; parts of the last whole one and of the one that has begun.
    [5, undefined, true],
    [6, undefined, false],
    [5, 3, true],
    [6, 1, true],
    [6, 2, false],
    [7, 0, false],
    // Behind the last part of its segment: the first one of the next.
    [5, 4, true],
    [2, 99, true],
  ])('segment %i, part %s: %s', (segment, part, there) => {
    expect(isThere({ segment, part }, end)).toBe(there);
  });

  it('of the next segment’s first part, where the last one has ended and nothing has come', () => {
    expect(isThere({ segment: 5, part: 4 }, readEnd(playlist(6, 0)))).toBe(false);
  });

  it('is at most two segments ahead', () => {
    expect(isTooFar({ segment: 7, part: undefined }, end)).toBe(false);
    expect(isTooFar({ segment: 8, part: undefined }, end)).toBe(true);
  });
});

describe('directives', () => {
  const read = (query: string) => readDirectives(new URLSearchParams(query));
  it('are read', () => {
    expect(read('_HLS_msn=7&_HLS_part=0&_HLS_skip=YES')).toEqual({
      wish: { segment: 7, part: 0 },
      skip: true,
    });
    expect(read('_HLS_skip=v2')).toEqual({ wish: undefined, skip: true });
    expect(read('access_token=x')).toEqual({ wish: undefined, skip: false });
  });

  it('are refused when they make no sense', () => {
    expect(() => read('_HLS_part=1')).toThrow('_HLS_part needs _HLS_msn');
    expect(() => read('_HLS_msn=-1')).toThrow('_HLS_msn must be a whole number');
    expect(() => read('_HLS_msn=1&_HLS_part=x')).toThrow('_HLS_part must be a whole number');
  });
});

describe('a delta update', () => {
  it('leaves out what is older than the skip boundary, and nothing else', () => {
    const text = playlist(20, 2);
    const delta = deltaUpdate(text).split('\n');
    const full = text.split('\n');
    const at = delta.findIndex((line) => line.startsWith('#EXT-X-SKIP:'));
    const skipped = Number(/SKIPPED-SEGMENTS=(\d+)/.exec(delta[at] ?? '')?.[1]);
    // 20 segments of 2 s and 1 s of parts: what ends 18 s before, and earlier.
    expect(skipped).toBe(11);
    expect(delta.slice(0, at)).toEqual(full.slice(0, at));
    const rest = delta.slice(at + 1);
    expect(rest).toEqual(full.slice(-rest.length));
    expect(rest.filter((line) => line.startsWith('s_'))).toHaveLength(9);
  });

  it('is the whole playlist where nothing is that old, or it has ended', () => {
    for (const text of [playlist(5, 2), playlist(20, 0, true)]) expect(deltaUpdate(text)).toBe(text);
  });
});
