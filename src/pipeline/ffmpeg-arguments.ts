/**
 * fluent-ffmpeg, as far as we let it in: it builds argument lists and reads progress lines. It is archived
 * upstream and kills with SIGKILL, so starting and stopping processes is ours (ffmpeg-process.ts).
 */
import { EventEmitter } from 'node:events';
import { createRequire } from 'node:module';
import ffmpeg from 'fluent-ffmpeg';
import type { FfmpegCommand } from 'fluent-ffmpeg';
import { z } from 'zod';

export type { FfmpegCommand } from 'fluent-ffmpeg';

const argumentsSchema = z.array(z.union([z.string(), z.number()]).transform(String));

interface Internals {
  _getArguments(): unknown;
}

/**
 * Arguments of one FFmpeg run, ours first: no banner, no keys read from stdin, only warnings, progress twice a
 * second. Give options to fluent-ffmpeg one word an argument (`inputOptions('-f', 'mpegts')`): a single string with
 * a space in it is taken apart.
 */
export function ffmpegArguments(build: (command: FfmpegCommand) => void): string[] {
  const command = ffmpeg();
  build(command);
  // Not in its types, but what it runs FFmpeg with itself.
  const built = argumentsSchema.parse((command as unknown as Internals)._getArguments());
  return ['-hide_banner', '-nostdin', '-loglevel', 'warning', '-stats', '-stats_period', '0.5', ...built];
}

export interface FfmpegProgress {
  /** Video packets written so far; 0 without video. */
  frames: number;
  /** Seconds of output written; 0 while FFmpeg does not know. */
  seconds: number;
  /** kB of output written; 0 while FFmpeg does not know. */
  kilobytes: number;
}

/** What fluent-ffmpeg reports; NaN or nothing where FFmpeg says N/A. */
const reportSchema = z.object({
  frames: z.unknown(),
  targetSize: z.unknown(),
  timemark: z.string().optional().catch(undefined),
});

interface Utils {
  extractProgress(command: EventEmitter, line: string): void;
  timemarkToSeconds(timemark: string): number;
}
const utils = createRequire(import.meta.url)('fluent-ffmpeg/lib/utils.js') as Utils;

/** Reads one of FFmpeg's `frame=… size=… time=…` lines; undefined when it is another line. */
export function parseProgress(line: string): FfmpegProgress | undefined {
  if (!/\btime=/.test(line)) return undefined;
  const receiver = new EventEmitter();
  let found: FfmpegProgress | undefined;
  receiver.once('progress', (raw: unknown) => {
    const report = reportSchema.parse(raw);
    found = {
      frames: finite(report.frames),
      kilobytes: finite(report.targetSize),
      seconds: secondsOf(report.timemark ?? ''),
    };
  });
  utils.extractProgress(receiver, line);
  return found;
}

/** FFmpeg's first times can be below zero; fluent-ffmpeg would read them as above. */
function secondsOf(timemark: string): number {
  return timemark === '' || timemark.startsWith('-') ? 0 : finite(utils.timemarkToSeconds(timemark));
}

function finite(value: unknown): number {
  return typeof value === 'number' && Number.isFinite(value) ? value : 0;
}
