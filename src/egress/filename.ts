/** Names of files, playlists and segments from LiveKit's templates. Pure; the result stays inside its folder. */
import type { SegmentsOutput } from './plan/types.ts';

/** What stands for the placeholders. */
export interface NameValues {
  roomName: string;
  roomId: string;
  /** Wall clock of the request, ms since the epoch: the same in every attempt. */
  createdAtMs: number;
  /** What an unnamed output is called after: the room's name, or the track's id for StartTrackEgress. */
  identifier: string;
  /** `{retry}`, 0 unless the egress was started again. */
  retryCount?: number;
  /** `{publisher_identity}`, known for track and track composite. */
  publisherIdentity?: string;
  /** `{track_id}`, `{track_type}` and `{track_source}`, known for StartTrackEgress. */
  track?: { id: string; kind: 'audio' | 'video'; source: string };
}

/** Extensions that are replaced when they are not the right one; others are part of the name. */
const KNOWN_EXTENSIONS = ['.raw', '.ogg', '.mp3', '.ivf', '.mp4', '.ts', '.webm', '.m3u8', '.jpeg'];

/** Bytes of one part of a path. File systems allow 255; suffixes (`_00000.ts`, temporary names) need some. */
const MAX_PART_BYTES = 200;
/** Bytes of a whole key; S3 allows 1024. */
const MAX_PATH_BYTES = 900;

// eslint-disable-next-line no-control-regex -- control characters are what is looked for
const CONTROL = /[\u0000-\u001f\u007f]/;

/** `20060102150405` and `2006-01-02T150405`, in UTC. */
function stamps(ms: number): { compact: string; time: string; millis: string } {
  const iso = new Date(ms).toISOString();
  const time = iso.slice(0, 19).replaceAll(':', '');
  return { compact: time.replace(/[-T]/g, ''), time, millis: iso.slice(20, 23) };
}

/** A value from outside as part of a path: it makes no folders, is no `..`, and holds nothing unprintable. */
function asPart(value: string): string {
  const safe = value.replace(new RegExp(CONTROL, 'g'), '_').replace(/[/\\]/g, '_');
  return /^\.*$/.test(safe) ? safe.replaceAll('.', '_') : safe;
}

function fill(template: string, values: NameValues): string {
  const { compact, time, millis } = stamps(values.createdAtMs);
  const known: Record<string, string | undefined> = {
    room_id: values.roomId,
    room_name: values.roomName,
    time,
    utc: compact + millis,
    retry: String(values.retryCount ?? 0),
    publisher_identity: values.publisherIdentity,
    track_id: values.track?.id,
    track_type: values.track?.kind,
    track_source: values.track?.source,
  };
  return template.replace(/\{([a-z_]+)\}/g, (placeholder, name: string) => {
    const value = Object.hasOwn(known, name) ? known[name] : undefined;
    return value === undefined ? placeholder : asPart(value);
  });
}

/**
 * As a path relative to its folder: no leading slash, no `.`, `..` or empty parts, slashes only. A trailing
 * slash stays; `''` means the folder itself.
 */
function normalise(path: string): string {
  const parts = path.replaceAll('\\', '/').split('/');
  const kept: string[] = [];
  for (const part of parts) {
    if (part === '..') kept.pop();
    else if (part !== '' && part !== '.') kept.push(part);
  }
  const joined = kept.join('/');
  return joined !== '' && /[\\/]$/.test(path) ? `${joined}/` : joined;
}

/** The longest beginning of at most `bytes` bytes that ends at a character. */
function shorten(text: string, bytes: number): string {
  if (Buffer.byteLength(text) <= bytes) return text;
  let kept = '';
  let used = 0;
  for (const character of text) {
    used += Buffer.byteLength(character);
    if (used > bytes) break;
    kept += character;
  }
  return kept;
}

/** Cuts every part to what file systems take. */
function shortenParts(path: string): string {
  return path
    .split('/')
    .map((part) => shorten(part, MAX_PART_BYTES))
    .join('/');
}

function split(path: string): { dir: string; name: string } {
  const slash = path.lastIndexOf('/') + 1;
  return { dir: path.slice(0, slash), name: path.slice(slash) };
}

