/** A session's runs, one after another, with what its state says of them. */
import { setTimeout as sleep } from 'node:timers/promises';
import { IngressState_Status as Status } from '@livekit/protocol';
import type { IngressInfo } from '@livekit/protocol';
import type { Logger } from 'pino';
import type { BridgeClient } from '../bridge/client.ts';
import { BridgeRequestError } from '../bridge/errors.ts';
import { BridgeCloseCode } from '../bridge/protocol.ts';
import { Backoff, Limit } from './backoff.ts';
import { messageOf } from './cause.ts';
import type { Cause } from './cause.ts';
import { InputError } from './inputs/types.ts';
import { outputsFor } from './outputs.ts';
import type { RunOutputs } from './outputs.ts';
import type { MediaPath } from './publications.ts';
import { Run } from './run.ts';
import type { RunEnd } from './run.ts';
import type { SessionState } from './session-state.ts';
import type { ConnectSource, RunPipeline, RunSource } from './source.ts';

/** How often what is measured is stored. */
const REFRESH_MS = 2000;
/** A source that gives nothing for this long is said to. */
const SILENCE_MS = 60_000;
/** A source that kills its pipeline again and again is not going to be read. */
const MAX_DEATHS = 6;
const DEATHS_WINDOW_MS = 60_000;

export interface RunsOptions {
  info: IngressInfo;
  state: SessionState;
  connect: ConnectSource;
  startPipeline: () => Promise<RunPipeline>;
  /** The room, joined when it is first asked for. @throws BridgeRequestError */
  bridge: () => Promise<BridgeClient>;
  path: MediaPath;
  signal: AbortSignal;
  /** The session is over. */
  onEnd: (cause: Cause) => void;
  logger: Logger;
}

export class Runs {
  readonly #options: RunsOptions;
  readonly #backoff = new Backoff();
  readonly #deaths = new Limit(MAX_DEATHS, DEATHS_WINDOW_MS);
  /** The run whose media is in the room. */
  #publishing: { run: Run; note: string } | undefined;

  constructor(options: RunsOptions) {
    this.#options = options;
  }

  /**
   * Answers when the session is over or the signal aborted, and nothing runs any more.
   * @throws BridgeRequestError when the room lets nobody in; what an input threw that is no InputError
   */
  async run(): Promise<void> {
    const { signal, state } = this.#options;
    if (state.current.status === Status.ENDPOINT_PUBLISHING) this.#buffering('another worker takes over');
    // Also while nothing runs: the fence answers when this attempt is not wanted any more.
    const refresh = setInterval(() => this.#refresh(), REFRESH_MS);
    try {
      while (!signal.aborted) {
        const waitMs = await this.#once();
        if (waitMs > 0) await sleep(waitMs, undefined, { signal }).catch(() => undefined);
      }
    } finally {
      clearInterval(refresh);
    }
  }

  /** Connects, runs, and has nothing left of it. @returns how long to wait before the next time, ms */
  async #once(): Promise<number> {
    const { signal, onEnd } = this.#options;
    const prepared = await this.#prepare();
    if ('waitMs' in prepared) return prepared.waitMs;
    const end = await this.#play(prepared.source, prepared.outputs);
    if (signal.aborted) return 0;
    if (end.type === 'complete') {
      onEnd({ type: 'complete', reason: '' });
      return 0;
    }
    if (end.type === 'died' && this.#deaths.exceeded()) {
      onEnd({ type: 'fail', reason: `the media cannot be read: ${end.reason}` });
      return 0;
    }
    return this.#again(end.reason);
  }

  /** A connected source, and what becomes of it. */
  async #prepare(): Promise<{ source: RunSource; outputs: RunOutputs } | { waitMs: number }> {
    const { connect, info, signal, onEnd } = this.#options;
    let source: RunSource | undefined;
    try {
      source = await connect(signal);
      return { source, outputs: outputsFor(info, source) };
    } catch (error) {
      await source?.close();
      if (signal.aborted) return { waitMs: 0 };
      if (!(error instanceof InputError)) throw error;
      if (error.retry) return { waitMs: this.#again(error.message) };
      onEnd({ type: 'fail', reason: error.message });
      return { waitMs: 0 };
    }
  }

