/** What becomes of a source's picture and sound, and why: copied where it is fit for WebRTC, else encoded. Pure. */
import type { IngressInfo } from '@livekit/protocol';
import type { InputAudio, InputVideo } from './inputs/types.ts';
import { layersFor } from './layers.ts';
import { audioEncoding, videoEncoding } from './presets.ts';
import type { AudioEncodingChoice, VideoLayerSize } from './presets.ts';

export type VideoPlan =
  | { mode: 'copy'; codec: 'h264' | 'vp8' }
  | {
      mode: 'encode';
      codec: 'h264' | 'vp8';
      /** Frames a second at most. */
      framerate: number;
      /** Smallest first. */
      layers: VideoLayerSize[];
    };

export type AudioPlan = { mode: 'copy'; codec: 'opus' } | ({ mode: 'encode' } & AudioEncodingChoice);

export interface MediaPlan {
  /** Null: the source has none. */
  video: VideoPlan | null;
  audio: AudioPlan | null;
  /** What was chosen and why, for people: `video: copied (H.264 without B-frames); audio: …`. */
  note: string;
}

export interface SourceMedia {
  video: InputVideo | undefined;
  audio: InputAudio | undefined;
}

/** Profiles browsers decode; others have more bits or more colour. */
const H264_PROFILES = /^(constrained baseline|baseline|main|high|constrained high|progressive high|)$/i;

/** Frames a second that are sent on as they are. */
const MAX_COPIED_FRAMERATE = 60;

/** A choice, and why. */
interface Choice<T> {
  plan: T;
  note: string;
}

export function planMedia(
  info: Pick<IngressInfo, 'enableTranscoding' | 'video' | 'audio'>,
  source: SourceMedia,
): MediaPlan {
  const video = source.video && planVideo(info, source.video);
  const audio = source.audio && planAudio(info, source.audio);
  const note = `video: ${video?.note ?? 'none in the source'}; audio: ${audio?.note ?? 'none in the source'}`;
  return { video: video?.plan ?? null, audio: audio?.plan ?? null, note };
}

/** Why the request wants it encoded, whatever it is. */
function wanted(
  { enableTranscoding }: Pick<IngressInfo, 'enableTranscoding'>,
  options: { encodingOptions: { case: string | undefined } } | undefined,
): string | undefined {
  if (enableTranscoding === true) return 'enable_transcoding is true';
  // Copying would ignore them.
  if (options?.encodingOptions.case !== undefined) return 'the ingress has encoding options';
  return undefined;
}

function planVideo(info: Parameters<typeof planMedia>[0], video: InputVideo): Choice<VideoPlan> {
  const fit = copyableVideo(video);
  const reason = wanted(info, info.video) ?? ('not' in fit ? fit.not : undefined);
  if (reason === undefined && 'codec' in fit) {
    return { plan: { mode: 'copy', codec: fit.codec }, note: `copied (${fit.why})` };
  }
  const choice = videoEncoding(info.video);
  const { codec, framerate } = choice;
  const layers = layersFor(choice, displayed(video));
  const many = layers.length === 1 ? 'one layer' : `${layers.length} layers`;
  return {
    plan: { mode: 'encode', codec, framerate, layers },
    note: `encoded to ${nameOf(codec)}, ${many} (${reason ?? 'not fit for copying'})`,
  };
}

function copyableVideo(video: InputVideo): { codec: 'h264' | 'vp8'; why: string } | { not: string } {
  const { codec, profile, rotation, bFrames, framerate } = video;
  if (codec !== 'h264' && codec !== 'vp8') return { not: `source is ${nameOf(codec)}` };
  if (rotation !== 0) return { not: `source is to be turned by ${rotation} degrees` };
  if (framerate !== undefined && framerate > MAX_COPIED_FRAMERATE) {
    return { not: `source has ${Math.round(framerate)} frames a second, more than ${MAX_COPIED_FRAMERATE}` };
  }
  if (codec === 'vp8') return { codec, why: 'VP8' };
  if (!H264_PROFILES.test(profile)) return { not: `source is H.264 ${profile}, which browsers do not show` };
  if (bFrames === undefined) return { not: 'source is H.264 that may have B-frames' };
  return bFrames ? { not: 'source has B-frames' } : { codec, why: 'H.264 without B-frames' };
}

/** The size people see. */
function displayed({ width, height, rotation }: InputVideo): { width: number; height: number } {
  return rotation === 90 || rotation === 270 ? { width: height, height: width } : { width, height };
}

function planAudio(info: Parameters<typeof planMedia>[0], audio: InputAudio): Choice<AudioPlan> {
  const { codec, channels } = audio;
  let reason = wanted(info, info.audio);
  if (codec !== 'opus') reason ??= `source is ${nameOf(codec)}`;
  else if (channels > 2) reason ??= `source has ${channels} channels`;
  if (reason === undefined) return { plan: { mode: 'copy', codec: 'opus' }, note: 'copied (Opus)' };
  return { plan: { mode: 'encode', ...audioEncoding(info.audio) }, note: `encoded to Opus (${reason})` };
}

const NAMES: Readonly<Record<string, string>> = {
  h264: 'H.264',
  hevc: 'HEVC',
  mpeg4: 'MPEG-4',
  mpeg2video: 'MPEG-2',
  opus: 'Opus',
  speex: 'Speex',
  vorbis: 'Vorbis',
  pcm_mulaw: 'PCMU',
  pcm_alaw: 'PCMA',
};

/** As people write it. */
function nameOf(codec: string): string {
  return Object.hasOwn(NAMES, codec) ? (NAMES[codec] ?? codec) : codec.toUpperCase();
}
