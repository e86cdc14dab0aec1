/** Chunks as the pipeline program writes them, made by gst-launch faster than real time. */
import { mkdir, readdir } from 'node:fs/promises';
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const run = promisify(execFile);

export interface ChunkRecipe {
  /** Folder the chunks go into; made. */
  folder: string;
  run?: number;
  seconds?: number;
  /** Egress-clock second of the first frame. */
  offset?: number;
  /** `h264` (with AAC in MPEG-TS), `vp8` (with Opus in Matroska), or sound alone. */
  video?: 'h264' | 'vp8' | 'none';
  audio?: 'aac' | 'opus' | 'mp3' | 'none';
  width?: number;
  height?: number;
  /** Frames between keyframes, at 30 a second. */
  gop?: number;
  /** videotestsrc's pattern. */
  pattern?: string;
}

/** Samples of a frame, and what encodes it. */
const SOUND = {
  aac: [1024, 'avenc_aac ! aacparse'],
  opus: [960, 'opusenc'],
  mp3: [1152, 'lamemp3enc target=bitrate cbr=true bitrate=128 ! mpegaudioparse'],
} as const;

/** @returns names of the chunk files of that run, in order */
export async function makeChunks(recipe: ChunkRecipe): Promise<string[]> {
  const { folder, seconds = 6, offset = 0, video = 'h264', width = 320, height = 240, gop = 60 } = recipe;
  const number = recipe.run ?? 0;
  const audio = recipe.audio ?? (video === 'vp8' ? 'opus' : 'aac');
  const matroska = video === 'vp8' || audio === 'opus' || audio === 'mp3';
  const start = Math.round(offset * 1e9);
  await mkdir(folder, { recursive: true });
  const parts = [
    matroska ? 'matroskamux name=m streamable=true' : 'mpegtsmux name=m',
    `! multifilesink location=${folder}/r${number}-%06d.${matroska ? 'mkv' : 'ts'} next-file=key-frame`,
    'min-keyframe-distance=1900000000 post-messages=true sync=false',
  ];
  if (video !== 'none') {
    parts.push(
      `videotestsrc num-buffers=${Math.round(seconds * 30)} timestamp-offset=${start} pattern=${recipe.pattern ?? 'smpte'}`,
      `! video/x-raw,format=I420,width=${width},height=${height},framerate=30/1`,
      video === 'h264'
        ? `! x264enc tune=zerolatency speed-preset=ultrafast bitrate=300 key-int-max=${gop} ! h264parse config-interval=-1 ! video/x-h264,stream-format=byte-stream,alignment=au`
        : `! vp8enc deadline=1 cpu-used=8 keyframe-max-dist=${gop}`,
      '! queue max-size-time=0 max-size-bytes=0 max-size-buffers=0 ! m.',
    );
  }
  if (audio !== 'none') {
    const [samples, encoder] = SOUND[audio];
    parts.push(
      `audiotestsrc num-buffers=${Math.round((seconds * 48_000) / samples)} samplesperbuffer=${samples} timestamp-offset=${start}`,
      '! audio/x-raw,rate=48000,channels=2',
      `! ${encoder}`,
      '! queue max-size-time=0 max-size-bytes=0 max-size-buffers=0 ! m.',
    );
  }
  await run('gst-launch-1.0', ['-q', ...parts.join(' ').split(' ')], { timeout: 60_000 });
  return (await readdir(folder)).filter((name) => name.startsWith(`r${number}-`)).sort();
}
