/** What an LL-HLS playlist of ours says of its own end, and its delta updates (RFC 8216bis). Pure. */

/** Where a playlist's newest media is. */
export interface PlaylistEnd {
  /** Requests may wait for what comes next (CAN-BLOCK-RELOAD), and it has not ended. */
  blocks: boolean;
  /** Seconds. */
  targetDuration: number;
  /** Media sequence number of the last whole segment; one less than the first one where there is none. */
  lastSegment: number;
  /** Parts of the last whole segment, and of the one that has begun. */
  lastParts: number;
  openParts: number;
  /** URI of the part that comes next, as it is written. */
  hint: string | undefined;
}

/** What a request waits for: RFC 8216bis, 6.2.5.2. */
export interface ReloadWish {
  /** `_HLS_msn`. */
  segment: number;
  /** `_HLS_part`. */
  part: number | undefined;
}

/** How far behind the last segment a request may be meant (RFC 8216bis, 6.2.5.2). */
const SEGMENTS_AHEAD = 2;

export function readEnd(text: string): PlaylistEnd {
  const lines = text.split('\n');
  const value = (name: string) => lines.find((line) => line.startsWith(`#${name}:`))?.slice(name.length + 2);
  let segments = 0;
  let lastParts = 0;
  let openParts = 0;
  for (const line of lines) {
    if (line.startsWith('#EXT-X-PART:')) openParts++;
    else if (line.startsWith('#EXTINF:')) {
      segments++;
      lastParts = openParts;
      openParts = 0;
    }
  }
  const ended = lines.includes('#EXT-X-ENDLIST');
  return {
    blocks: !ended && (value('EXT-X-SERVER-CONTROL') ?? '').includes('CAN-BLOCK-RELOAD=YES'),
    targetDuration: Number(value('EXT-X-TARGETDURATION') ?? 0),
    lastSegment: Number(value('EXT-X-MEDIA-SEQUENCE') ?? 0) + segments - 1,
    ...{ lastParts, openParts },
    hint: /TYPE=PART,URI="([^"]*)"/.exec(value('EXT-X-PRELOAD-HINT') ?? '')?.[1],
  };
}

/** Whether what is wished for is there. */
export function isThere({ segment, part }: ReloadWish, end: PlaylistEnd): boolean {
  if (part === undefined || segment < end.lastSegment) return segment <= end.lastSegment;
  if (segment > end.lastSegment) return segment === end.lastSegment + 1 && part < end.openParts;
  // A part behind the last one of its segment is the first of the next one.
  return part < end.lastParts || end.lastParts === 0 || end.openParts > 0;
}

/** Whether nobody who has read the playlist can wish for this. */
export function isTooFar({ segment }: ReloadWish, end: PlaylistEnd): boolean {
  return segment > end.lastSegment + SEGMENTS_AHEAD;
}

/**
 * The directives of a request's query: RFC 8216bis, 6.2.5.
 * @throws RangeError that says what is wrong with them
 */
export function readDirectives(query: URLSearchParams): { wish: ReloadWish | undefined; skip: boolean } {
  const number = (name: string): number | undefined => {
    const text = query.get(name);
    if (text === null) return undefined;
    if (!/^\d{1,15}$/.test(text)) throw new RangeError(`${name} must be a whole number`);
    return Number(text);
  };
  const segment = number('_HLS_msn');
  const part = number('_HLS_part');
  if (segment === undefined && part !== undefined) throw new RangeError('_HLS_part needs _HLS_msn');
  return {
    wish: segment === undefined ? undefined : { segment, part },
    skip: ['YES', 'v2'].includes(query.get('_HLS_skip') ?? ''),
  };
}

/** First lines of a segment: what stands before is the playlist's own. */
const SEGMENT_TAG = /^#(EXT-X-DISCONTINUITY$|EXT-X-MAP:|EXT-X-PROGRAM-DATE-TIME:|EXT-X-PART:|EXTINF:)/;

/**
 * The playlist without the segments that are further from its end than CAN-SKIP-UNTIL (RFC 8216bis, 6.2.5.1); as it is
 * where there are none.
 */
export function deltaUpdate(text: string): string {
  const until = Number(/CAN-SKIP-UNTIL=([\d.]+)/.exec(text)?.[1] ?? Infinity);
  const lines = text.split('\n');
  const first = lines.findIndex((line) => SEGMENT_TAG.test(line));
  if (first < 0 || until === Infinity || text.includes('#EXT-X-ENDLIST')) return text;
  let left = secondsIn(lines);
  let skipped = 0;
  let keepFrom = first;
  let duration = 0;
  for (const [i, line] of lines.entries()) {
    if (line.startsWith('#EXTINF:')) duration = parseFloat(line.slice('#EXTINF:'.length));
    if (i < first || line === '' || line.startsWith('#')) continue;
    left -= duration;
    if (left < until) break;
    skipped++;
    keepFrom = i + 1;
  }
  if (skipped === 0) return text;
  const skip = `#EXT-X-SKIP:SKIPPED-SEGMENTS=${skipped}`;
  return [...lines.slice(0, first), skip, ...lines.slice(keepFrom)].join('\n');
}

/** Of all segments, and of the parts of the one that has begun. */
function secondsIn(lines: readonly string[]): number {
  let whole = 0;
  let open = 0;
  for (const line of lines) {
    if (line.startsWith('#EXT-X-PART:')) open += Number(/DURATION=([\d.]+)/.exec(line)?.[1] ?? 0);
    else if (line.startsWith('#EXTINF:')) {
      whole += parseFloat(line.slice('#EXTINF:'.length));
      open = 0;
    }
  }
  return whole + open;
}
