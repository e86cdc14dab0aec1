/** FFmpeg behind one face: arguments, processes, and runs from start to end. */
import { once } from 'node:events';
import type { Logger } from 'pino';
import type { FfmpegProgress } from './ffmpeg-arguments.ts';
import { FfmpegProcess } from './ffmpeg-process.ts';
import type { FfmpegExit } from './ffmpeg-process.ts';

export { ffmpegArguments, parseProgress } from './ffmpeg-arguments.ts';
export type { FfmpegCommand, FfmpegProgress } from './ffmpeg-arguments.ts';
export { countPackets } from './ffmpeg-probe.ts';
export type { Probe, ProbedStream } from './ffmpeg-probe.ts';
export { FfmpegProcess, HIDDEN_FILE, HIDDEN_PIPE } from './ffmpeg-process.ts';
export type { FfmpegExit, FfmpegProcessOptions } from './ffmpeg-process.ts';

/** FFmpeg ended otherwise than it should. */
export class FfmpegError extends Error {
  readonly exit: FfmpegExit;
  /** Its last lines, redacted. */
  readonly stderr: readonly string[];

  constructor(message: string, exit: FfmpegExit, stderr: readonly string[]) {
    super(message);
    this.name = 'FfmpegError';
    this.exit = exit;
    this.stderr = stderr;
  }
}

export interface RunFfmpegOptions {
  /** From ffmpegArguments(). It gets no network. */
  args: readonly string[];
  /** Written to its stdin, as fast as it reads. */
  input?: AsyncIterable<Uint8Array>;
  signal?: AbortSignal;
  logger: Logger;
  onProgress?: (progress: FfmpegProgress) => void;
  secrets?: readonly string[];
}

/**
 * Runs FFmpeg to its end.
 * @returns its last messages
 * @throws FfmpegError when it fails or leaves input unread; what `input` throws; the signal's reason when aborted
 */
export async function runFfmpeg(options: RunFfmpegOptions): Promise<readonly string[]> {
  options.signal?.throwIfAborted();
  const child = new FfmpegProcess({
    args: options.args,
    stdin: options.input ? 'pipe' : 'none',
    network: 'none',
    background: true,
    logger: options.logger,
    ...(options.onProgress ? { onProgress: options.onProgress } : {}),
    ...(options.secrets ? { secrets: options.secrets } : {}),
  });
  const abort = (): void => void child.kill();
  options.signal?.addEventListener('abort', abort, { once: true });
  try {
    const unread = options.input ? !(await feed(child, options.input)) : false;
    const exit = await child.exited;
    options.signal?.throwIfAborted();
    const last = child.stderrTail.at(-1);
    const because = last === undefined ? '' : `: ${last}`;
    if (exit.code !== 0) {
      const how = exit.signal ? `was ended by ${exit.signal}` : `failed with code ${exit.code ?? 'none'}`;
      throw new FfmpegError(`FFmpeg ${how}${because}`, exit, child.stderrTail);
    }
    if (unread)
      throw new FfmpegError(`FFmpeg stopped before the end of its input${because}`, exit, child.stderrTail);
    return child.stderrTail;
  } finally {
    options.signal?.removeEventListener('abort', abort);
    await child.kill();
  }
}

/** False when the process ended before it had taken everything. */
async function feed(child: FfmpegProcess, input: AsyncIterable<Uint8Array>): Promise<boolean> {
  const gone = child.exited.then(() => false);
  for await (const bytes of input) {
    if (!child.running) return false;
    if (child.stdin.write(bytes)) continue;
    const drained = once(child.stdin, 'drain').then(
      () => true,
      () => false,
    );
    if (!(await Promise.race([drained, gone]))) return false;
  }
  return new Promise((resolve) => {
    void gone.then(resolve);
    // `finish` comes when the last byte is with the system: after it FFmpeg sees the end of its input.
    child.stdin.once('finish', () => resolve(true));
    child.stdin.once('error', () => resolve(false));
    child.stdin.end();
  });
}
