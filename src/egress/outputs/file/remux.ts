/** The MP4, WebM and MP3 views, and OGG where its sound was no Opus: the chunks' bytes joined, through FFmpeg once. */
import { stat } from 'node:fs/promises';
import { runFfmpeg } from '../../../pipeline/ffmpeg.ts';
import { joinChunks } from '../join.ts';
import { planRemux, remuxArguments } from './remux-plan.ts';
import type { RemuxFormat } from './remux-plan.ts';
import { verify } from './verify.ts';
import type { FileViewOptions, FileViewResult } from './view.ts';

/**
 * Writes the file at `path` itself.
 * @throws OutputError, FfmpegError; the signal's reason when aborted
 */
export async function remux(options: FileViewOptions, format: RemuxFormat): Promise<FileViewResult> {
  const { log, path, logger, signal, onProgress } = options;
  const plan = planRemux(log, format, options.audio?.bitrate);
  if (plan.encodeVideo)
    logger.info({ ...plan.encodeVideo }, 'parameter sets changed: encoding the whole again');
  const total = log.chunks.reduce((sum, chunk) => sum + chunk.bytes, 0);
  let read = 0;
  const messages = await runFfmpeg({
    args: remuxArguments(plan, path),
    input: joinChunks(log.chunks, log.container, (bytes) => onProgress?.((read += bytes) / total)),
    logger,
    ...(signal ? { signal } : {}),
    ...(options.hungMs === undefined ? {} : { hungMs: options.hungMs }),
  });
  const found = await verify(log, plan, path, messages, logger, signal);
  return {
    path,
    bytes: (await stat(path)).size,
    durationNs: found.durationNs,
    startNs: log.chunks[0]?.startNs ?? 0,
    videoFrames: found.videoFrames,
    audioFrames: found.audioFrames,
    reencoded: plan.encodeVideo !== undefined,
    gaps: [...log.gaps, ...found.gaps],
  };
}
