/**
 * Which codecs a plan's outputs need, and which kind of file each becomes. The segment log has one picture and one
 * sound, that every output is made of: what cannot go together is refused here, by its name. Pure.
 */
import { AudioCodec, VideoCodec } from '@livekit/protocol';
import type { AudioEncoding, Container, VideoEncoding } from '../../../pipelines/shared/protocol.ts';
import { isMpeg1 } from '../../../pipelines/shared/encoders.ts';
import type { EgressPlan, FileOutput } from './types.ts';
import type { EncodingChoice } from '../request/encoding.ts';
import { invalid } from '../request/errors.ts';

type FileKind = Exclude<FileOutput['fileType'], 'auto'>;

/** What each kind of file takes; the first is what it gets unless the request says. */
const TAKES: Readonly<
  Record<FileKind, { video: readonly VideoEncoding['codec'][]; audio: readonly AudioEncoding['codec'][] }>
> = {
  mp4: { video: ['h264'], audio: ['aac', 'opus'] },
  webm: { video: ['vp8', 'vp9'], audio: ['opus'] },
  ogg: { video: [], audio: ['opus'] },
  mp3: { video: [], audio: ['mp3'] },
};

/** Sampling rates Opus knows (RFC 6716, section 2), Hz. */
const OPUS_FREQUENCIES = [8000, 12_000, 16_000, 24_000, 48_000];
/** kbit/s of MP3, of MPEG-1 and of MPEG-2, as far as the encoder takes them. */
const MP3_BITRATES = {
  high: [32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320],
  low: [8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160],
};

/** What the request says itself; undefined where it leaves the choice to us. */
interface Asked {
  video: VideoEncoding['codec'] | undefined;
  audio: AudioEncoding['codec'] | undefined;
  /** Hz. */
  frequency: number | undefined;
  /** It has encoding options at all. */
  options: boolean;
}

const AUDIO_CODECS: ReadonlyMap<AudioCodec, AudioEncoding['codec']> = new Map([
  [AudioCodec.AAC, 'aac'],
  [AudioCodec.OPUS, 'opus'],
  [AudioCodec.AC_MP3, 'mp3'],
]);

function askedOf(choice: EncodingChoice, options: EgressPlan['options']): Asked {
  const advanced = choice.case === 'advanced' ? choice.value : undefined;
  const codec = advanced?.videoCodec ?? VideoCodec.DEFAULT_VC;
  const named = codec === VideoCodec.DEFAULT_VC ? undefined : codec === VideoCodec.VP8 ? 'vp8' : 'h264';
  if (named !== undefined && options.video_codec !== undefined && named !== options.video_codec) {
    throw invalid('options.video_codec', `it is ${options.video_codec}, and video_codec names another one`);
  }
  return {
    options: choice.case !== undefined,
    video: options.video_codec ?? named,
    audio: AUDIO_CODECS.get(advanced?.audioCodec ?? AudioCodec.DEFAULT_AC),
    frequency: advanced?.audioFrequency === 0 ? undefined : advanced?.audioFrequency,
  };
}

/** Why a file of a kind cannot be made of what is asked for; undefined when it can. */
function misfit(kind: FileKind, plan: EgressPlan, asked: Asked): { field: string; why: string } | undefined {
  const { video, audio } = TAKES[kind];
  const name = kind === 'webm' ? 'WebM' : kind.toUpperCase();
  if (plan.video && video.length === 0) {
    return { field: 'file_type', why: `${name} holds no picture; use MP4, or ask for sound alone` };
  }
  if (plan.video && asked.video !== undefined && !video.includes(asked.video)) {
    const codec = asked.video.toUpperCase();
    return { field: 'video_codec', why: `${codec} does not go into ${name}; it takes ${list(video)}` };
  }
  if (plan.audio && asked.audio !== undefined && !audio.includes(asked.audio)) {
    const codec = asked.audio.toUpperCase();
    return { field: 'audio_codec', why: `${codec} does not go into ${name}; it takes ${list(audio)}` };
  }
  return undefined;
}

const list = (codecs: readonly string[]): string => codecs.map((codec) => codec.toUpperCase()).join(' or ');

/** Whether something is sent or cut while it is recorded: that is MPEG-TS, FLV or fMP4, with H.264 and AAC. */
function isLive({ outputs }: EgressPlan): boolean {
  return outputs.some(
    (output) => output.type === 'segments' || (output.type === 'stream' && output.protocol !== 'websocket'),
  );
}

/** A file whose kind was left open: its name's extension if that fits, else what the codecs go into. */
function kindFor(file: FileOutput, plan: EgressPlan, asked: Asked): FileKind {
  const extension = /\.(mp4|webm|ogg|mp3)$/.exec(file.filepath)?.[1] as FileKind | undefined;
  if (extension !== undefined && !misfit(extension, plan, asked) && !(extension === 'webm' && isLive(plan))) {
    return extension;
  }
  if (plan.video) return asked.video === 'vp8' || asked.video === 'vp9' ? 'webm' : 'mp4';
  if (asked.audio === 'mp3') return 'mp3';
  return asked.audio === 'aac' || isLive(plan) ? 'mp4' : 'ogg';
}

