/** What segments are called, and how playlists point at them. Pure. */
import { posix } from 'node:path';

export type SegmentSuffix = 'index' | 'timestamp';

/**
 * Key of a segment: `<prefix>_00042.ts`, or `<prefix>_20260131120000123.ts` with its wall clock (UTC), as LiveKit
 * names them.
 */
export function segmentKey(
  prefix: string,
  suffix: SegmentSuffix,
  index: number,
  wallMs: number,
  extension: '.ts' | '.m4s' = '.ts',
): string {
  const tail =
    suffix === 'index'
      ? String(index).padStart(5, '0')
      : new Date(wallMs).toISOString().replace(/\D/g, '').slice(0, 17);
  return `${prefix}_${tail}${extension}`;
}

/** Key of an initialization segment of fragmented MP4: `<prefix>_init.mp4`, `<prefix>_init_2.mp4`. @param number from 1 */
export function initKey(prefix: string, number: number): string {
  return `${prefix}_init${number === 1 ? '' : `_${number}`}.mp4`;
}

/**
 * Key of a part of LL-HLS: `<prefix>_part_000123.m4s`. They are numbered through all segments, so that the name of the
 * next one is known before its segment is.
 */
export function partKey(prefix: string, number: number): string {
  return `${prefix}_part_${String(number).padStart(6, '0')}.m4s`;
}

/** URI of the object `key` as a playlist at `playlistKey` refers to it. */
export function relativeUri(playlistKey: string, key: string): string {
  const path = posix.relative(posix.dirname(`/${playlistKey}`), `/${key}`);
  // Colons too: a first part with one would be read as a scheme (RFC 3986, 4.2).
  return path.split('/').map(encodeURIComponent).join('/');
}
