/** Encoding options of CreateIngress and UpdateIngress: LiveKit's rules and words, and the limits of our encoders. */
import {
  AudioCodec,
  IngressAudioEncodingPreset,
  IngressVideoEncodingPreset,
  TrackSource,
  VideoCodec,
  VideoQuality,
} from '@livekit/protocol';
import type {
  IngressAudioEncodingOptions,
  IngressAudioOptions,
  IngressVideoEncodingOptions,
  IngressVideoOptions,
  VideoLayer,
} from '@livekit/protocol';
import { invalidAudio, invalidIngress, invalidVideo } from './errors.ts';

const MAX_FRAMERATE = 120;
/** Pixels a side. */
const SIDE = { min: 16, max: 4096 };
/** bit/s. */
const VIDEO_BITRATE = { min: 10_000, max: 100_000_000 };
/** bit/s, Opus' own limits. */
const AUDIO_BITRATE = { min: 6_000, max: 510_000 };

const VIDEO_SOURCES = [TrackSource.UNKNOWN, TrackSource.CAMERA, TrackSource.SCREEN_SHARE];
const AUDIO_SOURCES = [TrackSource.UNKNOWN, TrackSource.MICROPHONE, TrackSource.SCREEN_SHARE_AUDIO];
const VIDEO_CODECS = [VideoCodec.DEFAULT_VC, VideoCodec.H264_BASELINE, VideoCodec.VP8];
const AUDIO_CODECS = [AudioCodec.DEFAULT_AC, AudioCodec.OPUS];
/** Smallest first. */
const QUALITIES = [VideoQuality.LOW, VideoQuality.MEDIUM, VideoQuality.HIGH];

/** @throws RequestError */
export function checkVideoOptions(options: IngressVideoOptions | undefined): void {
  if (options === undefined) return;
  if (!VIDEO_SOURCES.includes(options.source)) {
    throw invalidVideo('invalid track source: CAMERA or SCREEN_SHARE');
  }
  const { encodingOptions } = options;
  if (encodingOptions.case === 'preset' && !(encodingOptions.value in IngressVideoEncodingPreset)) {
    throw invalidVideo('invalid preset');
  }
  if (encodingOptions.case === 'options') checkVideoEncoding(encodingOptions.value);
}

function checkVideoEncoding({ frameRate, videoCodec, layers }: IngressVideoEncodingOptions): void {
  if (!(frameRate >= 0 && frameRate <= MAX_FRAMERATE)) {
    throw invalidVideo(`invalid framerate: 0 (the default, 30) to ${MAX_FRAMERATE}`);
  }
  if (!VIDEO_CODECS.includes(videoCodec)) {
    throw invalidVideo('video codec unsupported: H264_BASELINE (the default) or VP8');
  }
  const byQuality = new Map<VideoQuality, VideoLayer>();
  for (const layer of layers) {
    checkLayer(layer);
    if (byQuality.has(layer.quality)) throw invalidVideo('more than one layer with the same quality level');
    byQuality.set(layer.quality, layer);
  }
  let below: Pick<VideoLayer, 'width' | 'height'> = { width: 0, height: 0 };
  for (const layer of QUALITIES.flatMap((quality) => byQuality.get(quality) ?? [])) {
    for (const side of ['height', 'width'] as const) {
      if (layer[side] < below[side]) {
        throw invalidVideo(`video layers do not have increasing ${side} with increasing quality`);
      }
    }
    below = layer;
  }
}

function checkLayer({ width, height, quality, bitrate }: VideoLayer): void {
  if (width === 0 || height === 0) throw invalidVideo('invalid output media dimensions');
  for (const [side, length] of Object.entries({ width, height })) {
    if (length % 2 === 1) throw invalidIngress(`layer ${side} must be even`);
    if (length < SIDE.min || length > SIDE.max) {
      throw invalidVideo(`layer ${side} is ${length}: ${SIDE.min} to ${SIDE.max} pixels`);
    }
  }
  if (!QUALITIES.includes(quality)) throw invalidVideo('quality of a layer is LOW, MEDIUM or HIGH');
  if (bitrate !== 0 && (bitrate < VIDEO_BITRATE.min || bitrate > VIDEO_BITRATE.max)) {
    throw invalidVideo(
      `bitrate of a layer is ${bitrate}: ${VIDEO_BITRATE.min} to ${VIDEO_BITRATE.max} bit/s`,
    );
  }
}

/** @throws RequestError */
export function checkAudioOptions(options: IngressAudioOptions | undefined): void {
  if (options === undefined) return;
  if (!AUDIO_SOURCES.includes(options.source)) {
    throw invalidAudio('invalid track source: MICROPHONE or SCREEN_SHARE_AUDIO');
  }
  const { encodingOptions } = options;
  if (encodingOptions.case === 'preset' && !(encodingOptions.value in IngressAudioEncodingPreset)) {
    throw invalidAudio('invalid preset');
  }
  if (encodingOptions.case === 'options') checkAudioEncoding(encodingOptions.value);
}

function checkAudioEncoding({ audioCodec, channels, bitrate }: IngressAudioEncodingOptions): void {
  if (!AUDIO_CODECS.includes(audioCodec)) throw invalidAudio('audio codec unsupported: OPUS');
  if (channels > 2) throw invalidAudio('invalid audio channel count: 1 or 2');
  if (bitrate !== 0 && (bitrate < AUDIO_BITRATE.min || bitrate > AUDIO_BITRATE.max)) {
    throw invalidAudio(`bitrate is ${bitrate}: ${AUDIO_BITRATE.min} to ${AUDIO_BITRATE.max} bit/s`);
  }
}
