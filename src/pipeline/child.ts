/** A supervised child process: started without a shell, logged, stopped politely first, never left behind. */
import { spawn } from 'node:child_process';
import type { ChildProcess, StdioOptions } from 'node:child_process';
import { Readable, Writable } from 'node:stream';
import type { Logger } from 'pino';

/** How a child went. */
export interface ChildExit {
  /** Null when a signal ended it, or when it could not be started. */
  code: number | null;
  signal: NodeJS.Signals | null;
  /** For people: what ended it. */
  reason: string;
}

export interface ChildOptions {
  command: string;
  args: readonly string[];
  stdio: StdioOptions;
  env?: NodeJS.ProcessEnv;
  logger: Logger;
}

/** Lines of stderr that are logged a second; what is more is counted. */
const MAX_LINES_PER_SECOND = 20;
/** A line longer than this is cut, characters. */
const MAX_LINE = 2000;
/** Lines kept for the exit reason. */
const TAIL_LINES = 20;
/** How long after its end a process's pipes may stay open, ms. */
const PIPES_GRACE_MS = 1000;
/** How long a process has between SIGTERM and SIGKILL, ms. */
const TERM_GRACE_MS = 1000;

export class SupervisedChild {
  /** Settles when the process is gone; never rejects. */
  readonly exited: Promise<ChildExit>;
  readonly #process: ChildProcess;
  readonly #options: ChildOptions;
  readonly #stderr: LineLimiter;
  #gone = false;
  /** Why we ended it ourselves. */
  #cause: string | undefined;

  constructor(options: ChildOptions) {
    this.#options = options;
    // A process group of its own: Ctrl-C in the terminal is for us, and we stop it in order.
    this.#process = spawn(options.command, options.args, {
      stdio: options.stdio,
      detached: true,
      ...(options.env && { env: options.env }),
    });
    this.#stderr = new LineLimiter(options.logger);
    this.#process.stderr?.setEncoding('utf8').on('data', (text: string) => this.#stderr.push(text));
    // Writing to a process that is gone is told by its exit, not by EPIPE.
    for (const stream of this.#process.stdio) stream?.on('error', () => undefined);
    this.exited = new Promise((resolve) => {
      const settle = (code: number | null, signal: NodeJS.Signals | null, failure?: string): void => {
        if (this.#gone) return;
        this.#gone = true;
        this.#stderr.end();
        resolve({ code, signal, reason: this.#cause ?? failure ?? describeExit(code, signal) });
      };
      this.#process.once('error', (error) => {
        if (this.#process.pid === undefined)
          settle(null, null, `${options.command} cannot be started: ${error.message}`);
      });
      // Everything it wrote has been read when its pipes are closed; nobody else may keep them open for long.
      this.#process.once('close', settle);
      this.#process.once('exit', (code, signal) => {
        setTimeout(() => settle(code, signal), PIPES_GRACE_MS).unref();
      });
    });
  }

  get pid(): number | undefined {
    return this.#process.pid;
  }

  get running(): boolean {
    return !this.#gone;
  }

  /** A pipe the child reads from. */
  writable(fd: number): Writable {
    const stream = this.#process.stdio[fd];
    if (!(stream instanceof Writable)) throw new TypeError(`file descriptor ${fd} is no pipe to write to`);
    return stream;
  }

  /** A pipe the child writes to. */
  readable(fd: number): Readable {
    const stream = this.#process.stdio[fd];
    if (!(stream instanceof Readable)) throw new TypeError(`file descriptor ${fd} is no pipe to read from`);
    return stream;
  }

  /** The last lines of stderr. */
  get stderrTail(): readonly string[] {
    return this.#stderr.tail;
  }

  /** Ends it at once. @param cause what the exit's `reason` is to say */
  kill(cause?: string): Promise<ChildExit> {
    this.#cause ??= this.#gone ? undefined : cause;
    if (!this.#gone) this.#process.kill('SIGKILL');
    return this.exited;
  }

  /** SIGTERM, then SIGKILL. */
  async terminate(cause?: string): Promise<ChildExit> {
    this.#cause ??= this.#gone ? undefined : cause;
    if (!this.#gone) this.#process.kill('SIGTERM');
    const timer = setTimeout(() => this.#process.kill('SIGKILL'), TERM_GRACE_MS);
    const exit = await this.exited;
    clearTimeout(timer);
    return exit;
  }

  /** Gives it `deadlineMs` to end by itself, then ends it. */
  async endWithin(deadlineMs: number): Promise<ChildExit> {
    const { promise: late, resolve } = Promise.withResolvers<undefined>();
    const timer = setTimeout(() => resolve(undefined), deadlineMs);
    const exit = await Promise.race([this.exited, late]);
    clearTimeout(timer);
    if (exit) return exit;
    this.#options.logger.warn({ pid: this.pid, deadlineMs }, 'process did not end in time');
    return this.terminate(`did not end within ${deadlineMs} ms`);
  }
}

function describeExit(code: number | null, signal: NodeJS.Signals | null): string {
  return signal ? `ended by ${signal}` : `exited with code ${code ?? 'unknown'}`;
}

/** Cuts a stream into lines and logs them, so many a second at most. */
class LineLimiter {
  tail: string[] = [];
  readonly #logger: Logger;
  #partial = '';
  #second = 0;
  #count = 0;

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  push(text: string): void {
    const lines = (this.#partial + text).split('\n');
    this.#partial = (lines.pop() ?? '').slice(0, MAX_LINE);
    for (const line of lines) if (line.trim() !== '') this.#line(line.slice(0, MAX_LINE));
  }

  end(): void {
    if (this.#partial) this.#line(this.#partial);
    this.#partial = '';
    this.#report();
  }

  #line(line: string): void {
    this.tail = [...this.tail.slice(1 - TAIL_LINES), line];
    const second = Math.floor(performance.now() / 1000);
    if (second !== this.#second) {
      this.#report();
      this.#second = second;
    }
    if (++this.#count <= MAX_LINES_PER_SECOND) this.#logger.debug({ line }, 'process says');
  }

  #report(): void {
    const dropped = this.#count - MAX_LINES_PER_SECOND;
    if (dropped > 0) this.#logger.debug({ dropped }, 'process said more than is logged');
    this.#count = 0;
  }
}
