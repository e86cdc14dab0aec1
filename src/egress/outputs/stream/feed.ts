/** One FFmpeg process that is fed from the tap, and watched: does it still take what it is given? */
import type { Logger } from 'pino';
import { FfmpegProcess } from '../../../pipeline/ffmpeg.ts';
import { explainFailure } from './reasons.ts';
import type { TapUnit } from './units.ts';

export interface FfmpegFeedOptions {
  args: readonly string[];
  /** What no list of processes may show. */
  hidden: string;
  /** For messages. */
  host: string;
  secrets: readonly string[];
  logger: Logger;
  /** No byte is taken for this long although some wait: it is ended, ms. */
  stallMs: number;
  /** The destination takes media. */
  onActive: () => void;
}

const WATCH_MS = 500;

export class FfmpegFeed {
  readonly #options: FfmpegFeedOptions;
  readonly #process: FfmpegProcess;
  readonly #broken = new AbortController();
  readonly #watch: NodeJS.Timeout;
  #activeSince: number | undefined;
  #waiting = 0;
  #movedAt = performance.now();
  #stalled = false;
  /** We have ended it, or told it to end. */
  #told = false;

  constructor(options: FfmpegFeedOptions) {
    this.#options = options;
    this.#process = new FfmpegProcess({
      args: options.args,
      hidden: options.hidden,
      stdin: 'pipe',
      logger: options.logger,
      secrets: options.secrets,
      onProgress: ({ kilobytes, seconds }) => {
        if (this.#activeSince !== undefined || (kilobytes <= 0 && seconds <= 0)) return;
        this.#activeSince = performance.now();
        options.onActive();
      },
    });
    this.#watch = setInterval(() => this.#check(), WATCH_MS);
    void this.#process.exited.then(() => {
      clearInterval(this.#watch);
      this.#broken.abort();
    });
  }

  /** Aborted when the process has ended. */
  get broken(): AbortSignal {
    return this.#broken.signal;
  }

  /** How long the destination has been taking media, ms. */
  get activeMs(): number {
    return this.#activeSince === undefined ? 0 : performance.now() - this.#activeSince;
  }

  /** Answers when there is room for more, or `signal` is aborted. A unit is always given whole. */
  async write(unit: TapUnit, first: boolean, signal: AbortSignal): Promise<void> {
    const bytes = first && unit.start ? Buffer.concat([unit.start.tables, unit.bytes]) : unit.bytes;
    const { stdin } = this.#process;
    if (this.#waiting === 0) this.#movedAt = performance.now();
    this.#waiting++;
    const room = stdin.write(bytes, () => {
      this.#waiting--;
      this.#movedAt = performance.now();
    });
    if (room || signal.aborted) return;
    await new Promise<void>((resolve) => {
      const done = (): void => {
        stdin.off('drain', done);
        signal.removeEventListener('abort', done);
        resolve();
      };
      stdin.once('drain', done);
      signal.addEventListener('abort', done, { once: true });
    });
  }

  /** Ends the input and waits until it is sent; at most `graceMs`. */
  async finish(graceMs: number): Promise<void> {
    this.#told = true;
    await this.#process.stop(graceMs);
  }

  /** Ends the process at once. */
  async kill(): Promise<void> {
    this.#told = true;
    clearInterval(this.#watch);
    await this.#process.kill();
  }

  /** Why it ended; answers when it has. */
  async reason(): Promise<string> {
    await this.#process.exited;
    const { host, stallMs } = this.#options;
    if (!this.#stalled) return explainFailure(this.#process.stderrTail, host);
    const seconds = Math.round(stallMs / 1000);
    return this.#activeSince === undefined
      ? `${host} did not answer within ${seconds} s`
      : `${host} took no data for ${seconds} s`;
  }

  /** Whether a signal has ended it that was not ours: killed, out of memory, crashed; answers when it has ended. */
  async crashed(): Promise<boolean> {
    const { signal } = await this.#process.exited;
    return signal !== null && !this.#stalled && !this.#told;
  }

  #check(): void {
    if (this.#waiting === 0 || performance.now() - this.#movedAt < this.#options.stallMs) return;
    this.#stalled = true;
    void this.#process.kill();
  }
}