  #again(reason: string): number {
    const waitMs = this.#backoff.next();
    this.#options.logger.warn({ reason, waitMs }, 'source lost, connecting again');
    this.#buffering(reason);
    return waitMs;
  }

  #buffering(reason: string): void {
    this.#options.state.update((state) => {
      state.status = Status.ENDPOINT_BUFFERING;
      state.error = reason;
      state.tracks = [];
    });
  }

  /** From a connected source to the end of its run. @throws BridgeRequestError when the room cannot be joined */
  async #play(source: RunSource, outputs: RunOutputs): Promise<RunEnd> {
    const { signal, logger } = this.#options;
    const flowing = Promise.withResolvers<undefined>();
    const run = await this.#start(source, outputs, () => flowing.resolve(undefined));
    if (!(run instanceof Run)) return run;
    logger.info({ note: outputs.note, tracks: run.tracks.map(({ sid }) => sid) }, 'ingress run started');
    void flowing.promise.then(() => this.#flowing(run, outputs.note));
    const aborted = Promise.withResolvers<undefined>();
    const abort = (): void => aborted.resolve(undefined);
    signal.addEventListener('abort', abort, { once: true });
    if (signal.aborted) abort();
    try {
      return (await Promise.race([run.ended, aborted.promise])) ?? { type: 'lost', reason: 'told to end' };
    } finally {
      signal.removeEventListener('abort', abort);
      this.#publishing = undefined;
      await run.close();
    }
  }

  async #start(source: RunSource, outputs: RunOutputs, onFlowing: () => void): Promise<Run | RunEnd> {
    const { signal, info, path, bridge: room, startPipeline, logger } = this.#options;
    const [joined, started] = await Promise.allSettled([room(), startPipeline()]);
    if (joined.status === 'rejected' || started.status === 'rejected') {
      await source.close();
      if (started.status === 'fulfilled') await started.value.kill();
      if (joined.status === 'rejected') return roomAway(joined.reason);
      return { type: 'died', reason: messageOf((started as PromiseRejectedResult).reason) };
    }
    const [bridge, pipeline] = [joined.value, started.value];
    try {
      return await Run.start({
        source,
        pipeline,
        outputs,
        bridge,
        path,
        info,
        logger,
        signal,
        onFlowing,
      });
    } catch (error) {
      logger.warn({ err: error }, 'ingress run not started');
      return { type: isAway(error) ? 'lost' : 'died', reason: messageOf(error) };
    }
  }

  #flowing(run: Run, note: string): void {
    this.#backoff.reset();
    this.#publishing = { run, note };
    this.#refresh();
  }

  /** What is measured changes all the time; a source that has fallen silent is said to have. */
  #refresh(): void {
    const { run, note } = this.#publishing ?? {};
    this.#options.state.update((state) => {
      if (!run || note === undefined) return;
      const silentMs = performance.now() - run.heardAt;
      const silent = silentMs > SILENCE_MS;
      state.status = silent ? Status.ENDPOINT_BUFFERING : Status.ENDPOINT_PUBLISHING;
      state.error = silent ? `no media for ${Math.round(silentMs / 1000)} s` : note;
      state.tracks = run.tracks;
      Object.assign(state, { video: run.video, audio: run.audio });
    });
  }
}

/** The SFU cannot be reached (any more): it may come back. */
function isAway(error: unknown): boolean {
  if (!(error instanceof BridgeRequestError)) return false;
  const { code, closeCode } = error;
  return code === 'timeout' || (code === 'closed' && closeCode !== BridgeCloseCode.refused);
}

/** @throws the error, unless the room may be joined later */
function roomAway(error: unknown): RunEnd {
  if (!isAway(error)) throw error;
  return { type: 'lost', reason: `the room cannot be joined: ${messageOf(error)}` };
}
