/** One pipeline program: a gjs process, spoken to in JSON lines, watched, and ended in order. */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Readable, Writable } from 'node:stream';
import type { Logger } from 'pino';
import { RENDITION_FDS, TAP_FD } from '../../pipelines/shared/protocol.ts';
import { childEnvironment } from '../child-environment.ts';
import { SupervisedChild } from './child.ts';
import { PIPELINE_LIMITS, confine, findConfiners } from './confine.ts';
import { egressProtocol, type EgressTypes } from './egress-protocol.ts';
import { parseLine } from './lines.ts';
import { type ProgramProtocol, type ProgramTypes, type ResultOf, sharedResults } from './program-protocol.ts';

/** How long a program has to come up, to answer a command, and to answer a ping. */
const READY_TIMEOUT_MS = 20_000;
const COMMAND_TIMEOUT_MS = 10_000;
const PING_INTERVAL_MS = 1000;
const HUNG_MS = 4000;

/** `G_DEBUG=fatal-warnings` in a developer's shell must not end a recording. */
const FOREIGN_ENVIRONMENT = ['G_DEBUG', 'G_MESSAGES_DEBUG', 'GJS_DEBUG_OUTPUT', 'GJS_DEBUG_TOPICS'];

export interface PipelineHostOptions {
  logger: Logger;
  /** File of the program to run; the built one of its protocol by default. */
  program?: string;
  /** Taken for hung, and killed, when it has not answered for this long, ms. */
  hungMs?: number;
}

/** A command the program refused, or did not answer. */
export class PipelineCommandError extends Error {
  override readonly name = 'PipelineCommandError';
  readonly command: string;

  constructor(command: string, message: string) {
    super(`${command}: ${message}`);
    this.command = command;
  }
}

interface Pending {
  command: string;
  resolve: (ok: unknown) => void;
  reject: (error: Error) => void;
  timer: NodeJS.Timeout;
}

type Listeners<T> = Set<(value: T) => void>;

/** The egress program's by default; {@link PipelineHost.startProgram} runs another. */
export class PipelineHost<T extends ProgramTypes = EgressTypes> {
  readonly #protocol: ProgramProtocol<T>;
  readonly #child: SupervisedChild;
  readonly #logger: Logger;
  readonly #hungMs: number;
  readonly #pending = new Map<number, Pending>();
  readonly #events: Listeners<T['event']> = new Set();
  readonly #taps: Listeners<[Buffer, number]> = new Set();
  readonly #exits: Listeners<string> = new Set();
  readonly #pings: NodeJS.Timeout;
  #lastId = 0;
  #heardAt = performance.now();
  #lookedAt = performance.now();
  #ready = false;
  #rssBytes = 0;
  #exitReason: string | undefined;
  #programError: string | undefined;

  /** Starts an egress program and answers when it is ready to be initialised. @throws Error if it does not come up */
  static start(options: PipelineHostOptions): Promise<PipelineHost> {
    return PipelineHost.startProgram(egressProtocol, options);
  }

  /** Starts a program and answers when it is ready to be initialised. @throws Error if it does not come up */
  static async startProgram<P extends ProgramTypes>(
    protocol: ProgramProtocol<P>,
    options: PipelineHostOptions,
  ): Promise<PipelineHost<P>> {
    const host = new PipelineHost(protocol, options);
    const { promise, resolve, reject } = Promise.withResolvers<undefined>();
    const stopListening = host.onEvent((event) => event.event === 'ready' && resolve(undefined));
    host.onExit((reason) => reject(new Error(`the pipeline program did not come up: ${reason}`)));
    const timer = setTimeout(
      () => void host.kill(`not ready within ${READY_TIMEOUT_MS} ms`),
      READY_TIMEOUT_MS,
    );
    try {
      await promise;
      return host;
    } finally {
      clearTimeout(timer);
      stopListening();
    }
  }

