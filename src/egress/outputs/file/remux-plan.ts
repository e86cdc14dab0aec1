/** What it takes to make a log's streams one file, and how FFmpeg is told (pure). */
import { ffmpegArguments } from '../../../pipeline/ffmpeg.ts';
import type { FfmpegCommand } from '../../../pipeline/ffmpeg.ts';
import type { SegmentLog } from '../../log/reader.ts';
import type { VideoStreamInfo } from '../../log/types.ts';

export type RemuxFormat = 'mp4' | 'webm' | 'mp3';

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
}

export function planRemux(log: SegmentLog, format: RemuxFormat): RemuxPlan {
  const pictures = log.chunks.flatMap((chunk) => chunk.video);
  const sounds = log.chunks.flatMap((chunk) => chunk.audio ?? []);
  const changes = new Set(pictures.map((info) => info.parametersHash)).size > 1;
  const soundChanges =
    new Set(sounds.map((info) => `${info.codec} ${info.sampleRate} ${info.channels}`)).size > 1;
  return {
    format,
    container: log.container,
    audioCodec: sounds[0]?.codec,
    ...(changes && format !== 'mp3' ? { encodeVideo: canvasFor(pictures) } : {}),
    encodeAudio: soundChanges || format === 'mp3',
  };
}

/** The largest picture of the log, by area; even, as 4:2:0 wants it. */
function canvasFor(pictures: readonly VideoStreamInfo[]): { width: number; height: number } {
  const largest = pictures.reduce((a, b) => (b.width * b.height > a.width * a.height ? b : a));
  return { width: largest.width + (largest.width % 2), height: largest.height + (largest.height % 2) };
}

/** FFmpeg's arguments for a plan (pure). */
export function remuxArguments(plan: RemuxPlan, path: string): string[] {
  return ffmpegArguments((command) => {
    const input = plan.container === 'mpegts' ? 'mpegts' : 'matroska';
    // Everything is there to be read: look as far as it takes to see both streams.
    command.input('pipe:0').inputOptions('-protocol_whitelist', 'pipe');
    command.inputOptions('-analyzeduration', '60000000', '-probesize', '100000000');
    // Times are taken as they are: FFmpeg would close every gap of more than ten seconds otherwise.
    command.inputOptions('-copyts', '-f', input);
    // A name that looks like a protocol or an option is a name.
    command
      .output(`file:${path}`)
      .outputOptions('-avoid_negative_ts', 'make_zero', '-max_muxing_queue_size', '100000');
    command.outputOptions('-map_metadata', '-1', '-protocol_whitelist', 'file');
    if (plan.format !== 'mp3') addVideo(command, plan);
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

function addAudio(command: FfmpegCommand, plan: RemuxPlan): void {
  command.outputOptions('-map', '0:a:0?');
  if (plan.format === 'mp3') {
    // MP3 has no times of its own: a gap must become silence.
    command.outputOptions('-vn', '-filter:a', 'aresample=async=1', '-c:a', 'libmp3lame', '-b:a', '192k');
  } else if (plan.encodeAudio && plan.format === 'webm')
    command.outputOptions('-c:a', 'libopus', '-b:a', '128k');
  else if (plan.encodeAudio) command.outputOptions('-c:a', 'aac', '-b:a', '128k', '-ar', '48000');
  else command.outputOptions('-c:a', 'copy');
  if (plan.format === 'mp4' && plan.audioCodec === 'aac' && !plan.encodeAudio) {
    command.outputOptions('-bsf:a', 'aac_adtstoasc');
  }
}