function checkLive(asked: Asked, kinds: readonly FileKind[]): void {
  if (asked.video !== undefined && asked.video !== 'h264') {
    const codec = asked.video.toUpperCase();
    throw invalid('video_codec', `${codec} goes into WebM files only; segments and streams take H264`);
  }
  if (asked.audio !== undefined && asked.audio !== 'aac') {
    const codec = asked.audio.toUpperCase();
    throw invalid('audio_codec', `${codec} goes into files only; segments and streams take AAC`);
  }
  if (kinds.includes('webm')) {
    throw invalid('file_type', 'WebM cannot be made beside segments and streams; use MP4');
  }
}

function videoFor(video: VideoEncoding, kinds: readonly FileKind[], asked: Asked): VideoEncoding {
  const codec = asked.video ?? (kinds.includes('webm') ? 'vp8' : 'h264');
  return { ...video, codec };
}

function audioFor(
  audio: AudioEncoding,
  live: boolean,
  kinds: readonly FileKind[],
  asked: Asked,
): AudioEncoding {
  const [kind] = kinds;
  const codec = live ? 'aac' : (asked.audio ?? (kind ? TAKES[kind].audio[0] : undefined) ?? 'aac');
  if (codec === 'opus') {
    const frequency = asked.frequency ?? 48_000;
    if (!OPUS_FREQUENCIES.includes(frequency)) {
      throw invalid(
        'audio_frequency',
        `Opus has no ${frequency} Hz; use one of ${OPUS_FREQUENCIES.join(', ')}`,
      );
    }
    return { ...audio, codec, frequency };
  }
  if (codec === 'mp3') {
    const rates = isMpeg1(audio.frequency) ? MP3_BITRATES.high : MP3_BITRATES.low;
    if (!rates.includes(audio.bitrate)) {
      throw invalid(
        'audio_bitrate',
        `MP3 of ${audio.frequency} Hz has no ${audio.bitrate} kbit/s; use one of ${rates.join(', ')}`,
      );
    }
  }
  return { ...audio, codec, ...(codec === 'aac' && asked.options && { exact: true }) };
}

/** A product of decimals that should be whole may lie this much below. */
const ROUNDING = 1e-6;

/**
 * Keyframes a whole number of frames apart, such that a segment is exactly as long as it was asked for: the interval
 * is made shorter until it fits, and is never longer than it was asked for, but for a frame at least.
 */
function exactKeyFrames(video: VideoEncoding, { outputs }: EgressPlan): VideoEncoding {
  const segments = outputs.find((output) => output.type === 'segments');
  if (!segments) return video;
  const frames = segments.segmentDuration * Math.round(video.framerate);
  const wanted = Math.max(1, Math.floor(video.keyFrameInterval * video.framerate + ROUNDING));
  let parts = Math.ceil(frames / wanted);
  while (frames % parts !== 0 && parts < frames) parts++;
  return { ...video, keyFrameInterval: frames / parts / Math.round(video.framerate) };
}

/**
 * The plan with every file's kind and both codecs decided.
 * @param ownKind the file is the track's own kind (Track egress): decided when its codec is seen
 * @throws RequestError
 */
export function settleCodecs(plan: EgressPlan, choice: EncodingChoice, ownKind: boolean): EgressPlan {
  if (ownKind) {
    // Sound that cannot be copied becomes Opus in OGG.
    return plan.audio && !plan.video
      ? { ...plan, audio: { ...plan.audio, codec: 'opus', frequency: 48_000 } }
      : plan;
  }
  const asked = askedOf(choice, plan.options);
  const outputs = plan.outputs.map((output) => {
    if (output.type !== 'file') return output;
    const fileType = output.fileType === 'auto' ? kindFor(output, plan, asked) : output.fileType;
    const wrong = misfit(fileType, plan, asked);
    if (wrong) throw invalid(wrong.field, wrong.why);
    return { ...output, fileType };
  });
  const kinds = outputs.flatMap((output) => (output.type === 'file' ? [output.fileType] : []));
  const live = isLive(plan);
  if (live) checkLive(asked, kinds);
  return {
    ...plan,
    outputs,
    // A codec of its own is a wish to encode.
    choice: plan.options.video_codec === undefined ? plan.choice : { program: 'composite' },
    video: plan.video && exactKeyFrames(videoFor(plan.video, kinds, asked), plan),
    audio: plan.audio && audioFor(plan.audio, live, kinds, asked),
  };
}

/** The log's container, where both are encoded. */
export function containerFor({ video, audio }: Pick<EgressPlan, 'video' | 'audio'>): Container {
  const isTs = (video?.codec ?? 'h264') === 'h264' && (audio?.codec ?? 'aac') === 'aac';
  return isTs ? 'mpegts' : 'matroska';
}
