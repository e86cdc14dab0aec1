/** Pictures of a chunk as JPEG files: one FFmpeg run a chunk. */
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { ffmpegArguments, runFfmpeg } from '../../../pipeline/ffmpeg.ts';
import type { LogContainer } from '../../log/files.ts';
import { OutputError } from '../errors.ts';
import { keyFrameBytes } from './key-frame.ts';
import type { Shot } from './schedule.ts';

export interface PictureSize {
  /** Pixels; 0: as the other one and the picture's shape have it, or the picture's own. */
  width: number;
  height: number;
}

export interface GrabOptions extends PictureSize {
  /** All of one chunk, in order of time. */
  shots: readonly Shot[];
  container: LogContainer;
  /** An existing folder for temporary files. */
  scratch: string;
  logger: Logger;
  signal?: AbortSignal;
}

/** FFmpeg's scale for JPEG quality, 2 (best) to 31. */
const QUALITY = 3;
/** Moments are found to this, frames a second: a picture that stands still counts at any of them. */
const GRID = 50;
const MAX_HUNG_MS = 10_000;

/**
 * The filter that gives a picture its size: both sides named keep its shape inside black bars. JPEG is BT.601, full
 * range (JFIF 1.02), whatever the video was.
 */
export function sizeFilter({ width, height }: PictureSize): string {
  const colours = 'out_color_matrix=bt601:out_range=full';
  if (width > 0 && height > 0) {
    const fit = `scale=${width}:${height}:force_original_aspect_ratio=decrease:${colours}`;
    return `${fit},pad=${width}:${height}:(ow-iw)/2:(oh-ih)/2,setsar=1`;
  }
  const size = width > 0 ? `${width}:-1` : height > 0 ? `-1:${height}` : 'iw:ih';
  return `scale=${size}:${colours},setsar=1`;
}

/** The shots' moments of a stream whose times begin at its first frame. Pure. */
function pickFilter(shots: readonly Shot[]): string {
  const picks = shots.map(({ keyFrame, atNs, chunk }) => {
    const at = ((atNs - chunk.startNs) / 1e9).toFixed(3);
    return keyFrame ? 'eq(n,0)' : `gte(t,${at})*lt(prev_t,${at})`;
  });
  // A frame stands until the next one comes, and the last one until the chunk's end.
  return `fps=${GRID}:start_time=0,tpad=stop_mode=clone:stop_duration=60,select='${picks.join('+')}'`;
}

/**
 * Makes the images and hands each to `take`, in order; its files are gone when it answers.
 * @throws OutputError when fewer pictures can be decoded than were asked for; FfmpegError; the signal's reason
 */
export async function grabFrames(
  options: GrabOptions,
  take: (path: string, shot: Shot) => Promise<void>,
): Promise<void> {
  const { shots, container, scratch, logger, signal } = options;
  const [first] = shots;
  if (!first) return;
  const folder = await mkdtemp(join(scratch, 'images-'));
  try {
    const keyFrameOnly = shots.every(({ keyFrame }) => keyFrame);
    const { chunk } = first;
    const args = ffmpegArguments((command) => {
      // A filename of ours: an option or a protocol it is not.
      command.input(keyFrameOnly ? 'pipe:0' : `file:${chunk.path}`);
      command.inputOptions('-protocol_whitelist', keyFrameOnly ? 'pipe' : 'file');
      if (keyFrameOnly) command.inputOptions('-skip_frame', 'nokey');
      command.inputOptions('-threads', '1', '-f', container === 'mpegts' ? 'mpegts' : 'matroska');
      command.output(`file:${join(folder, '%05d.jpeg')}`);
      const size = sizeFilter(options);
      command.outputOptions('-an', '-filter_threads', '1');
      command.outputOptions('-filter:v', keyFrameOnly ? size : `${pickFilter(shots)},${size}`);
      command.outputOptions('-fps_mode', 'passthrough', '-frames:v', String(shots.length));
      command.outputOptions('-protocol_whitelist', 'file', '-threads', '1');
      command.outputOptions('-c:v', 'mjpeg', '-q:v', String(QUALITY), '-f', 'image2');
    });
    await runFfmpeg({
      ...{ args, logger, hungMs: MAX_HUNG_MS },
      ...(keyFrameOnly && { input: once(await keyFrameBytes(chunk, container)) }),
      ...(signal && { signal }),
    });
    const files = (await readdir(folder)).sort();
    if (files.length < shots.length) {
      throw new OutputError(
        'damaged',
        `${files.length} of ${shots.length} pictures of chunk ${chunk.file} can be decoded`,
      );
    }
    for (const [i, shot] of shots.entries()) await take(join(folder, files[i] ?? ''), shot);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
