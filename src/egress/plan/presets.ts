/** What is encoded when a request does not say: LiveKit's defaults and presets. */
import { EncodingOptionsPreset } from '@livekit/protocol';
import type { AudioEncoding, VideoEncoding } from '../../../pipelines/shared/protocol.ts';

/** What a preset decides; bitrate in kbit/s. */
export type PresetPicture = Pick<VideoEncoding, 'width' | 'height' | 'framerate' | 'bitrate'>;

const picture = (width: number, height: number, framerate: number, bitrate: number): PresetPicture => ({
  width,
  height,
  framerate,
  bitrate,
});

/** Presets that encode. `PASSTHROUGH` does not, and is only for the unified StartEgress. */
const PRESETS: ReadonlyMap<EncodingOptionsPreset, PresetPicture> = new Map([
  [EncodingOptionsPreset.H264_720P_30, picture(1280, 720, 30, 3000)],
  [EncodingOptionsPreset.H264_720P_60, picture(1280, 720, 60, 4500)],
  [EncodingOptionsPreset.H264_1080P_30, picture(1920, 1080, 30, 4500)],
  [EncodingOptionsPreset.H264_1080P_60, picture(1920, 1080, 60, 6000)],
  [EncodingOptionsPreset.PORTRAIT_H264_720P_30, picture(720, 1280, 30, 3000)],
  [EncodingOptionsPreset.PORTRAIT_H264_720P_60, picture(720, 1280, 60, 4500)],
  [EncodingOptionsPreset.PORTRAIT_H264_1080P_30, picture(1080, 1920, 30, 4500)],
  [EncodingOptionsPreset.PORTRAIT_H264_1080P_60, picture(1080, 1920, 60, 6000)],
]);

/** @returns undefined for a value that is no encoding preset. */
export function presetPicture(preset: EncodingOptionsPreset): PresetPicture | undefined {
  return PRESETS.get(preset);
}

/** x264's speed: what a 720p30 composite affords on half a core. */
export const X264_PRESET = 'veryfast';

/**
 * Seconds between keyframes unless the request says otherwise. LiveKit takes 4 for streams and leaves files to
 * the encoder; here the log is cut at keyframes, and a destination that comes back waits for one.
 */
export const DEFAULT_KEY_FRAME_INTERVAL = 2;

export const DEFAULT_VIDEO: Readonly<VideoEncoding> = {
  codec: 'h264',
  profile: 'main',
  ...picture(1280, 720, 30, 3000),
  keyFrameInterval: DEFAULT_KEY_FRAME_INTERVAL,
  preset: X264_PRESET,
};

export const DEFAULT_AUDIO: Readonly<AudioEncoding> = {
  codec: 'aac',
  bitrate: 128,
  frequency: 44_100,
  channels: 2,
};
