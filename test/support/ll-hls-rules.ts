/** Rules of RFC 8216bis for a media playlist of low latency, checked tag by tag; none of it shares code with the writer. */
import { expect } from 'vitest';
import { assertPlaylist } from './hls-rules.ts';
import type { ReadPlaylist } from './hls-rules.ts';

export interface ReadPart {
  uri: string;
  duration: number;
  independent: boolean;
}

export interface ReadLowLatency extends ReadPlaylist {
  partTarget: number;
  holdBack: number;
  skipUntil: number;
  /** By media sequence number; that of the segment that has begun is the last one. */
  parts: Map<number, ReadPart[]>;
  /** Parts of the segment that has begun. */
  open: ReadPart[];
  hint: string | undefined;
  /** By segment URI. */
  maps: Map<string, string>;
}

/** Attributes of a tag (RFC 8216, 4.2). */
function attributes(value: string): Record<string, string> {
  const found: Record<string, string> = {};
  for (const [, name = '', quoted, plain] of value.matchAll(/([A-Z0-9-]+)=(?:"([^"]*)"|([^,]*))/g)) {
    expect(found[name], `${name} occurs once`).toBeUndefined();
    found[name] = quoted ?? plain ?? '';
  }
  return found;
}

export function assertLowLatency(text: string): ReadLowLatency {
  const list = assertPlaylist(text);
  const lines = text.split('\n');
  const value = (name: string) => {
    const found = lines.filter((line) => line.startsWith(`#${name}:`));
    expect(found.length, name).toBeLessThanOrEqual(1);
    return attributes(found[0]?.slice(name.length + 2) ?? '');
  };
  // 8: delta updates.
  expect(list.version).toBeGreaterThanOrEqual(9);
  // 4.4.3.5: an EVENT playlist may lose nothing, and parts are lost.
  expect(list.type).toBeUndefined();
  const partTarget = Number(value('EXT-X-PART-INF')['PART-TARGET']);
  const control = value('EXT-X-SERVER-CONTROL');
  if (!list.ended) {
    expect(partTarget).toBeGreaterThan(0);
    expect(control['CAN-BLOCK-RELOAD']).toBe('YES');
    // 4.4.3.8: at least twice the part target, and should be three times; six target durations.
    expect(Number(control['PART-HOLD-BACK'])).toBeGreaterThanOrEqual(3 * partTarget - 0.001);
    expect(Number(control['CAN-SKIP-UNTIL'])).toBeGreaterThanOrEqual(6 * list.targetDuration);
  }

  const parts = new Map<number, ReadPart[]>();
  const maps = new Map<string, string>();
  let open: ReadPart[] = [];
  let map: string | undefined;
  let duration = 0;
  let next = list.mediaSequence;
  for (const [i, line] of lines.entries()) {
    if (line.startsWith('#EXT-X-MAP:')) map = attributes(line.slice(11)).URI;
    else if (line.startsWith('#EXT-X-PART:')) {
      const { URI: uri, DURATION, INDEPENDENT } = attributes(line.slice(12));
      expect(uri).toBeDefined();
      const part = { uri: uri ?? '', duration: Number(DURATION), independent: INDEPENDENT === 'YES' };
      // 4.4.4.9: not longer than the part target, and 85 % of it unless the last of its segment.
      expect(part.duration).toBeLessThanOrEqual(partTarget + 0.00001);
      const before = open.at(-1);
      if (before) expect(before.duration, `part ${before.uri}`).toBeGreaterThanOrEqual(0.85 * partTarget);
      open.push(part);
    } else if (line.startsWith('#EXTINF:')) duration = parseFloat(line.slice(8));
    else if (line !== '' && !line.startsWith('#')) {
      // 4.4.4.5: fragmented MP4 needs its initialization segment.
      expect(map, `${line} has a map`).toBeDefined();
      maps.set(line, map ?? '');
      if (open.length > 0) {
        // 4.4.4.9: parts make up the segment.
        const sum = open.reduce((total, part) => total + part.duration, 0);
        expect(Math.abs(sum - duration), `parts of ${line}`).toBeLessThan(0.001);
        parts.set(next, open);
      }
      open = [];
      next++;
    }
    if (line === '#EXT-X-ENDLIST') expect(lines.slice(i + 1)).toEqual(['']);
  }
  if (open.length > 0) parts.set(next, open);
  // 4.4.4.9: parts of what is more than three target durations from the end are gone, those nearer are there.
  let left = list.segments.reduce((sum, segment) => sum + segment.duration, 0);
  for (const [i, segment] of list.segments.entries()) {
    left -= segment.duration;
    if (left > 3 * list.targetDuration) expect(parts.has(list.mediaSequence + i)).toBe(false);
  }
  const hint = value('EXT-X-PRELOAD-HINT');
  if (list.ended) {
    expect(parts.size).toBe(0);
    expect(hint.URI).toBeUndefined();
  } else {
    expect(hint.TYPE).toBe('PART');
    expect(hint.URI).toBeDefined();
    expect([...parts.values()].flat().map(({ uri }) => uri)).not.toContain(hint.URI);
  }
  return {
    ...list,
    ...{
      partTarget,
      holdBack: Number(control['PART-HOLD-BACK']),
      skipUntil: Number(control['CAN-SKIP-UNTIL']),
    },
    ...{ parts, open, hint: hint.URI, maps },
  };
}

/** What may not happen from one version of a playlist to the next (RFC 8216bis, 6.2.1, 6.2.2). */
export function assertFollows(before: ReadLowLatency, after: ReadLowLatency): void {
  expect(after.targetDuration).toBe(before.targetDuration);
  expect(after.mediaSequence).toBeGreaterThanOrEqual(before.mediaSequence);
  for (const [i, segment] of before.segments.entries()) {
    const now = after.segments[before.mediaSequence + i - after.mediaSequence];
    if (before.mediaSequence + i >= after.mediaSequence) expect(now).toEqual(segment);
  }
  if (after.ended) return;
  for (const [segment, parts] of before.parts) {
    const now = after.parts.get(segment);
    if (now) expect(now.slice(0, parts.length)).toEqual(parts);
    else expect(segment, 'only old parts go').toBeLessThan(before.mediaSequence + before.segments.length - 1);
  }
  // What was announced is what came.
  const known = new Set([...before.parts.values()].flat().map(({ uri }) => uri));
  const [first] = [...after.parts.values()].flat().filter(({ uri }) => !known.has(uri));
  if (first) expect(first.uri).toBe(before.hint);
}
