/** The test publisher's process: commands in, events out, and its end. */
import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Logger } from 'pino';
import { z } from 'zod';

import type {
  PublisherCommand,
  PublisherEvent,
  PublisherSettings,
} from '../../pipelines/publisher/protocol.ts';
import { PublisherError } from './publisher-error.ts';

/** How long a publisher may take to end after it was asked to. */
const STOP_TIMEOUT_MS = 3000;
/** Lines of stderr kept for an error's message. */
const STDERR_LINES = 10;

export interface PublisherExit {
  code: number | null;
  signal: NodeJS.Signals | null;
}

/** Frames and 20 ms chunks of sound the publisher's clock has come to, and those it left out because it was late. */
export interface PublisherProgress {
  frames: number;
  chunks: number;
  skipped: number;
}

const count = z.number().int().nonnegative();
const Event = z.discriminatedUnion('event', [
  z.object({ event: z.literal('offer'), sdp: z.string() }),
  z.object({ event: z.literal('connected') }),
  z.object({ event: z.literal('progress'), frames: count, chunks: count, skipped: count }),
  z.object({ event: z.literal('state'), state: z.string() }),
  z.object({ event: z.literal('error'), message: z.string() }),
  z.object({ event: z.literal('stopped') }),
]) satisfies z.ZodType<PublisherEvent>;

export class PublisherProcess {
  readonly exited: Promise<PublisherExit>;
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #logger: Logger;
  readonly #offer = Promise.withResolvers<string>();
  readonly #connected = Promise.withResolvers<true>();
  readonly #stderr: string[] = [];
  #connectedAtMs = 0;
  #progress: PublisherProgress = { frames: 0, chunks: 0, skipped: 0 };
  #error: string | undefined;
  #exit: PublisherExit | undefined;
  #stopping = false;

  /** Starts the program. @throws PublisherError when the program has not been built */
  constructor(settings: PublisherSettings, logger: Logger) {
    this.#logger = logger;
    this.#child = spawn('gjs', ['-m', programPath()], { stdio: 'pipe' });
    // Who does not wait for one of these must not be ended by its rejection.
    this.#offer.promise.catch(() => undefined);
    this.#connected.promise.catch(() => undefined);
    this.#child.stdin.on('error', () => undefined);
    createInterface({ input: this.#child.stdout }).on('line', (line) => {
      this.#line(line);
    });
    createInterface({ input: this.#child.stderr }).on('line', (line) => {
      this.#stderr.push(line);
      if (this.#stderr.length > STDERR_LINES) this.#stderr.shift();
      this.#logger.debug({ line }, 'test publisher stderr');
    });
    this.exited = new Promise((resolve) => {
      this.#child.once('error', (error) => {
        this.#error ??= `gjs does not start: ${error.message}`;
        if (this.#child.pid === undefined) resolve(this.#ended({ code: null, signal: null }));
      });
      this.#child.once('close', (code, signal) => {
        resolve(this.#ended({ code, signal }));
      });
    });
    this.send({ cmd: 'init', settings });
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** Wall clock, ms. */
  get connectedAtMs(): number {
    return this.#connectedAtMs;
  }

  get progress(): PublisherProgress {
    return this.#progress;
  }

  /** @throws PublisherError when the process has ended */
  send(command: PublisherCommand): void {
    if (this.#exit) throw this.#endedError();
    this.#child.stdin.write(`${JSON.stringify(command)}\n`);
  }

  /** The SDP offer. @throws PublisherError */
  offer(signal: AbortSignal): Promise<string> {
    return until(this.#offer.promise, signal, 'the test publisher makes no offer');
  }

  /** Gives the answer and waits for ICE and DTLS. @throws PublisherError */
  async connect(sdp: string, signal: AbortSignal): Promise<void> {
    this.send({ cmd: 'answer', sdp });
    await until(this.#connected.promise, signal, 'ICE or DTLS does not get through');
  }

  async stop(): Promise<void> {
    if (this.#exit) return;
    this.#stopping = true;
    this.send({ cmd: 'stop' });
    this.#child.stdin.end();
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), STOP_TIMEOUT_MS);
    await this.exited;
    clearTimeout(timer);
  }

  async kill(): Promise<void> {
    this.#stopping = true;
    if (!this.#exit) this.#child.kill('SIGKILL');
    await this.exited;
  }

  #line(line: string): void {
    let event: PublisherEvent;
    try {
      event = Event.parse(JSON.parse(line));
    } catch (error) {
      this.#logger.warn({ line, err: error }, 'the test publisher said something unknown');
      return;
    }
    if (event.event === 'offer') this.#offer.resolve(event.sdp);
    else if (event.event === 'connected') {
      this.#connectedAtMs = Date.now();
      this.#connected.resolve(true);
    } else if (event.event === 'progress') {
      const { frames, chunks, skipped } = event;
      this.#progress = { frames, chunks, skipped };
    } else if (event.event === 'state') {
      this.#logger.info({ state: event.state }, 'test publisher connection');
      if (event.state === 'failed')
        this.#connected.reject(new PublisherError('the connection failed: ICE or DTLS did not get through'));
    } else if (event.event === 'error') this.#error = event.message;
  }

  #ended(exit: PublisherExit): PublisherExit {
    this.#exit = exit;
    const error = this.#endedError();
    this.#offer.reject(error);
    this.#connected.reject(error);
    if (!this.#stopping) this.#logger.error({ ...exit, err: error }, 'the test publisher ended by itself');
    return exit;
  }

  #endedError(): PublisherError {
    const { code, signal } = this.#exit ?? { code: null, signal: null };
    const why = this.#error ?? this.#stderr.join('; ');
    return new PublisherError(
      `the test publisher has ended (${signal ?? `code ${String(code)}`})${why ? `: ${why}` : ''}`,
    );
  }
}

/** The built program, beside the sources' dist folder or, when this file itself is built, in its own. */
function programPath(): string {
  const places = ['../../dist/pipelines/', '../../pipelines/'];
  const files = places.map((place) => fileURLToPath(new URL(`${place}test-publisher.js`, import.meta.url)));
  const found = files.find((file) => existsSync(file));
  if (!found) throw new PublisherError('the test publisher is not built: run `npm run build`');
  return found;
}

async function until<T>(promise: Promise<T>, signal: AbortSignal, late: string): Promise<T> {
  const aborted = Promise.withResolvers<never>();
  const abort = () => {
    aborted.reject(new PublisherError(`${late} in time`));
  };
  if (signal.aborted) abort();
  signal.addEventListener('abort', abort, { once: true });
  try {
    return await Promise.race([promise, aborted.promise]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}
