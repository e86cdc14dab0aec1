/** HLS media playlists (RFC 8216), written out of segments. Pure. */

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
}

export interface PlaylistOptions {
  /** Seconds; the same for as long as the playlist lives (RFC 8216, 6.2.1). */
  targetDuration: number;
  /** `event`: every segment from the first on. `live`: only the last `window`. */
  type: 'event' | 'live';
  /** Segments a live playlist shows. */
  window?: number;
  /** Nothing more will come. */
  ended: boolean;
}

const LIVE_WINDOW = 5;

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
  const shown = options.type === 'live' ? segments.slice(-(options.window ?? LIVE_WINDOW)) : segments;
  const gone = segments.slice(0, segments.length - shown.length);
  const lines = [
    '#EXTM3U',
    // 3: durations are decimal.
    '#EXT-X-VERSION:3',
    `#EXT-X-TARGETDURATION:${options.targetDuration}`,
    `#EXT-X-MEDIA-SEQUENCE:${shown[0]?.index ?? 0}`,
  ];
  if (options.type === 'event') lines.push('#EXT-X-PLAYLIST-TYPE:EVENT');
  else {
    // Counts the tags that have left with their segments (RFC 8216, 6.2.2).
    const left = gone.filter((segment) => segment.discontinuity).length;
    if (left > 0) lines.push(`#EXT-X-DISCONTINUITY-SEQUENCE:${left}`);
  }
  for (const segment of shown) {
    if (segment.discontinuity) lines.push('#EXT-X-DISCONTINUITY');
    lines.push(
      `#EXT-X-PROGRAM-DATE-TIME:${new Date(segment.wallMs).toISOString()}`,
      `#EXTINF:${(segment.durationNs / 1e9).toFixed(5)},`,
      segment.uri,
    );
  }
  if (options.ended) lines.push('#EXT-X-ENDLIST');
  return `${lines.join('\n')}\n`;
}
