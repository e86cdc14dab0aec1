/** HLS media playlists (RFC 8216; RFC 8216bis where they are of low latency), written out of segments. Pure. */

export interface PlaylistSegment {
  /** Relative to the playlist, percent-encoded. */
  uri: string;
  /** Media sequence number. */
  index: number;
  durationNs: number;
  /** Wall clock of its first sample, ms since the epoch. */
  wallMs: number;
  /** A decoder must expect something else than the segment before: tag in front of it. */
  discontinuity: boolean;
  /** URI of its initialization segment; undefined in MPEG-TS. */
  map?: string | undefined;
  /** Of LL-HLS, while it is near the end of the playlist. */
  parts?: readonly PlaylistPart[] | undefined;
}

export interface PlaylistPart {
  uri: string;
  durationNs: number;
  independent: boolean;
}

/** What makes a playlist one of low latency (RFC 8216bis). */
export interface LowLatency {
  /** PART-TARGET, s: no part is longer. */
  partTarget: number;
  /** The segment that has begun, as far as it has come; undefined between two. */
  open: Omit<PlaylistSegment, 'uri' | 'durationNs' | 'index'> | undefined;
  /** URI of the part that comes next. */
  hint: string;
}

export interface PlaylistOptions {
  /** Seconds; the same for as long as the playlist lives (RFC 8216, 6.2.1). */
  targetDuration: number;
  /** `event`: every segment from the first on. `live`: only the last `window`. */
  type: 'event' | 'live';
  /** Segments a live playlist shows, at least. */
  window?: number;
  /** Nothing more will come. */
  ended: boolean;
  low?: LowLatency | undefined;
}

const LIVE_WINDOW = 5;
/** What a live playlist must hold, in target durations (RFC 8216, 6.2.2). */
const LEAST_TARGETS = 3;
/** Distance from the end players keep, in part targets: what RFC 8216bis, 4.4.3.8, wants. */
const HOLD_BACK_PARTS = 3;
/** Delta updates leave out what is older, in target durations: the least there may be (RFC 8216bis, 4.4.3.8). */
const SKIP_TARGETS = 6;

/** TARGETDURATION for a wanted segment length (seconds): segments close at the latest at half as much again. */
export function targetDurationFor(segmentDuration: number): number {
  return Math.max(1, Math.ceil(segmentDuration * 1.5));
}

/**
 * Longest segment that TARGETDURATION allows, ns: EXTINF, rounded to the nearest integer, must not exceed it
 * (RFC 8216, 4.3.3.1).
 */
export function longestSegmentNs(targetDuration: number): number {
  return (targetDuration + 0.49) * 1e9;
}

/** `segments`: all there are, from the first. */
export function renderPlaylist(segments: readonly PlaylistSegment[], options: PlaylistOptions): string {
  const { targetDuration, low } = options;
  const shown = options.type === 'live' ? newest(segments, options) : segments;
  const gone = segments.slice(0, segments.length - shown.length);
  const lines = [
    '#EXTM3U',
    `#EXT-X-VERSION:${versionOf(segments, low)}`,
    `#EXT-X-TARGETDURATION:${targetDuration}`,
    ...(low ? serverControl(targetDuration, low) : []),
    `#EXT-X-MEDIA-SEQUENCE:${shown[0]?.index ?? 0}`,
  ];
  // One of low latency loses the tags of its parts: it is no EVENT, which only grows.
  if (options.type === 'event') lines.push(...(low ? [] : ['#EXT-X-PLAYLIST-TYPE:EVENT']));
  else {
    // Counts the tags that have left with their segments (RFC 8216, 6.2.2).
    const left = gone.filter((segment) => segment.discontinuity).length;
    if (left > 0) lines.push(`#EXT-X-DISCONTINUITY-SEQUENCE:${left}`);
  }
  let map: string | undefined;
  const head = (segment: Omit<PlaylistSegment, 'uri' | 'durationNs' | 'index'>) => {
    if (segment.discontinuity) lines.push('#EXT-X-DISCONTINUITY');
    if (segment.map !== undefined && segment.map !== map) lines.push(`#EXT-X-MAP:URI="${segment.map}"`);
    map = segment.map;
    lines.push(`#EXT-X-PROGRAM-DATE-TIME:${new Date(segment.wallMs).toISOString()}`);
    if (low && !options.ended) lines.push(...(segment.parts ?? []).map(partTag));
  };
  for (const segment of shown) {
    head(segment);
    lines.push(`#EXTINF:${seconds(segment.durationNs)},`, segment.uri);
  }
  if (options.ended) lines.push('#EXT-X-ENDLIST');
  else if (low) {
    if (low.open) head(low.open);
    lines.push(`#EXT-X-PRELOAD-HINT:TYPE=PART,URI="${low.hint}"`);
  }
  return `${lines.join('\n')}\n`;
}

/** The last `window` segments, or more where they are short. */
function newest(
  segments: readonly PlaylistSegment[],
  { window = LIVE_WINDOW, targetDuration, ended }: PlaylistOptions,
): readonly PlaylistSegment[] {
  let from = Math.max(0, segments.length - window);
  let length = segments.slice(from).reduce((sum, { durationNs }) => sum + durationNs, 0);
  while (!ended && from > 0 && length < LEAST_TARGETS * targetDuration * 1e9) {
    length += segments[--from]?.durationNs ?? 0;
  }
  return segments.slice(from);
}

/** 3: durations are decimal; 6: EXT-X-MAP; 9: delta updates (RFC 8216bis, 8). */
function versionOf(segments: readonly PlaylistSegment[], low: LowLatency | undefined): number {
  if (low) return 9;
  return segments.some(({ map }) => map !== undefined) ? 6 : 3;
}

function serverControl(targetDuration: number, { partTarget }: LowLatency): string[] {
  const control = [
    'CAN-BLOCK-RELOAD=YES',
    `PART-HOLD-BACK=${(partTarget * HOLD_BACK_PARTS).toFixed(3)}`,
    `CAN-SKIP-UNTIL=${(targetDuration * SKIP_TARGETS).toFixed(1)}`,
  ];
  return [
    `#EXT-X-SERVER-CONTROL:${control.join(',')}`,
    `#EXT-X-PART-INF:PART-TARGET=${partTarget.toFixed(5)}`,
  ];
}

function partTag({ uri, durationNs, independent }: PlaylistPart): string {
  const yes = independent ? ',INDEPENDENT=YES' : '';
  return `#EXT-X-PART:DURATION=${seconds(durationNs)},URI="${uri}"${yes}`;
}

function seconds(ns: number): string {
  return (ns / 1e9).toFixed(5);
}
