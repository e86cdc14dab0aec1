/** Rules of RFC 8216 for a media playlist, checked line by line; none of it shares code with the writer. */
import { expect } from 'vitest';

export interface ReadSegment {
  uri: string;
  duration: number;
  /** ms since the epoch. */
  date: number;
  discontinuity: boolean;
}

export interface ReadPlaylist {
  version: number;
  targetDuration: number;
  mediaSequence: number;
  type: string | undefined;
  ended: boolean;
  segments: ReadSegment[];
}

export function assertPlaylist(text: string): ReadPlaylist {
  const lines = text.split('\n');
  // 4.1: UTF-8, lines end in LF; 4.3.1.1: EXTM3U is the first line.
  expect(lines[0]).toBe('#EXTM3U');
  expect(lines.at(-1)).toBe('');
  const tags = lines.map((line) => /^#([A-Z0-9-]+)(?::(.*))?$/.exec(line));
  const one = (name: string): string | undefined => {
    const found = tags.filter((tag) => tag?.[1] === name);
    expect(found.length, `${name} occurs once at most`).toBeLessThanOrEqual(1);
    return found[0]?.[2];
  };
  const targetDuration = Number(one('EXT-X-TARGETDURATION'));
  expect(Number.isInteger(targetDuration) && targetDuration > 0, 'TARGETDURATION is a positive integer').toBe(
    true,
  );
  const version = Number(one('EXT-X-VERSION'));
  // 7: decimal EXTINF needs 3.
  expect(version).toBeGreaterThanOrEqual(3);
  const firstUri = lines.findIndex((line) => line !== '' && !line.startsWith('#'));
  for (const name of ['EXT-X-MEDIA-SEQUENCE', 'EXT-X-DISCONTINUITY-SEQUENCE']) {
    one(name);
    const at = tags.findIndex((tag) => tag?.[1] === name);
    // 4.3.3.2, 4.3.3.3: before the first segment (and the first EXT-X-DISCONTINUITY).
    expect(at, `${name} stands in front`).toBeLessThan(firstUri < 0 ? Infinity : firstUri);
  }
  const type = one('EXT-X-PLAYLIST-TYPE');
  one('EXT-X-ENDLIST');

  const segments: ReadSegment[] = [];
  let duration: number | undefined;
  let date = NaN;
  let discontinuity = false;
  for (const [i, line] of lines.entries()) {
    const [, name, value = ''] = tags[i] ?? [];
    if (name === 'EXTINF') {
      expect(value).toMatch(/^\d+\.\d+,$/);
      duration = parseFloat(value);
      // 4.3.3.1: rounded to the nearest integer, not above the target.
      expect(Math.round(duration), `EXTINF ${duration}`).toBeLessThanOrEqual(targetDuration);
      expect(duration).toBeGreaterThan(0);
    } else if (name === 'EXT-X-PROGRAM-DATE-TIME') {
      expect(value).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
      date = Date.parse(value);
    } else if (name === 'EXT-X-DISCONTINUITY') {
      discontinuity = true;
    } else if (line !== '' && !line.startsWith('#')) {
      // 4.3.2.1: every segment has its EXTINF.
      if (duration === undefined) throw new Error(`segment ${line} has no EXTINF`);
      expect(date, 'every segment has its date').not.toBeNaN();
      expect(() => new URL(line, 'http://host/')).not.toThrow();
      segments.push({ uri: line, duration, date, discontinuity });
      duration = undefined;
      date = NaN;
      discontinuity = false;
    }
  }
  const ended = lines.includes('#EXT-X-ENDLIST');
  return {
    version,
    targetDuration,
    mediaSequence: Number(one('EXT-X-MEDIA-SEQUENCE') ?? 0),
    type,
    ended,
    segments,
  };
}
