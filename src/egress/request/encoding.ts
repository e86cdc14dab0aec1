/** `preset` or `advanced` of a request -> encoder settings. */
import { AudioCodec, EncodingOptionsPreset, VideoCodec } from '@livekit/protocol';
import type { EncodingOptions } from '@livekit/protocol';
import type { AudioEncoding, VideoEncoding } from '../../../pipelines/shared/protocol.ts';
import { DEFAULT_AUDIO, DEFAULT_VIDEO, presetPicture } from '../plan/presets.ts';
import { isKnownValue } from './enums.ts';
import { invalid, unimplemented } from './errors.ts';

/** The oneof `options` of every v1 request. */
export type EncodingChoice =
  | { case: 'preset'; value: EncodingOptionsPreset }
  | { case: 'advanced'; value: EncodingOptions }
  | { case: undefined; value?: undefined };

export interface Encoding {
  video: VideoEncoding;
  audio: AudioEncoding;
  /** Seconds between keyframes the request asked for. */
  requestedKeyFrameInterval: number | undefined;
}

/** Sampling rates of AAC that a mix of voices may want. */
const AUDIO_FREQUENCIES = [8000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000];

/** `value`, `fallback` when it is 0 (proto3's "not set"). @throws RequestError out of bounds. */
function within(
  field: string,
  value: number,
  fallback: number,
  min: number,
  max: number,
  unit: string,
): number {
  if (value === 0) return fallback;
  if (!Number.isFinite(value) || value < min || value > max) {
    throw invalid(field, `${value} is not allowed; use ${min} to ${max} ${unit}, or 0 for ${fallback}`);
  }
  return value;
}

function dimension(field: 'width' | 'height', value: number, fallback: number): number {
  if (value % 2 !== 0) throw invalid(field, `${value} is odd; pixels must be an even number of at least 16`);
  return within(field, value, fallback, 16, 4096, 'pixels, even');
}

/** What the codec is follows from the outputs too: see settleCodecs. */
function audioOf(options: EncodingOptions): AudioEncoding {
  if (!isKnownValue(AudioCodec, options.audioCodec)) {
    throw invalid('audio_codec', `${options.audioCodec} is not a codec; use AAC, OPUS or AC_MP3`);
  }
  const frequency = options.audioFrequency || DEFAULT_AUDIO.frequency;
  if (!AUDIO_FREQUENCIES.includes(frequency)) {
    throw invalid(
      'audio_frequency',
      `${frequency} Hz is not allowed; use one of ${AUDIO_FREQUENCIES.join(', ')}`,
    );
  }
  return {
    ...DEFAULT_AUDIO,
    frequency,
    bitrate: within('audio_bitrate', options.audioBitrate, DEFAULT_AUDIO.bitrate, 8, 512, 'kbit/s'),
  };
}

function profileOf(codec: VideoCodec): VideoEncoding['profile'] {
  switch (codec) {
    case VideoCodec.DEFAULT_VC:
    case VideoCodec.H264_MAIN:
      return 'main';
    case VideoCodec.H264_BASELINE:
      return 'baseline';
    case VideoCodec.H264_HIGH:
      return 'high';
    case VideoCodec.VP8:
      return 'main';
    default:
      throw invalid(
        'video_codec',
        `${String(codec)} is not a codec; use H264_BASELINE, H264_MAIN, H264_HIGH or VP8`,
      );
  }
}

function advanced(options: EncodingOptions): Encoding {
  const { width, height, framerate, bitrate } = DEFAULT_VIDEO;
  if (options.depth !== 0 && options.depth !== 24) {
    throw options.depth === 8 || options.depth === 16
      ? unimplemented('depth', `depth ${options.depth}`, 'use 24')
      : invalid('depth', `${options.depth} is not allowed; use 24`);
  }
  for (const field of ['audioQuality', 'videoQuality'] as const) {
    const name = field.replace('Q', '_q');
    if (options[field] !== 0) throw unimplemented(name, `${name} (deprecated)`, 'use a bitrate');
  }
  const interval = within('key_frame_interval', options.keyFrameInterval, 0, 0.1, 60, 'seconds');
  return {
    video: {
      ...DEFAULT_VIDEO,
      profile: profileOf(options.videoCodec),
      width: dimension('width', options.width, width),
      height: dimension('height', options.height, height),
      framerate: within('framerate', options.framerate, framerate, 1, 60, 'frames per second'),
      bitrate: within('video_bitrate', options.videoBitrate, bitrate, 16, 100_000, 'kbit/s'),
    },
    audio: audioOf(options),
    requestedKeyFrameInterval: interval === 0 ? undefined : interval,
  };
}

/** What of the options is about one of the two alone. */
const ABOUT = {
  picture: ['width', 'height', 'depth', 'framerate', 'videoCodec', 'videoBitrate', 'keyFrameInterval'],
  sound: ['audioCodec', 'audioBitrate', 'audioFrequency'],
} as const;

/** @throws RequestError for an option about a picture, or a sound, that is not recorded */
export function checkLegs(choice: EncodingChoice, recorded: { picture: boolean; sound: boolean }): void {
  if (choice.case !== 'advanced') return;
  for (const leg of ['picture', 'sound'] as const) {
    const asked = recorded[leg] ? undefined : ABOUT[leg].find((field) => choice.value[field] !== 0);
    if (asked === undefined) continue;
    const field = asked.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
    throw invalid(field, `no ${leg} is recorded; leave it out`);
  }
}

/** @throws RequestError */
export function encodingOf(choice: EncodingChoice): Encoding {
  switch (choice.case) {
    case undefined:
      return {
        video: { ...DEFAULT_VIDEO },
        audio: { ...DEFAULT_AUDIO },
        requestedKeyFrameInterval: undefined,
      };
    case 'preset': {
      const picture = presetPicture(choice.value);
      if (!picture) {
        const known = isKnownValue(EncodingOptionsPreset, choice.value);
        const name = known ? EncodingOptionsPreset[choice.value] : `preset ${choice.value}`;
        // A name nobody knows comes as no value at all: unknown enums are ignored, as LiveKit does.
        const value: unknown = choice.value;
        const why = value === undefined ? 'there is no such preset' : `${name} does not encode`;
        throw invalid('preset', `${why}; use H264_720P_30 or another H264 preset`);
      }
      return {
        video: { ...DEFAULT_VIDEO, ...picture },
        audio: { ...DEFAULT_AUDIO },
        requestedKeyFrameInterval: undefined,
      };
    }
    case 'advanced':
      return advanced(choice.value);
  }
}
