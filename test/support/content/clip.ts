/** Makes small files a test publisher might have sent, with defects where a test wants them. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { Painter } from '../../../pipelines/publisher/picture.ts';
import {
  CHANNELS,
  COLORS,
  PITCHES,
  renderSound,
  SAMPLE_RATE,
  type ColorName,
} from '../../../pipelines/publisher/signal.ts';
import { runTool } from '../../../src/demo/content/tool.ts';

export interface ClipOptions {
  seconds: number;
  color?: ColorName;
  /** Of the sound, when it is not the colour's. */
  pitch?: number;
  width?: number;
  height?: number;
  fps?: number;
  /** What the frame in each place shows: a counter (by default its place) or black. */
  show?: (place: number) => number | 'black';
  /** Places left out, their time too: a hole in the timestamps. */
  leaveOut?: { from: number; to: number };
  /** Seconds the sound is late (negative: early). */
  soundLate?: number;
  /** Seconds of the file without any sound, as zeros. */
  mute?: { from: number; to: number };
  /** Arguments for FFmpeg between inputs and file; default H.264 and AAC. */
  encode?: string[];
}

const H264_AAC = [
  '-c:v',
  'libx264',
  '-preset',
  'superfast',
  '-crf',
  '26',
  '-bf',
  '0',
  '-c:a',
  'aac',
  '-b:a',
  '96k',
];

/** Writes `file`; its ending decides the container. */
export async function makeClip(file: string, options: ClipOptions): Promise<void> {
  const {
    seconds,
    color = 'red',
    width = 320,
    height = 180,
    fps = 30,
    encode = H264_AAC,
    leaveOut,
  } = options;
  const folder = await mkdtemp(join(tmpdir(), 'sluice-clip-'));
  try {
    const sound = join(folder, 'sound.pcm');
    await writeFile(sound, soundOf(options));
    const select = leaveOut ? ['-vf', `select=not(between(n\\,${leaveOut.from}\\,${leaveOut.to}))`] : [];
    await runTool(
      'ffmpeg',
      [
        ...['-v', 'error', '-y'],
        ...[
          '-f',
          'rawvideo',
          '-pix_fmt',
          'yuv420p',
          '-s',
          `${width}x${height}`,
          '-r',
          String(fps),
          '-i',
          'pipe:0',
        ],
        ...['-f', 's16le', '-ar', String(SAMPLE_RATE), '-ac', String(CHANNELS), '-i', sound],
        ...['-map', '0:v', '-map', '1:a', ...select, '-fps_mode', 'passthrough', ...encode, file],
      ],
      { input: pictures(seconds * fps, new Painter(width, height, COLORS[color]), fps, options.show) },
    );
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function* pictures(
  count: number,
  painter: Painter,
  fps: number,
  show: (place: number) => number | 'black' = (place) => place,
): Generator<Uint8Array> {
  for (let place = 0; place < count; place++) {
    const content = show(place);
    if (content === 'black') {
      const frame = new Uint8Array(painter.frame.length).fill(128);
      yield frame.fill(16, 0, (frame.length * 2) / 3);
    } else yield painter.draw(content, fps).slice();
  }
}

function soundOf({
  seconds,
  color = 'red',
  pitch = PITCHES[color],
  soundLate = 0,
  mute,
}: ClipOptions): Uint8Array {
  const late = Math.round(soundLate * SAMPLE_RATE);
  const samples = renderSound(-late, seconds * SAMPLE_RATE, pitch);
  // The clock begins at zero: nothing sounds before it.
  if (late > 0) samples.fill(0, 0, late * CHANNELS);
  if (mute) samples.fill(0, mute.from * SAMPLE_RATE * CHANNELS, mute.to * SAMPLE_RATE * CHANNELS);
  return new Uint8Array(samples.buffer);
}