  private constructor(protocol: ProgramProtocol<T>, { logger, program, hungMs }: PipelineHostOptions) {
    this.#protocol = protocol;
    this.#hungMs = hungMs ?? HUNG_MS;
    const [command, args] = confine(
      ['gjs', '-m', program ?? programFile(protocol.program)],
      // It ends by itself when its standard input does.
      { ...PIPELINE_LIMITS, network: true, endsWithUs: false },
      findConfiners(logger),
    );
    this.#child = new SupervisedChild({
      command,
      args,
      // A spare process does not know yet what it will be: it has every tap there can be.
      stdio: ['pipe', 'pipe', 'pipe', 'pipe', ...RENDITION_FDS.map(() => 'pipe' as const)],
      env: Object.fromEntries(
        Object.entries(childEnvironment()).filter(([name]) => !FOREIGN_ENVIRONMENT.includes(name)),
      ),
      logger,
    });
    this.#logger = logger.child({ pipeline: this.#child.pid });
    this.#read(this.#child.readable(1));
    // Always drained, whether or not anybody listens.
    for (const [tap, fd] of [TAP_FD, ...RENDITION_FDS].entries()) {
      this.#child.readable(fd).on('data', (data: Buffer) => notify(this.#taps, [data, tap], this.#logger));
    }
    this.#pings = setInterval(() => this.#ping(), PING_INTERVAL_MS);
    void this.#child.exited.then(({ reason }) => this.#onExit(reason));
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  get running(): boolean {
    return this.#exitReason === undefined;
  }

  /** Resident memory as of the last ping, bytes. */
  get rssBytes(): number {
    return this.#rssBytes;
  }

  /** Why the process is gone; undefined while it runs. */
  get exitReason(): string | undefined {
    return this.#exitReason;
  }

  /** Calls back with every event. A listener that throws is logged and disturbs nobody. @returns stops it */
  onEvent(listener: (event: T['event']) => void): () => void {
    this.#events.add(listener);
    return () => this.#events.delete(listener);
  }

  /** Calls back with a live tap's bytes, as they come. `tap` 0 is the main one; from 1 on those of renditions. */
  onTap(listener: (data: Buffer, tap: number) => void): () => void {
    const tapped = ([data, tap]: [Buffer, number]): void => listener(data, tap);
    this.#taps.add(tapped);
    return () => this.#taps.delete(tapped);
  }

  /** What an ingress program reads its media from: the same descriptor, written to. Its errors are the process's end. */
  get input(): Writable {
    return this.#child.writable(TAP_FD);
  }

  /** Calls back once the process is gone, at once if it is. */
  onExit(listener: (reason: string) => void): () => void {
    if (this.#exitReason !== undefined) {
      const reason = this.#exitReason;
      queueMicrotask(() => listener(reason));
      return () => undefined;
    }
    this.#exits.add(listener);
    return () => this.#exits.delete(listener);
  }

  /**
   * Sends a command and answers with its result.
   * @throws PipelineCommandError if the program refuses, does not answer in time, or is gone
   */
  async send<C extends T['command']>(
    command: C,
    timeoutMs: number = COMMAND_TIMEOUT_MS,
  ): Promise<ResultOf<T, C>> {
    const ok = await this.#request(command, timeoutMs);
    const parsed = this.#protocol.resultSchemas[command.cmd as T['command']['cmd']].safeParse(ok);
    if (!parsed.success)
      throw new PipelineCommandError(command.cmd, `answered with something else: ${parsed.error.message}`);
    return parsed.data as ResultOf<T, C>;
  }

  /**
   * Has everything received flushed into the log, and the process end. After `deadlineMs` it is ended by force.
   * @returns why it is gone
   */
  async stop(deadlineMs: number): Promise<string> {
    if (!this.running) return this.#exitReason ?? '';
    const started = performance.now();
    // It may be gone, hung or not yet initialised: then the deadline, or the end of stdin, ends it.
    await this.#request({ cmd: 'stop' }, deadlineMs).catch((error: unknown) => {
      this.#logger.debug({ err: error }, 'stop was not answered');
      this.#child.writable(0).end();
    });
    await this.#child.endWithin(Math.max(0, deadlineMs - (performance.now() - started)));
    return this.#exitReason ?? '';
  }

  /** Ends the process at once; what is on disk stays. @returns why it is gone */
  async kill(cause = 'killed'): Promise<string> {
    await this.#child.kill(cause);
    return this.#exitReason ?? cause;
  }

  #request(command: { cmd: string }, timeoutMs: number): Promise<unknown> {
    const { cmd } = command;
    if (!this.running)
      return Promise.reject(new PipelineCommandError(cmd, `the process is gone: ${this.#exitReason}`));
    const id = ++this.#lastId;
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    const timer = setTimeout(() => {
      this.#pending.delete(id);
      reject(new PipelineCommandError(cmd, `no answer within ${timeoutMs} ms`));
    }, timeoutMs);
    this.#pending.set(id, { command: cmd, resolve, reject, timer });
    this.#child.writable(0).write(`${JSON.stringify({ ...command, id })}\n`);
    return promise;
  }

  #ping(): void {
    const now = performance.now();
    // We stood still ourselves (a stopped worker that goes on): what the program has said is still to be read.
    if (now - this.#lookedAt > 3 * PING_INTERVAL_MS) this.#heardAt = now;
    this.#lookedAt = now;
    const silentMs = now - this.#heardAt;
    // How long it takes to come up is watched by whoever starts it.
    if (this.#ready && silentMs > this.#hungMs) {
      void this.kill(`hung: no answer for ${Math.round(silentMs)} ms`);
      return;
    }
    this.#request({ cmd: 'ping' }, this.#hungMs * 2).then(
      (ok) => {
        this.#rssBytes = sharedResults.ping.parse(ok).rssBytes;
      },
      () => undefined,
    );
  }

  #read(stdout: Readable): void {
    let partial = '';
    stdout.setEncoding('utf8').on('data', (text: string) => {
      const lines = (partial + text).split('\n');
      partial = lines.pop() ?? '';
      for (const line of lines) if (line !== '') this.#line(line);
    });
  }

  #line(line: string): void {
    this.#heardAt = performance.now();
    let parsed;
    try {
      parsed = parseLine(line, this.#protocol);
    } catch (error) {
      this.#logger.warn({ err: error, line: line.slice(0, 500) }, 'the pipeline program said something else');
      return;
    }
    if (parsed.type === 'event') {
      this.#ready ||= parsed.event.event === 'ready';
      if (isError(parsed.event)) this.#programError = parsed.event.message;
      notify(this.#events, parsed.event, this.#logger);
      return;
    }
    const pending = this.#pending.get(parsed.id);
    if (!pending) return;
    this.#pending.delete(parsed.id);
    clearTimeout(pending.timer);
    if (parsed.type === 'answer') pending.resolve(parsed.ok);
    else pending.reject(new PipelineCommandError(pending.command, parsed.error));
  }

  #onExit(reason: string): void {
    clearInterval(this.#pings);
    this.#exitReason = this.#programError ?? reason;
    for (const { command, reject, timer } of this.#pending.values()) {
      clearTimeout(timer);
      reject(new PipelineCommandError(command, `the process is gone: ${this.#exitReason}`));
    }
    this.#pending.clear();
    this.#logger.debug({ reason: this.#exitReason }, 'pipeline process is gone');
    notify(this.#exits, this.#exitReason, this.#logger);
  }
}

/** A built program, beside the built service or in the checkout. @throws Error if it has not been built */
export function programFile(name: string): string {
  // From src/pipeline (run as it is) and from dist/src/pipeline (built).
  const places = ['../../dist/pipelines/', '../../pipelines/'];
  const files = places.map((place) => fileURLToPath(new URL(`${place}${name}.js`, import.meta.url)));
  const found = files.find((file) => existsSync(file));
  if (!found) throw new Error(`${name}.js is not built: run "npm run build"`);
  return found;
}

function isError(event: { event: string }): event is { event: 'error'; message: string } {
  return event.event === 'error';
}

function notify<T>(listeners: Listeners<T>, value: T, logger: Logger): void {
  for (const listener of [...listeners]) {
    try {
      listener(value);
    } catch (error) {
      logger.error({ err: error }, 'a listener of a pipeline failed');
    }
  }
}
