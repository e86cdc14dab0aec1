/** `<egress id>.json` beside what an egress has stored: LiveKit's fields, and what Sluice adds to them. Pure. */
import { redactUrl } from '../redact.ts';
import type { EgressPlan } from './plan/types.ts';
import type { SegmentLog } from './log/reader.ts';
import type { EventLine, GapLine } from './log/types.ts';
import type { WantedTrack } from './room/selection.ts';

/** A recording. Times are on the egress clock. */
export interface ManifestFile {
  /** Key in its storage. */
  filename: string;
  location: string;
  bytes: number;
  /** First frame, ns. */
  startNs: number;
  durationNs: number;
  /** What was made beside it. */
  storyboard?: { filename: string; location: string; sheets: { filename: string; location: string }[] };
}

export interface ManifestPlaylist {
  location: string;
  segments: { filename: string; location: string }[];
}

export interface ManifestImage {
  filename: string;
  location: string;
  /** Wall clock of what it shows, ms since the epoch. */
  wallMs: number;
}

/** What one output has stored, and where its manifest goes. */
export interface ManifestPart {
  /** Index of the storage in the plan. */
  storage: number;
  /** Folder of the output's files, `''` or with a trailing slash. */
  folder: string;
  /** The request wants none beside this output. */
  disabled: boolean;
  files?: ManifestFile[];
  playlists?: ManifestPlaylist[];
  images?: ManifestImage[];
}

export interface ManifestFacts {
  plan: Pick<EgressPlan, 'egressId' | 'roomName' | 'source'>;
  roomId: string;
  /** Wall clock of egress-clock zero, ms. */
  epochMs: number;
  tracks: readonly WantedTrack[];
  log: Pick<SegmentLog, 'chunks' | 'endNs' | 'gaps' | 'events'>;
  parts: readonly ManifestPart[];
}

/** JSON of the manifest. Times are ns since the epoch where LiveKit has them so, ISO 8601 otherwise. */
export function manifestText(facts: ManifestFacts): string {
  const { plan, roomId, epochMs, log, parts } = facts;
  const files = parts.flatMap((part) => part.files ?? []);
  const playlists = parts.flatMap((part) => part.playlists ?? []);
  const images = parts.flatMap((part) => part.images ?? []);
  const segments = playlists.reduce((sum, { segments: { length } }) => sum + length, 0);
  const startNs =
    files.length > 0 ? Math.min(...files.map((file) => file.startNs)) : (log.chunks[0]?.startNs ?? 0);
  const wallNs = (atNs: number): number => Math.round(epochMs * 1e6 + atNs);
  const manifest = {
    egress_id: plan.egressId,
    ...(roomId !== '' && { room_id: roomId }),
    ...(plan.roomName !== '' && { room_name: plan.roomName }),
    ...source(facts),
    // Beyond 2^53, as LiveKit writes them: whoever reads them as doubles is off by less than a microsecond.
    started_at: wallNs(startNs),
    ended_at: wallNs(log.endNs),
    ...(segments > 0 && { segment_count: segments }),
    ...(files.length > 0 && { files: files.map((file) => fileEntry(file, facts)) }),
    ...(playlists.length > 0 && { playlists }),
    ...(images.length > 0 && {
      images: images.map(({ filename, location, wallMs }) => ({
        ...{ filename, timestamp: new Date(wallMs).toISOString(), location },
      })),
    }),
    // Ours. The one clock: two egresses of a room are lined up by the difference of these.
    clock_started_at: new Date(epochMs).toISOString(),
    ...(log.gaps.length > 0 && { gaps: log.gaps.map((gap) => gapEntry(gap)) }),
    ...markers(log.events, epochMs),
  };
  return `${JSON.stringify(manifest, undefined, 2)}\n`;
}

function source({ plan, tracks }: ManifestFacts): Record<string, string> {
  const { source: from } = plan;
  // As EgressInfo shows it: the manifest lies where others read.
  if (from.type === 'web') return { url: redactUrl(from.url) };
  if (from.type === 'participant') return { publisher_identity: from.identity };
  if (from.type !== 'tracks') return {};
  const audio = from.audioTrackId;
  const video = from.videoTrackId;
  const first = tracks.find(({ track }) => track.kind === 'video') ?? tracks[0];
  const publisher = first && { publisher_identity: first.identity };
  if (audio !== undefined && video !== undefined)
    return { ...publisher, audio_track_id: audio, video_track_id: video };
  return {
    ...publisher,
    track_id: video ?? audio ?? '',
    track_kind: video === undefined ? 'audio' : 'video',
    ...(first && { track_source: first.track.source }),
  };
}

function fileEntry(file: ManifestFile, { epochMs, log, tracks }: ManifestFacts): Record<string, unknown> {
  const { filename, location, bytes, startNs, durationNs, storyboard } = file;
  return {
    ...{ filename, location, size: bytes },
    started_at: Math.round(epochMs * 1e6 + startNs),
    duration: Math.round(durationNs),
    ...clocks(log.events, tracks, startNs),
    ...(storyboard && { storyboard }),
  };
}

/**
 * What each publisher's own clock showed at the file's first frame, s: of two files with tracks of one publisher the
 * difference is how much later one begins, to a few milliseconds, whenever and on whichever machine each was recorded.
 */
function clocks(
  events: readonly EventLine[],
  tracks: readonly WantedTrack[],
  startNs: number,
): Record<string, unknown> {
  // What is told last is known best.
  const last = new Map(
    events.flatMap(({ name, data }) =>
      name === 'clock' && data ? [[String(data.trackId), BigInt(String(data.atZeroNs))]] : [],
    ),
  );
  if (last.size === 0) return {};
  return {
    publisher_clocks: [...last].map(([trackId, atZeroNs]) => ({
      track_id: trackId,
      ...publisherOf(tracks, trackId),
      started_at_seconds: Number(atZeroNs + BigInt(Math.round(startNs))) / 1e9,
    })),
  };
}

function publisherOf(tracks: readonly WantedTrack[], trackId: string): Record<string, string> {
  const found = tracks.find(({ track }) => track.trackId === trackId);
  return found ? { publisher_identity: found.identity, track_kind: found.track.kind } : {};
}

function gapEntry({ startNs, endNs, reason }: GapLine): Record<string, unknown> {
  return { from_seconds: startNs / 1e9, to_seconds: endNs / 1e9, reason };
}

function markers(events: readonly EventLine[], epochMs: number): Record<string, unknown> {
  const found = events.filter(({ name }) => name === 'marker');
  if (found.length === 0) return {};
  return {
    markers: found.map(({ atNs, data }) => ({
      ...{ ...data, at_seconds: atNs / 1e9, time: new Date(epochMs + atNs / 1e6).toISOString() },
    })),
  };
}
