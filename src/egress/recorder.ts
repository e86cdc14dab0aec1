/**
 * Records: runs the pipeline, again when it dies, and writes down what it makes in the segment log. What starts and
 * ends a pipeline goes through one queue, so that a stop never overtakes a restart.
 */
import { writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { PipelineEvent } from '../../pipelines/shared/protocol.ts';
import { EgressError } from './errors.ts';
import { chunkPattern, pidPath } from './log/files.ts';
import type { EventLine } from './log/types.ts';
import type { SegmentLogWriter } from './log/writer.ts';
import { SupersededError } from './log/writer.ts';
import type { PipelineRunFactory, PipelineRunOptions, RunningPipeline, TapOrigin } from './pipeline-run.ts';
import type { EgressPlan } from './plan/types.ts';
import type { Program } from './program.ts';
import type { WantedTrack } from './room/selection.ts';

/** A pipeline that dies is started again, at most `MAX_RESTARTS` times within the window. */
const MAX_RESTARTS = 5;
const RESTART_WINDOW_MS = 60_000;
const RESTART_DELAY_MS = 200;
/** What was captured before a pause has come through jitterbuffers and mixers after this, ms. */
const SETTLE_MS = 450;
/** How long a resumed egress waits for media of all its tracks before it goes on with those there are, ms. */
const FLOW_MS = 1500;
/** Decoders and mixers of a busy machine show a track so long after its first frame at most, ms. */
const SHOWN_MS = 700;
/** What an encoder is given at a moment was captured so long before it at most, ms. */
const BEHIND_MS = 450;
/** Time for a pipeline to flush what it has received. */
const STOP_MS = 10_000;

export interface RecorderOptions {
  log: SegmentLogWriter;
  /** Folder of the segment log. */
  logDir: string;
  attempt: number;
  /** Wall clock of egress-clock zero, ms. */
  epochMs: number;
  startPipeline: PipelineRunFactory;
  /** What every run is started with. */
  run: Pick<PipelineRunOptions, 'bridge' | 'page' | 'plan' | 'stage' | 'address' | 'srtp' | 'portRange'>;
  /** The tracks wanted at this moment: a pipeline that is started again begins with them. */
  wanted: () => readonly WantedTrack[];
  /** The live tap; undefined when nobody needs it. */
  onTap: (data: Buffer, origin: TapOrigin) => void;
  /** A newer attempt has taken the log over, or recording cannot go on. */
  onFatal: (error: unknown) => void;
  /** It begins paused: an earlier attempt was, or it was asked for before this one began. */
  paused: boolean;
  logger: Logger;
}

export class Recorder {
  readonly #options: RecorderOptions;
  readonly #restarts: number[] = [];
  #program: Program;
  #run: RunningPipeline | undefined;
  #runs = 0;
  /** Number of the last run that is known to be gone. */
  #died: number | undefined;
  #work: Promise<void> = Promise.resolve();
  #over = false;
  #paused: boolean;
  /** Another program has been decided on, and does not run yet. */
  #changing = false;
  #plan: EgressPlan;

  constructor(program: Program, options: RecorderOptions) {
    this.#program = program;
    this.#options = options;
    this.#paused = options.paused;
    this.#plan = options.run.plan;
  }

  /** Starts the first pipeline. @throws when it does not play */
  async start(wanted: readonly WantedTrack[]): Promise<void> {
    await this.#enqueue(async () => {
      // Also where an earlier attempt has said it: what it left unlisted is read by its own index alone.
      if (this.#paused) this.note('pause');
      else if (this.#options.log.paused) this.note('resume');
      await this.#startRun(wanted);
    });
  }

  /** Makes the running pipeline's tracks what `wanted` says. */
  sync(wanted: readonly WantedTrack[]): void {
    // A program that is about to go cannot take what the next one is started for.
    if (!this.#paused && !this.#changing) this.#run?.sync(wanted);
  }

  /**
   * Lets go of every track: nothing of the room is received until {@link resume}; a page is hidden. The pipeline goes on, so that streams
   * stay connected: with a black picture where one is composed, with none where one is copied, and with silence. What
   * was captured up to now is recorded.
   */
  async pause(): Promise<void> {
    await this.#enqueue(async () => {
      if (this.#paused || this.#isOver()) return;
      this.#paused = true;
      this.note('pause');
      await sleep(SETTLE_MS);
      this.#run?.sync([]);
      await this.#run?.hide?.(true);
    });
  }

  /** Takes the tracks again; the recording goes on when media of all of them has come, with a keyframe. */
  async resume(): Promise<void> {
    await this.#enqueue(async () => {
      if (!this.#paused || this.#isOver()) return;
      this.#paused = false;
      const wanted = this.#options.wanted();
      this.#run?.sync(wanted);
      await this.#run?.hide?.(false);
      if (this.#program.program === 'passthrough') {
        // Nothing is shown in between: what comes first is a keyframe, asked for with the track.
        this.note('resume');
        return;
      }
      await this.#run?.flowing(wanted, FLOW_MS);
      // What the mixers give out now was captured before the tracks were there.
      await sleep(SHOWN_MS);
      this.note('resume', undefined, Date.now() - BEHIND_MS);
      this.#run?.cut();
    });
  }

  /** What it records for from now on; a pipeline that has to be started again is started for it. */
  async usePlan(plan: EgressPlan): Promise<void> {
    await this.#enqueue(async () => {
      const streams = ({ outputs }: EgressPlan) => outputs.some(({ type }) => type === 'stream');
      const isNew = streams(plan) && !streams(this.#plan);
      this.#plan = plan;
      // One that has died is started again with what is wanted now, and so is one that cannot do it.
      const failed = (error: unknown) => this.#onDied(this.#runs - 1, `no tap: ${textOf(error)}`);
      if (isNew) await this.#run?.openTap().catch(failed);
    });
  }

  /** Asks for a keyframe, at which a chunk begins. */
  cut(): void {
    if (!this.#paused) this.#run?.cut();
  }

  /**
   * Goes on with another program, in the same log: the tracks have become something the first one cannot take. One that
   * does not start is started again, as one that dies is.
   * @throws SupersededError, LogError
   */
  async change(program: Program): Promise<void> {
    this.#changing = true;
    await this.#enqueue(async () => {
      if (this.#isOver()) return;
      this.#program = program;
      await this.#endRun();
      this.#changing = false;
      try {
        await this.#startRun(this.#options.wanted());
      } catch (error) {
        if (error instanceof SupersededError) throw error;
        this.#again(textOf(error));
      }
    });
  }

  /** Flushes what was received into the log and ends the pipeline for good. */
  async stop(): Promise<void> {
    this.#over = true;
    await this.#enqueue(() => this.#endRun());
  }

  /** Ends the pipeline at once, for good. */
  async kill(): Promise<void> {
    this.#over = true;
    await this.#enqueue(async () => {
      await this.#run?.kill();
      this.#run = undefined;
    });
  }

  /** Writes an event into the log. @param atMs wall clock; now by default */
  note(name: EventLine['name'], data?: Record<string, string>, atMs: number = Date.now()): void {
    const { log, epochMs } = this.#options;
    this.#write(log.event(name, Math.max(0, atMs - epochMs) * 1e6, data));
  }

  /** A function, because it may turn true between two looks. */
  #isOver(): boolean {
    return this.#over;
  }

  #enqueue(work: () => Promise<void>): Promise<void> {
    const done = this.#work.then(work);
    this.#work = done.catch(() => undefined);
    return done;
  }

  async #endRun(): Promise<void> {
    const run = this.#run;
    if (!run) return;
    this.#run = undefined;
    await run.stop(STOP_MS);
    await this.#options.log.endRun(this.#runs - 1);
  }

  async #startRun(wanted: readonly WantedTrack[]): Promise<void> {
    const { log, logDir, attempt, epochMs, startPipeline, run, onTap, logger } = this.#options;
    const { container } = this.#program;
    const number = this.#runs++;
    this.#run = await startPipeline({
      ...run,
      plan: this.#plan,
      program: this.#program,
      wanted,
      idle: this.#paused,
      log: { dir: log.folder, pattern: chunkPattern(number, container), container },
      epochMs,
      logger,
      onEvent: (event) => this.#onEvent(event),
      onTap: (data, tap) => onTap(data, { tap, run: number }),
      onDied: (reason) => this.#onDied(number, reason),
    });
    // Whoever takes over on this machine ends what a killed worker has left running.
    await writeFile(pidPath(logDir, attempt), `${this.#run.pid ?? ''}\n`);
    // The room may have changed while the pipeline came up.
    this.sync(this.#options.wanted());
  }

  #onEvent(event: PipelineEvent): void {
    const { log, logger } = this.#options;
    switch (event.event) {
      case 'chunk':
        this.#write(log.addChunk(event));
        break;
      case 'trackFlow':
        this.note(event.flowing ? 'flow' : 'stall', { trackId: event.trackId });
        break;
      case 'trackClock':
        this.note('clock', { trackId: event.trackId, atZeroNs: event.atZeroNs });
        break;
      case 'trackError':
        logger.warn({ trackId: event.trackId, reason: event.message }, 'track failed');
        break;
      case 'warning':
        logger.warn({ reason: event.message }, 'pipeline warning');
        break;
      case 'error':
        logger.error({ reason: event.message, element: event.element }, 'pipeline error');
        break;
      default:
        break;
    }
  }

  /** @param number of the run. Another one may be there already, and its death be known. */
  #onDied(number: number, reason: string): void {
    if (number !== this.#runs - 1 || number === this.#died) return;
    this.#died = number;
    this.#again(reason);
  }

  /** Starts the newest run again, or gives up. */
  #again(reason: string): void {
    if (this.#isOver()) return;
    const number = this.#runs - 1;
    const now = Date.now();
    this.#restarts.push(now);
    const recent = this.#restarts.filter((at) => now - at < RESTART_WINDOW_MS).length;
    this.#options.logger.error({ reason, recent }, 'pipeline died');
    if (recent > MAX_RESTARTS) {
      const message = `the pipeline died ${recent} times in a minute: ${reason}`;
      this.#options.onFatal(new EgressError('internal', message));
      return;
    }
    this.#enqueue(() => this.#restart(number, reason)).catch((error: unknown) => {
      if (error instanceof SupersededError) this.#options.onFatal(error);
      else this.#again(textOf(error));
    });
  }

  async #restart(number: number, reason: string): Promise<void> {
    // Another program has been started meanwhile.
    if (number !== this.#runs - 1) return;
    await this.#run?.kill();
    this.#run = undefined;
    await this.#options.log.endRun(this.#runs - 1);
    await sleep(RESTART_DELAY_MS);
    if (this.#isOver()) return;
    await this.#startRun(this.#options.wanted());
    this.note('pipeline_restart', { reason });
  }

  /** The log is written in the background and in order; what it refuses ends the recording. */
  #write(written: Promise<unknown>): void {
    written.catch((error: unknown) => {
      if (error instanceof SupersededError) this.#options.onFatal(error);
      else if (!this.#isOver()) {
        this.#options.onFatal(
          new EgressError('internal', `the segment log cannot be written: ${String(error)}`),
        );
      }
    });
  }
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
