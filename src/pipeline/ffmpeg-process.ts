/** One FFmpeg process: started without a shell, stopped politely first, never left behind. */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { setPriority } from 'node:os';
import type { Readable, Writable } from 'node:stream';
import type { Logger } from 'pino';
import { redactText } from '../redact.ts';
import { childEnvironment } from '../child-environment.ts';
import { FFMPEG_LIMITS, confine, findConfiners } from './confine.ts';
import { parseProgress } from './ffmpeg-arguments.ts';
import type { FfmpegProgress } from './ffmpeg-arguments.ts';
import { hiddenFile } from './hidden-file.ts';

export interface FfmpegProcessOptions {
  /** From ffmpegArguments(). */
  args: readonly string[];
  /** `pipe`: something is written to {@link FfmpegProcess.stdin}. */
  stdin: 'pipe' | 'none';
  /** `pipe`: it writes its output there, to be read from {@link FfmpegProcess.stdout}. Default none. */
  stdout?: 'pipe' | 'none';
  /**
   * Text that no list of processes may show. It is read from {@link HIDDEN_FILE} or {@link HIDDEN_PIPE}, descriptor 3.
   */
  hidden?: string;
  /** Open files it gets as its descriptors 3, 4, … (after `hidden`); they stay ours to close. */
  files?: readonly number[];
  /** Its environment besides what {@link childEnvironment} leaves of ours. */
  env?: Readonly<Record<string, string>>;
  /** `none`: it only reads and writes files and pipes, and gets no network. Default `any`. */
  network?: 'any' | 'none';
  /** Nobody waits for it at this moment: it yields to live media. */
  background?: boolean;
  logger: Logger;
  onProgress?: (progress: FfmpegProgress) => void;
  /** A line FFmpeg wrote, redacted. */
  onMessage?: (line: string) => void;
  /** Besides what looks like a credential in a URL: text that must not be shown, e.g. a stream key. */
  secrets?: readonly string[];
}

export interface FfmpegExit {
  /** Null when a signal ended it. */
  code: number | null;
  signal: NodeJS.Signals | null;
}

/** Where FFmpeg finds {@link FfmpegProcessOptions.hidden}: a file to open, or a protocol's URL. */
export const HIDDEN_FILE = '/dev/fd/3';
export const HIDDEN_PIPE = 'pipe:3';

/** How much a background process yields (nice). */
const BACKGROUND_NICE = 5;
const TAIL_LINES = 30;
/** A single line longer than this is not text, characters. */
const MAX_LINE = 4000;

export class FfmpegProcess {
  /** Settles when the process is gone; never rejects. A process that could not be started has code null. */
  readonly exited: Promise<FfmpegExit>;
  readonly #child: ChildProcess;
  readonly #options: FfmpegProcessOptions;
  #tail: string[] = [];
  #partial = '';
  #gone = false;

  constructor(options: FfmpegProcessOptions) {
    this.#options = options;
    // A process group of its own: Ctrl-C in the terminal is for us, and we stop it in order.
    // Who reads a source may wait for it for ever, and notices nothing of our end: the kernel ends it with us.
    const [command, args] = confine(
      ['ffmpeg', ...options.args],
      {
        ...FFMPEG_LIMITS,
        network: options.network !== 'none',
        endsWithUs: options.stdout === 'pipe',
      },
      findConfiners(options.logger),
    );
    const hidden = options.hidden === undefined ? undefined : hiddenFile(options.hidden);
    try {
      this.#child = spawn(command, args, {
        stdio: [
          options.stdin === 'pipe' ? 'pipe' : 'ignore',
          options.stdout === 'pipe' ? 'pipe' : 'ignore',
          'pipe',
          ...(hidden ? [hidden.fd] : []),
          ...(options.files ?? []),
        ],
        detached: true,
        env: childEnvironment(process.env, options.env),
      });
    } finally {
      hidden?.close();
    }
    if (options.background) this.#yield();
    // A process that ends while it is written to is told by its exit, not by EPIPE.
    this.#child.stdin?.on('error', () => undefined);
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => this.#read(text));
    this.exited = new Promise((resolve) => {
      this.#child.once('error', (error) => {
        this.#message(`FFmpeg cannot be started: ${error.message}`);
        if (this.#child.pid === undefined) {
          this.#gone = true;
          resolve({ code: null, signal: null });
        }
      });
      this.#child.once('close', (code, signal) => {
        this.#gone = true;
        if (this.#partial) this.#line(this.#partial);
        resolve({ code, signal });
      });
    });
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  get running(): boolean {
    return !this.#gone;
  }

  /** Its standard input; writing to a process that is gone does nothing. */
  get stdin(): Writable {
    if (!this.#child.stdin) throw new Error('this FFmpeg was started without stdin');
    return this.#child.stdin;
  }

  /** Its standard output, with backpressure; {@link exited} waits until it has been read to its end. */
  get stdout(): Readable {
    if (!this.#child.stdout) throw new Error('this FFmpeg was started without stdout');
    return this.#child.stdout;
  }

  /** The last lines it wrote that are no progress, redacted. */
  get stderrTail(): readonly string[] {
    return this.#tail;
  }

  /**
   * Ends it so that what it writes is finished: end of input (when it reads stdin), else SIGINT; SIGINT after half
   * of `graceMs`, SIGKILL after all of it. Answers when it is gone.
   */
  async stop(graceMs = 5000): Promise<FfmpegExit> {
    if (this.#gone) return this.exited;
    const interrupt = (): boolean => this.#child.kill('SIGINT');
    if (this.#child.stdin) this.#child.stdin.end();
    else interrupt();
    const timers = [
      setTimeout(interrupt, graceMs / 2),
      setTimeout(() => this.#child.kill('SIGKILL'), graceMs),
    ];
    try {
      return await this.exited;
    } finally {
      for (const timer of timers) clearTimeout(timer);
    }
  }

  /** Ends it at once; what it was writing is lost. */
  kill(): Promise<FfmpegExit> {
    if (!this.#gone) this.#child.kill('SIGKILL');
    return this.exited;
  }

  #yield(): void {
    try {
      if (this.pid !== undefined) setPriority(this.pid, BACKGROUND_NICE);
    } catch {
      // It has ended already, or our own priority is lower.
    }
  }

  #read(text: string): void {
    // Progress lines end in a carriage return, messages in a line break.
    const lines = (this.#partial + text).split(/[\r\n]+/);
    this.#partial = (lines.pop() ?? '').slice(0, MAX_LINE);
    for (const line of lines) if (line.trim() !== '') this.#line(line);
  }

  #line(line: string): void {
    const progress = parseProgress(line);
    if (progress) this.#options.onProgress?.(progress);
    else this.#message(line);
  }

  #message(line: string): void {
    let shown = redactText(line.slice(0, MAX_LINE));
    for (const secret of this.#options.secrets ?? []) {
      if (secret !== '') shown = shown.replaceAll(secret, '{...}');
    }
    this.#tail = [...this.#tail.slice(1 - TAIL_LINES), shown];
    this.#options.logger.debug({ ffmpeg: this.pid, line: shown }, 'ffmpeg says');
    this.#options.onMessage?.(shown);
  }
}
