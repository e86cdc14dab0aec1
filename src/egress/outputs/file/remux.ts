/** The MP4, WebM and MP3 views, and OGG where its sound was no Opus: the chunks' bytes joined, through FFmpeg once. */
import { rm, stat, writeFile } from 'node:fs/promises';
import { runFfmpeg } from '../../../pipeline/ffmpeg.ts';
import { joinChunks } from '../join.ts';
import { chapterMetadata, chaptersOf } from './chapters.ts';
import { planRemux, remuxArguments } from './remux-plan.ts';
import type { RemuxFormat } from './remux-plan.ts';
import { verify } from './verify.ts';
import type { FileViewOptions, FileViewResult } from './view.ts';

const HAVE_CHAPTERS: ReadonlySet<RemuxFormat> = new Set<RemuxFormat>(['mp4', 'webm']);

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
  const chapters = HAVE_CHAPTERS.has(format) ? chaptersOf(log) : [];
  const chaptersPath = chapters.length > 0 ? `${path}.chapters` : undefined;
  let messages: readonly string[];
  try {
    if (chaptersPath !== undefined) await writeFile(chaptersPath, chapterMetadata(chapters));
    messages = await runFfmpeg({
      args: remuxArguments(plan, path, chaptersPath),
      input: joinChunks(log.chunks, log.container, { gaps: log.gaps }, (bytes) =>
        onProgress?.((read += bytes) / total),
      ),
      logger,
      ...(signal ? { signal } : {}),
      ...(options.hungMs === undefined ? {} : { hungMs: options.hungMs }),
    });
  } finally {
    if (chaptersPath !== undefined) await rm(chaptersPath, { force: true });
  }
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
