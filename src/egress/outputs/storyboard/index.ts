/** The storyboard of a recording: sprite sheets of its keyframes, and WebVTT that tells players where to look. */
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { ffmpegArguments, runFfmpeg } from '../../../pipeline/ffmpeg.ts';
import type { SegmentLog } from '../../log/reader.ts';
import { OutputError } from '../errors.ts';
import { sizeFilter } from '../images/grab.ts';
import { keyFrameBytes } from '../images/key-frame.ts';
import { planStoryboard, storyboardVtt } from './plan.ts';
import type { StoryboardPlan, StoryboardSettings } from './plan.ts';

export { MOST_FILES, STORYBOARD_DEFAULTS } from './plan.ts';
export type { StoryboardSettings } from './plan.ts';

export interface StoryboardOptions {
  log: SegmentLog;
  settings: StoryboardSettings;
  /** Folder the files go into; made. Files of these names are replaced. */
  folder: string;
  /** Name of a sheet's file by its number, from 0, and how the WebVTT refers to it. */
  sheetName: (sheet: number) => string;
  sheetUri: (sheet: number) => string;
  vttName: string;
  logger: Logger;
  signal?: AbortSignal;
}

const QUALITY = 4;

/**
 * Decodes one frame a picture, in one FFmpeg run. Undefined when the log has no picture.
 * @throws OutputError, InspectError, FfmpegError, Error of the file system; the signal's reason
 */
export async function writeStoryboard(
  options: StoryboardOptions,
): Promise<(StoryboardPlan & { sheetFiles: string[] }) | undefined> {
  const { log, settings, folder, sheetName, sheetUri, vttName, logger, signal } = options;
  const plan = planStoryboard(log, settings);
  if (!plan) return undefined;
  await mkdir(folder, { recursive: true });
  const sheetFiles = Array.from({ length: plan.sheets }, (_, i) => join(folder, sheetName(i)));
  const pattern = join(folder, sheetName(0).replaceAll('%', '%%').replace('00000', '%05d'));
  let decoded = 0;
  try {
    await runFfmpeg({
      args: sheetArguments(plan, log.container, pattern),
      input: keyFrames(plan, log.container),
      onProgress: ({ frames }) => (decoded = frames),
      logger,
      ...(signal && { signal }),
    });
    // A picture that is missing would put every later one in another's place.
    if (decoded !== plan.pictures.length) {
      throw new OutputError(
        'damaged',
        `${decoded} of ${plan.pictures.length} pictures of the storyboard can be decoded`,
      );
    }
    await writeFile(join(folder, vttName), storyboardVtt(plan, sheetUri));
  } catch (error) {
    await Promise.all(sheetFiles.map((path) => rm(path, { force: true })));
    throw error;
  }
  return { ...plan, sheetFiles };
}

function sheetArguments(plan: StoryboardPlan, container: SegmentLog['container'], pattern: string): string[] {
  return ffmpegArguments((command) => {
    command.input('pipe:0').inputOptions('-protocol_whitelist', 'pipe', '-skip_frame', 'nokey');
    // A picture of another size fits itself in: a new filter graph would begin a new sheet.
    command.inputOptions('-reinit_filter', '0', '-threads', '1');
    command.inputOptions('-f', container === 'mpegts' ? 'mpegts' : 'matroska');
    const { width, height, columns, rows } = plan;
    const each = `[0:v]${sizeFilter({ width, height })},split[all][each]`;
    // What goes nowhere is what is counted.
    command.complexFilter([`${each};[all]tile=${columns}x${rows}[sheet]`]);
    command.output('-').outputOptions('-map', '[each]', '-fps_mode', 'passthrough', '-f', 'null');
    command.output(`file:${pattern}`).outputOptions('-map', '[sheet]', '-fps_mode', 'passthrough');
    command.outputOptions('-protocol_whitelist', 'file', '-threads', '1', '-start_number', '0');
    command.outputOptions('-c:v', 'mjpeg', '-q:v', String(QUALITY), '-f', 'image2');
  });
}

async function* keyFrames(
  { pictures }: StoryboardPlan,
  container: SegmentLog['container'],
): AsyncGenerator<Uint8Array> {
  for (const [i, { chunk }] of pictures.entries()) {
    yield await keyFrameBytes(chunk, container, i === 0 ? 'with-header' : 'without-header');
  }
}
