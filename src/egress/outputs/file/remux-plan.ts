/** What it takes to make a log's streams one file, and how FFmpeg is told (pure). */
import { ffmpegArguments } from '../../../pipeline/ffmpeg.ts';
import type { FfmpegCommand } from '../../../pipeline/ffmpeg.ts';
import type { SegmentLog } from '../../log/reader.ts';
import type { VideoStreamInfo } from '../../log/types.ts';

export type RemuxFormat = 'mp4' | 'webm' | 'mp3' | 'ogg';

/** What must be done to the log's streams to make them one file (pure). */
export interface RemuxPlan {
  format: RemuxFormat;
  container: SegmentLog['container'];
  /** Codec of the log's sound. */
  audioCodec: string | undefined;
  /** Encode the picture again, to this size: its parameters changed on the way. Absent: copied. */
  encodeVideo?: { width: number; height: number };
  /** Encode the sound again: its rate or channels changed on the way, or the format asks for it. */
  encodeAudio: boolean;
  /** kbit/s of sound that is encoded again. */
  audioBitrate: number;
}

const SOUND_ALONE: ReadonlySet<RemuxFormat> = new Set(['mp3', 'ogg']);
const AUDIO_BITRATE = 128;
const MP3_BITRATE = 192;

/** @param audioBitrate kbit/s of sound that has to be encoded again */
export function planRemux(log: SegmentLog, format: RemuxFormat, audioBitrate?: number): RemuxPlan {
  const pictures = log.chunks.flatMap((chunk) => chunk.video);
  const sounds = log.chunks.flatMap((chunk) => chunk.audio ?? []);
  const changes = new Set(pictures.map((info) => info.parametersHash)).size > 1;
  const soundChanges =
    new Set(sounds.map((info) => `${info.codec} ${info.sampleRate} ${info.channels}`)).size > 1;
  const audioCodec = sounds[0]?.codec;
  const soundAlone = SOUND_ALONE.has(format);
  return {
    format,
    container: log.container,
    audioCodec,
    ...(changes && !soundAlone ? { encodeVideo: canvasFor(pictures) } : {}),
    encodeAudio: soundChanges || (soundAlone && (audioCodec !== format || isBroken(log))),
    audioBitrate: audioBitrate ?? (format === 'mp3' ? MP3_BITRATE : AUDIO_BITRATE),
  };
}

/** MP3 has no times of its own: copied, what is missing would be left out of the file's length too. */
function isBroken({ chunks, gaps }: SegmentLog): boolean {
  return gaps.length > 0 || new Set(chunks.map(({ attempt, run }) => `${attempt} ${run}`)).size > 1;
}

/** The largest picture of the log, by area; even, as 4:2:0 wants it. */
function canvasFor(pictures: readonly VideoStreamInfo[]): { width: number; height: number } {
  const largest = pictures.reduce((a, b) => (b.width * b.height > a.width * a.height ? b : a));
  return { width: largest.width + (largest.width % 2), height: largest.height + (largest.height % 2) };
}

/** FFmpeg's arguments for a plan (pure). @param chaptersPath a metadata file with chapters; none without */
export function remuxArguments(plan: RemuxPlan, path: string, chaptersPath?: string): string[] {
  return ffmpegArguments((command) => {
    const input = plan.container === 'mpegts' ? 'mpegts' : 'matroska';
    // Everything is there to be read: look as far as it takes to see both streams.
    command.input('pipe:0').inputOptions('-protocol_whitelist', 'pipe');
    command.inputOptions('-analyzeduration', '60000000', '-probesize', '100000000');
    // Times are taken as they are: FFmpeg would close every gap of more than ten seconds otherwise.
    command.inputOptions('-copyts', '-f', input);
    if (chaptersPath !== undefined) {
      command.input(`file:${chaptersPath}`);
      command.inputOptions('-protocol_whitelist', 'file', '-f', 'ffmetadata');
    }
    // A name that looks like a protocol or an option is a name.
    command
      .output(`file:${path}`)
      .outputOptions('-avoid_negative_ts', 'make_zero', '-max_muxing_queue_size', '100000');
    // Without `:g` and `:s` chapters would lose their titles with it.
    for (const kind of ['g', 's']) command.outputOptions(`-map_metadata:${kind}`, '-1');
    command.outputOptions('-protocol_whitelist', 'file');
    command.outputOptions('-map_chapters', chaptersPath === undefined ? '-1' : '1');
    if (!SOUND_ALONE.has(plan.format)) addVideo(command, plan);
    addAudio(command, plan);
    if (plan.format === 'mp4') command.outputOptions('-movflags', '+faststart');
    if (plan.format === 'webm') command.outputOptions('-cues_to_front', '1');
    command.outputOptions('-f', plan.format);
  });
}

function addVideo(command: FfmpegCommand, plan: RemuxPlan): void {
  command.outputOptions('-map', '0:v:0?');
  if (!plan.encodeVideo) {
    command.outputOptions('-c:v', 'copy', '-copyinkf:v');
    return;
  }
  const { width, height } = plan.encodeVideo;
  const fit = `scale=${width}:${height}:force_original_aspect_ratio=decrease:force_divisible_by=2`;
  const filter = `${fit},pad=${width}:${height}:(ow-iw)/2:(oh-ih)/2,setsar=1,format=yuv420p`;
  // Every frame once, at its own time.
  command.outputOptions('-filter:v', filter, '-fps_mode', 'passthrough', '-enc_time_base:v', '1:90000');
  if (plan.format === 'webm') {
    command.outputOptions(
      '-c:v',
      'libvpx',
      '-deadline',
      'realtime',
      '-cpu-used',
      '4',
      '-crf',
      '10',
      '-b:v',
      '4M',
    );
  } else {
    command.outputOptions('-c:v', 'libx264', '-preset', 'veryfast', '-crf', '20');
  }
}

/** What a gap is in a file that has no times of its own is silence. */
const ENCODERS: Readonly<Record<RemuxFormat, string>> = {
  mp4: 'aac',
  webm: 'libopus',
  ogg: 'libopus',
  mp3: 'libmp3lame',
};

function addAudio(command: FfmpegCommand, plan: RemuxPlan): void {
  command.outputOptions('-map', '0:a:0?');
  if (plan.encodeAudio) {
    if (SOUND_ALONE.has(plan.format)) command.outputOptions('-vn', '-filter:a', 'aresample=async=1');
    command.outputOptions('-c:a', ENCODERS[plan.format], '-b:a', `${plan.audioBitrate}k`);
    if (plan.format === 'mp4') command.outputOptions('-ar', '48000');
    if (ENCODERS[plan.format] === 'libopus') command.outputOptions('-vbr', 'off');
  } else command.outputOptions('-c:a', 'copy');
  if (plan.format === 'mp4' && plan.audioCodec === 'aac' && !plan.encodeAudio) {
    command.outputOptions('-bsf:a', 'aac_adtstoasc');
  }
}
