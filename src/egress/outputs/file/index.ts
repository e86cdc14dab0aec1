/** File views: one finished file out of a segment log. */
import { mkdir, rename, rm, stat, statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import { FfmpegHungError } from '../../../pipeline/ffmpeg.ts';
import type { SegmentLog } from '../../log/reader.ts';
import { OutputError } from '../errors.ts';
import { writeOgg } from './ogg.ts';
import { remux } from './remux.ts';
import type { RemuxFormat } from './remux-plan.ts';
import type { FileViewOptions, FileViewResult } from './view.ts';

export type { FileViewOptions, FileViewResult } from './view.ts';

export type FileViewFormat = 'mp4' | 'webm' | 'ogg' | 'mp3';

/** By codec of a sound alone: what it goes into by copy. */
const SOUND_FORMATS: Readonly<Record<string, FileViewFormat>> = { opus: 'ogg', mp3: 'mp3' };

/** The kind of file a log's codecs go into by copy (pure); undefined when it holds no media. */
export function naturalFormat(log: SegmentLog): FileViewFormat | undefined {
  const codec = log.chunks.find((chunk) => chunk.video.length > 0)?.video[0]?.codec;
  if (codec !== undefined) return codec === 'h264' ? 'mp4' : 'webm';
  const sound = soundOf(log);
  return sound === undefined ? undefined : (SOUND_FORMATS[sound] ?? 'mp4');
}

/** Codec of the log's sound. */
function soundOf(log: SegmentLog): string | undefined {
  return log.chunks.find((chunk) => chunk.audio)?.audio?.codec;
}

/** Room left besides the file itself, bytes. */
const SPARE_BYTES = 16 * 1024 * 1024;

/**
 * Makes the file. Its folder is made too; until it is whole it is called `<path>.part`, which is removed on failure.
 * @throws OutputError, FfmpegError, Error of the file system; the signal's reason when aborted
 */
export async function writeFileView(
  format: FileViewFormat,
  options: FileViewOptions,
): Promise<FileViewResult> {
  const { log, path, signal } = options;
  signal?.throwIfAborted();
  assertFits(log, format);
  await mkdir(dirname(path), { recursive: true });
  await assertRoom(log, dirname(path));
  const part = `${path}.part`;
  await rm(part, { force: true });
  try {
    const partOptions = { ...options, path: part };
    const joined = format === 'ogg' && soundOf(log) === 'opus';
    const result = joined ? await writeOgg(partOptions) : await remuxOrAgain(partOptions, format);
    await rename(part, path);
    options.onProgress?.(1);
    return { ...result, path, bytes: (await stat(path)).size };
  } catch (error) {
    await rm(part, { force: true });
    throw error;
  }
}

/** An FFmpeg that stood still is no fault of the log: it is run once more. */
async function remuxOrAgain(options: FileViewOptions, format: RemuxFormat): Promise<FileViewResult> {
  try {
    return await remux(options, format);
  } catch (error) {
    if (!(error instanceof FfmpegHungError)) throw error;
    options.logger.warn({ reason: error.message }, 'the file is made once more');
    await rm(options.path, { force: true });
    return remux(options, format);
  }
}

function assertFits(log: SegmentLog, format: FileViewFormat): void {
  const natural = naturalFormat(log);
  if (natural === undefined) throw new OutputError('empty', 'the segment log holds no media');
  if (format === natural) return;
  const video = log.chunks.some((chunk) => chunk.video.length > 0);
  // Sound is encoded again where it has to be; a picture was encoded once, for what was asked for.
  const fits = format === 'ogg' || format === 'mp3' || (format === 'mp4' && soundOf(log) === 'opus');
  if (video || !fits) {
    const codecs = [...new Set(log.chunks.flatMap((chunk) => [...chunk.video, chunk.audio ?? []].flat()))];
    const names = [...new Set(codecs.map((info) => info.codec))].join(' and ');
    throw new OutputError('unsupported', `${names} cannot be copied into ${format}: it goes into ${natural}`);
  }
}

async function assertRoom(log: SegmentLog, folder: string): Promise<void> {
  const needed = log.chunks.reduce((sum, chunk) => sum + chunk.bytes, 0) + SPARE_BYTES;
  const { bavail, bsize } = await statfs(folder);
  const free = bavail * bsize;
  if (free >= needed) return;
  const mib = (bytes: number): string => `${Math.ceil(bytes / 1024 / 1024)} MiB`;
  throw new OutputError(
    'no_space',
    `${folder} has ${mib(free)} free and ${mib(needed)} are needed for the file`,
  );
}