function withoutKnownExtension(name: string): string {
  const dot = name.lastIndexOf('.');
  return dot > -1 && KNOWN_EXTENSIONS.includes(name.slice(dot)) ? name.slice(0, dot) : name;
}

const autoName = (values: NameValues): string => {
  const base = `${asPart(values.identifier)}-${stamps(values.createdAtMs).time}`;
  return values.retryCount ? `${base}-${values.retryCount}` : base;
};

/** Why a template cannot be a name, or undefined when it can: for messages, before anything runs. */
export function templateProblem(template: string): string | undefined {
  if (CONTROL.test(template)) return 'it holds a control character';
  if (Buffer.byteLength(template) > MAX_PATH_BYTES) return `it is longer than ${MAX_PATH_BYTES} bytes`;
  const long = template.split(/[\\/]/).find((part) => Buffer.byteLength(part) > MAX_PART_BYTES);
  return long === undefined ? undefined : `a part of it is longer than ${MAX_PART_BYTES} bytes`;
}

/**
 * Where a file goes, relative to the storage's root.
 *
 * An empty template, or one that ends with a slash, names the file `{identifier}-{time}`. The extension is
 * added; one that is known and not right is replaced.
 *
 * @param extension with its dot, e.g. `.mp4`.
 */
export function fileName(template: string, values: NameValues, extension: string): string {
  const path = normalise(fill(template, values));
  const { dir, name } = split(path);
  const base =
    name === ''
      ? autoName(values)
      : name.endsWith(extension)
        ? name.slice(0, -extension.length)
        : withoutKnownExtension(name);
  return `${shortenParts(dir)}${shorten(base || autoName(values), MAX_PART_BYTES)}${extension}`;
}

/**
 * What an images output's names begin with, relative to the storage's root: outputs/images makes the names of it. An
 * empty template, or one that ends with a slash, is named as {@link fileName} does.
 */
export function imagePrefix(template: string, values: NameValues): string {
  const { dir, name } = split(normalise(fill(template, values)));
  const base = withoutKnownExtension(name) || autoName(values);
  return shortenParts(dir) + shorten(base, MAX_PART_BYTES);
}

/** Where an HLS output's files go, relative to the storage's root. */
export interface SegmentNames {
  /** Folder of the playlists, `''` or with a trailing slash. */
  dir: string;
  /** In `dir`, e.g. `live.m3u8`. */
  playlist: string;
  /** In `dir`; undefined: no live playlist. */
  livePlaylist: string | undefined;
  /** Relative to `dir`, may hold folders: outputs/hls makes the segments' names of it. */
  segmentPrefix: string;
}

/** Thrown by {@link segmentNames} for names that contradict each other. */
export class NameConflict extends Error {
  readonly field = 'live_playlist_name';
  constructor(message: string) {
    super(message);
    this.name = 'NameConflict';
  }
}

type SegmentTemplates = Pick<SegmentsOutput, 'filenamePrefix' | 'playlistName' | 'livePlaylistName'>;

/**
 * LiveKit's rules: the playlist is called after the prefix, or `{identifier}-{time}`, when it has no name; the
 * prefix after the playlist; segments live in the playlist's folder, or below it.
 *
 * @throws NameConflict
 */
export function segmentNames(output: SegmentTemplates, values: NameValues): SegmentNames {
  const parts = (template: string) => split(shortenParts(normalise(fill(template, values))));
  const playlist = parts(output.playlistName);
  const live = parts(output.livePlaylistName);
  const segment = parts(output.filenamePrefix);

  if (live.dir !== '' && live.dir !== playlist.dir) {
    throw new NameConflict('live_playlist_name must be in same directory as playlist_name');
  }
  let { dir } = playlist;
  let segmentDir = segment.dir;
  if (segmentDir !== '' && (dir === '' || dir === segmentDir)) {
    dir = segmentDir;
    segmentDir = '';
  }
  const name = withoutKnownExtension(playlist.name) || segment.name || autoName(values);
  const liveName = withoutKnownExtension(live.name);
  if (liveName === name) throw new NameConflict('live_playlist_name cannot be identical to playlist_name');
  return {
    dir,
    playlist: `${name}.m3u8`,
    livePlaylist: liveName === '' ? undefined : `${liveName}.m3u8`,
    segmentPrefix: segmentDir + (segment.name || name),
  };
}
