/** FFmpeg behind one face: arguments, processes, and runs from start to end. */
import { once } from 'node:events';
import type { Logger } from 'pino';
import type { FfmpegProgress } from './ffmpeg-arguments.ts';
import { FfmpegProcess } from './ffmpeg-process.ts';
import type { FfmpegExit } from './ffmpeg-process.ts';
import { watchForHang } from './hung.ts';

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
  /** It stands still for this long although it has something to do: it is ended, ms. Default 20 s. */
  hungMs?: number;
}

const HUNG_MS = 20_000;

/** FFmpeg stood still and was ended: it may work when it is run again. */
export class FfmpegHungError extends FfmpegError {}

/**
 * Runs FFmpeg to its end.
 * @returns its last messages
 * @throws FfmpegHungError when it stands still; FfmpegError when it fails or leaves input unread; what `input` throws; the signal's reason when aborted
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
  let hungFor: number | undefined;
  const waitsForUs = (): boolean =>
    options.input !== undefined && !child.stdin.writableEnded && child.stdin.writableLength === 0;
  const endWatch = watchForHang(
    child.pid ?? 0,
    options.hungMs ?? HUNG_MS,
    () => child.running && !waitsForUs(),
    (stillMs) => {
      hungFor = stillMs;
      options.logger.error({ ffmpeg: child.pid, stillMs }, 'FFmpeg hangs: ended');
      void child.kill();
    },
  );
  try {
    const unread = options.input ? !(await feed(child, options.input)) : false;
    const exit = await child.exited;
    options.signal?.throwIfAborted();
    if (hungFor !== undefined)
      throw new FfmpegHungError(`FFmpeg stood still for ${hungFor} ms`, exit, child.stderrTail);
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
    endWatch();
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
