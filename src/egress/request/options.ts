/**
 * Sluice's own options of an egress: what LiveKit's messages have no field for. They come with
 * `POST /twirp/sluice.Egress/StartEgress`, next to LiveKit's request, and are kept with it.
 */
import { z } from 'zod';
import { invalid } from './errors.ts';
import { issueText } from './issues.ts';
import { limitsSchema } from './limits.ts';

/** Pixels of a side, as encoders take them. */
const sideSchema = z
  .number()
  .int()
  .min(16)
  .max(4096)
  .refine((pixels) => pixels % 2 === 0, 'it has to be even');

const streamQualitySchema = z.strictObject({
  /** One of the request's stream URLs. */
  url: z.string().min(1),
  width: sideSchema.optional(),
  height: sideSchema.optional(),
  /** kbit/s. */
  video_bitrate: z.number().int().min(50).max(100_000).optional(),
});

/** How a storyboard is made; what is left out is as in STORYBOARD_DEFAULTS. */
const storyboardSchema = z.strictObject({
  /** Seconds from one picture to the next, at least. */
  interval: z.number().min(1).max(3600).exactOptional(),
  /** Of one picture, pixels. */
  width: z.int().min(32).max(640).exactOptional(),
  /** Pictures a sheet. */
  columns: z.int().min(1).max(20).exactOptional(),
  rows: z.int().min(1).max(20).exactOptional(),
});

export const hlsSchema = z.strictObject({
  /** Default `mpegts`; of low latency, `fmp4`. */
  segment_type: z.enum(['mpegts', 'fmp4']).exactOptional(),
  /** LL-HLS: parts, preload hints, playlists that can be waited for. In the local storage only. */
  low_latency: z.boolean().exactOptional(),
  /** Of low latency: what no part is longer than, s. Default 0.4. */
  part_duration: z.number().min(0.2).max(1).exactOptional(),
});

/** Strict at every level: an option nobody knows is refused by its name, never ignored. */
export const egressOptionsSchema = z.strictObject({
  /** Of segment outputs. */
  hls: hlsSchema.exactOptional(),
  /** A sprite sheet and WebVTT thumbnails beside each recording with a picture. Default none. */
  storyboard: z.union([z.boolean(), storyboardSchema]).exactOptional(),

  /** Qualities of single destinations; what is left out follows the main picture. */
  streams: z.array(streamQualitySchema).max(16).optional(),
  /** How long and how large outputs may become; the installation's own limits hold as well. */
  limits: limitsSchema.exactOptional(),
  /** Codec of an encoded picture; LiveKit's `video_codec` has no VP9. VP8 and VP9 go into WebM files. */
  video_codec: z.enum(['h264', 'vp8', 'vp9']).exactOptional(),

  /** Writes who is seen over each picture of a composite. Default false, as LiveKit's templates hide names. */
  show_names: z.boolean().optional(),
});

export type EgressOptions = z.infer<typeof egressOptionsSchema>;

/** `options.hls.low_latency`, for messages. */
function fieldOf(path: readonly PropertyKey[]): string {
  return ['options', ...path.map(String)].join('.');
}

/** @throws RequestError that names the option */
export function parseOptions(options: unknown): EgressOptions {
  const parsed = egressOptionsSchema.safeParse(options ?? {});
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  if (issue?.code === 'unrecognized_keys') {
    const known = Object.keys(egressOptionsSchema.shape).join(', ');
    throw invalid(
      fieldOf([...issue.path, issue.keys[0] ?? '']).slice(0, 200),
      `there is no such option${issue.path.length === 0 && known !== '' ? `; there are ${known}` : ''}`,
    );
  }
  throw invalid(fieldOf(issue?.path ?? []), issue ? issueText(issue) : 'it cannot be read');
}

/** Options as a record keeps them. */
export function storeOptions(options: EgressOptions): { optionsJson: string } {
  return { optionsJson: JSON.stringify(options) };
}

/** @throws RequestError when another version stored what this one does not know */
export function loadOptions({ optionsJson }: { optionsJson?: string | undefined }): EgressOptions {
  return parseOptions(optionsJson ? JSON.parse(optionsJson) : {});
}

/** The request's options, and where it leaves one out, the configuration's; groups are taken key by key. */
export function withDefaults(options: EgressOptions, defaults: EgressOptions): EgressOptions {
  const merged: Record<string, unknown> = { ...defaults };
  for (const [name, value] of Object.entries(options) as [string, unknown][]) {
    const base = merged[name];
    merged[name] = isGroup(base) && isGroup(value) ? { ...base, ...value } : value;
  }
  return parseOptions(merged);
}

function isGroup(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
