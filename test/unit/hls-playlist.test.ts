import { describe, expect, it } from 'vitest';
import { relativeUri, segmentKey } from '../../src/egress/outputs/hls/names.ts';
import {
  longestSegmentNs,
  renderPlaylist,
  targetDurationFor,
} from '../../src/egress/outputs/hls/playlist.ts';
import type { PlaylistSegment } from '../../src/egress/outputs/hls/playlist.ts';
import { EPOCH_MS } from '../support/log-fixtures.ts';
import { assertPlaylist } from '../support/hls-rules.ts';

function segments(count: number, discontinuities: number[] = []): PlaylistSegment[] {
  return Array.from({ length: count }, (_, index) => ({
    uri: `s_${String(index).padStart(5, '0')}.ts`,
    index,
    durationNs: 4.004e9,
    wallMs: EPOCH_MS + index * 4004,
    discontinuity: discontinuities.includes(index),
  }));
}

describe('an EVENT playlist', () => {
  it('lists everything', () => {
    const text = renderPlaylist(segments(2, [1]), { targetDuration: 6, type: 'event', ended: false });
    expect(text).toBe(
      [
        '#EXTM3U',
        '#EXT-X-VERSION:3',
        '#EXT-X-TARGETDURATION:6',
        '#EXT-X-MEDIA-SEQUENCE:0',
        '#EXT-X-PLAYLIST-TYPE:EVENT',
        '#EXT-X-PROGRAM-DATE-TIME:2026-01-31T12:00:00.000Z',
        '#EXTINF:4.00400,',
        's_00000.ts',
        '#EXT-X-DISCONTINUITY',
        '#EXT-X-PROGRAM-DATE-TIME:2026-01-31T12:00:04.004Z',
        '#EXTINF:4.00400,',
        's_00001.ts',
        '',
      ].join('\n'),
    );
  });

  it('only ever grows, until it ends', () => {
    const options = { targetDuration: 6, type: 'event' } as const;
    const texts = [1, 2, 7, 20].map((count) =>
      renderPlaylist(segments(count, [5]), { ...options, ended: false }),
    );
    for (const [i, text] of texts.entries()) {
      assertPlaylist(text);
      expect(text.startsWith(texts[i - 1] ?? '')).toBe(true);
    }
    const ended = renderPlaylist(segments(20, [5]), { ...options, ended: true });
    expect(ended).toBe(`${texts[3] ?? ''}#EXT-X-ENDLIST\n`);
  });
});

describe('a live playlist', () => {
  it.each([
    [3, 0, [], 0, undefined],
    [5, 0, [2], 0, undefined],
    [9, 4, [2, 4, 6], 1, '1'],
    [9, 4, [0, 2, 3], 3, '3'],
  ])('of %i segments begins with %i', (count, first, discontinuities, _, sequence) => {
    const text = renderPlaylist(segments(count, discontinuities), {
      targetDuration: 6,
      type: 'live',
      ended: false,
    });
    assertPlaylist(text);
    expect(text).toContain(`#EXT-X-MEDIA-SEQUENCE:${first}\n`);
    expect(text.match(/^s_/gm)).toHaveLength(Math.min(5, count));
    expect(/DISCONTINUITY-SEQUENCE:(\d+)/.exec(text)?.[1]).toBe(sequence);
    expect(text).not.toContain('PLAYLIST-TYPE');
  });
});

it.each([
  [1, 2],
  [2, 3],
  [3, 5],
  [4, 6],
  [6, 9],
  [0.4, 1],
])('segments of %s s have a target duration of %i', (duration, target) => {
  expect(targetDurationFor(duration)).toBe(target);
  expect(Math.round(longestSegmentNs(target) / 1e9)).toBe(target);
  expect(Math.round(duration * 1.5)).toBeLessThanOrEqual(target);
});

describe('names', () => {
  it('are LiveKit’s', () => {
    expect(segmentKey('rec/room', 'index', 7, 0)).toBe('rec/room_00007.ts');
    expect(segmentKey('rec/room', 'index', 123456, 0)).toBe('rec/room_123456.ts');
    expect(segmentKey('rec/room', 'timestamp', 7, EPOCH_MS + 123)).toBe('rec/room_20260131120000123.ts');
  });

  it.each([
    ['a/b/list.m3u8', 'a/b/s_0.ts', 's_0.ts'],
    ['a/list.m3u8', 'a/b/s_0.ts', 'b/s_0.ts'],
    ['a/b/list.m3u8', 'c/s_0.ts', '../../c/s_0.ts'],
    ['list.m3u8', 'my room #1?/50%.ts', 'my%20room%20%231%3F/50%25.ts'],
    ['list.m3u8', 'a:b.ts', 'a%3Ab.ts'],
  ])('from %s to %s: %s', (playlist, key, uri) => expect(relativeUri(playlist, key)).toBe(uri));
});
