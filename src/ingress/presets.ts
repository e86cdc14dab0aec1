/**
 * What is encoded when an ingress encodes: LiveKit's presets and defaults, number for number (livekit/ingress
 * pkg/params), and how layers fit a source. Pure.
 */
import {
  IngressAudioEncodingPreset,
  IngressVideoEncodingPreset,
  VideoCodec,
  VideoQuality,
} from '@livekit/protocol';
import type {
  IngressAudioEncodingOptions,
  IngressAudioOptions,
  IngressVideoEncodingOptions,
  IngressVideoOptions,
} from '@livekit/protocol';
import type { LayerSettings } from '../../pipelines/shared/ingress-protocol.ts';

/** Pixels, even; bit/s. */
export type VideoLayerSize = Omit<LayerSettings, 'ssrc'>;

export interface VideoEncodingChoice {
  codec: 'h264' | 'vp8';
  /** Frames a second at most. */
  framerate: number;
  /** Smallest first; boxes a source is fitted into. */
  layers: readonly VideoLayerSize[];
}

export interface AudioEncodingChoice {
  codec: 'opus';
  /** bit/s. */
  bitrate: number;
  channels: 1 | 2;
  dtx: boolean;
}

const layer = (width: number, height: number, bitrate: number): VideoLayerSize => ({
  width,
  height,
  bitrate,
});

/** What a layer's bitrate is taken from when a request names none: 1080p30 at 3.5 Mbit/s. */
const REFERENCE = { ...layer(1920, 1080, 3_500_000), framerate: 30 };

/** bit/s: a picture with more pixels or frames needs more, but not in proportion. */
function bitrateFor(
  reference: VideoLayerSize & { framerate: number },
  target: { width: number; height: number; framerate: number },
): number {
  const area = (target.width * target.height) / (reference.width * reference.height);
  const ratio = (target.framerate / reference.framerate) ** 0.75 * area ** 0.75;
  return Math.trunc(reference.bitrate * ratio);
}

/** `top`, and below it layers of half the size each. */
function ladder(top: VideoLayerSize, count: 1 | 2 | 3): VideoLayerSize[] {
  return Array.from({ length: count }, (_, below) => {
    if (below === 0) return top;
    const [width, height] = [top.width >> below, top.height >> below];
    return layer(width, height, bitrateFor({ ...top, framerate: 1 }, { width, height, framerate: 1 }));
  }).reverse();
}

const preset = (framerate: number, top: VideoLayerSize, count: 1 | 2 | 3): VideoEncodingChoice => ({
  codec: 'h264',
  framerate,
  layers: ladder(top, count),
});

const P = IngressVideoEncodingPreset;
const DEFAULT_VIDEO = preset(30, layer(1280, 720, 1_900_000), 3);

const VIDEO_PRESETS: ReadonlyMap<IngressVideoEncodingPreset, VideoEncodingChoice> = new Map([
  [P.H264_720P_30FPS_3_LAYERS, DEFAULT_VIDEO],
  [P.H264_1080P_30FPS_3_LAYERS, preset(30, layer(1920, 1080, 3_500_000), 3)],
  [P.H264_540P_25FPS_2_LAYERS, preset(25, layer(960, 540, 1_000_000), 2)],
  [P.H264_720P_30FPS_1_LAYER, preset(30, layer(1280, 720, 1_900_000), 1)],
  [P.H264_1080P_30FPS_1_LAYER, preset(30, layer(1920, 1080, 3_500_000), 1)],
  [P.H264_720P_30FPS_3_LAYERS_HIGH_MOTION, preset(30, layer(1280, 720, 2_500_000), 3)],
  [P.H264_1080P_30FPS_3_LAYERS_HIGH_MOTION, preset(30, layer(1920, 1080, 4_500_000), 3)],
  [P.H264_540P_25FPS_2_LAYERS_HIGH_MOTION, preset(25, layer(960, 540, 1_300_000), 2)],
  [P.H264_720P_30FPS_1_LAYER_HIGH_MOTION, preset(30, layer(1280, 720, 2_500_000), 1)],
  [P.H264_1080P_30FPS_1_LAYER_HIGH_MOTION, preset(30, layer(1920, 1080, 4_500_000), 1)],
]);

const AUDIO_PRESETS: ReadonlyMap<IngressAudioEncodingPreset, AudioEncodingChoice> = new Map([
  [
    IngressAudioEncodingPreset.OPUS_STEREO_96KBPS,
    { codec: 'opus', bitrate: 96_000, channels: 2, dtx: true } as const,
  ],
  [
    IngressAudioEncodingPreset.OPUS_MONO_64KBS,
    { codec: 'opus', bitrate: 64_000, channels: 1, dtx: true } as const,
  ],
]);

/** Of what a request says, which has been validated. @throws RangeError for a preset nobody knows */
export function videoEncoding(options: IngressVideoOptions | undefined): VideoEncodingChoice {
  const asked = options?.encodingOptions;
  if (asked?.case === 'options') return customVideo(asked.value);
  return known(VIDEO_PRESETS, asked?.value ?? P.H264_720P_30FPS_3_LAYERS);
}

/** Of what a request says, which has been validated. @throws RangeError for a preset nobody knows */
export function audioEncoding(options: IngressAudioOptions | undefined): AudioEncodingChoice {
  const asked = options?.encodingOptions;
  if (asked?.case === 'options') return customAudio(asked.value);
  return known(AUDIO_PRESETS, asked?.value ?? IngressAudioEncodingPreset.OPUS_STEREO_96KBPS);
}

function known<P extends number, T>(presets: ReadonlyMap<P, T>, name: P): T {
  const found = presets.get(name);
  if (found === undefined) throw new RangeError(`there is no preset ${name}`);
  return found;
}

const QUALITIES = [VideoQuality.LOW, VideoQuality.MEDIUM, VideoQuality.HIGH];

function customVideo({ videoCodec, frameRate, layers }: IngressVideoEncodingOptions): VideoEncodingChoice {
  const framerate = frameRate > 0 ? frameRate : REFERENCE.framerate;
  return {
    codec: videoCodec === VideoCodec.VP8 ? 'vp8' : 'h264',
    framerate,
    layers:
      layers.length === 0
        ? ladder(layer(1280, 720, 1_700_000), 3)
        : QUALITIES.flatMap((quality) => layers.filter((each) => each.quality === quality)).map(
            ({ width, height, bitrate }) =>
              layer(width, height, bitrate || bitrateFor(REFERENCE, { width, height, framerate })),
          ),
  };
}

function customAudio(options: IngressAudioEncodingOptions): AudioEncodingChoice {
  const channels = options.channels === 1 ? 1 : 2;
  const bitrate = options.bitrate || (channels === 1 ? 64_000 : 96_000);
  return { codec: 'opus', bitrate, channels, dtx: !options.disableDtx };
}
