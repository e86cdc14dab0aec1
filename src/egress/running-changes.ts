/** What the API changes about an egress while it runs, done one after the other, in the order it was asked for. */
import type { Logger } from 'pino';
import type { EgressDesired } from '../store/types.ts';
import { streamsOnly } from './kept.ts';
import type { LimitWatch } from './limit-watch.ts';
import type { SegmentLogWriter } from './log/writer.ts';
import type { EgressPlan } from './plan/types.ts';
import type { Recorder } from './recorder.ts';
import type { Sinks } from './sinks/index.ts';
import type { StatusKeeper } from './status.ts';

export interface RunningChangesOptions {
  recorder: Pick<Recorder, 'pause' | 'resume' | 'note' | 'cut' | 'usePlan'>;
  sinks: Pick<Sinks, 'grow' | 'endRemoved'>;
  log: Pick<SegmentLogWriter, 'keepAll' | 'earlier'>;
  limits: Pick<LimitWatch, 'usePlan'>;
  /** What the egress is to do, with the outputs that are wanted. @throws RequestError */
  planOf: (desired: EgressDesired) => EgressPlan;
  status: Pick<StatusKeeper, 'applied' | 'paused' | 'remark'>;
  /** What it begins with; it counts as done but for markers and for outputs that are not open. */
  initial: EgressDesired;
  /** Whose added outputs are open already, and whose removed ones known to have an end. */
  opened: Pick<EgressDesired, 'outputs' | 'removedOutputs'>;
  logger: Logger;
}

export class RunningChanges {
  readonly #options: RunningChangesOptions;
  readonly #marked: Set<string>;
  #paused: boolean;
  #outputs: number;
  #removed: number;
  #work: Promise<void> = Promise.resolve();

  constructor(options: RunningChangesOptions) {
    this.#options = options;
    this.#paused = options.initial.paused === true;
    this.#outputs = options.opened.outputs?.length ?? 0;
    this.#removed = removedCount(options.opened);
    this.#marked = new Set(
      options.log.earlier.events.flatMap(({ name, data }) =>
        name === 'marker' && data ? [String(data.id)] : [],
      ),
    );
    if (this.#paused) options.status.paused(Date.now());
    else options.status.paused(undefined);
    this.#mark(options.initial);
  }

  /** Answers at once; {@link settled} tells when it is done. */
  apply(desired: EgressDesired): void {
    // A marker is an entry in a list: it waits for nothing.
    this.#mark(desired);
    this.#work = this.#work
      .then(() => this.#pause(desired.paused === true))
      .then(() => this.#changeOutputs(desired))
      .then(() => this.#options.status.applied(desired.revision))
      .catch((error: unknown) => this.#options.logger.error({ err: error }, 'change not made'));
  }

  async settled(): Promise<void> {
    await this.#work;
  }

  #mark({ markers = [] }: EgressDesired): void {
    for (const { markerId, atMs, label } of markers) {
      if (this.#marked.has(markerId)) continue;
      this.#marked.add(markerId);
      this.#options.recorder.note('marker', { id: markerId, label }, atMs);
    }
  }

  async #changeOutputs(desired: EgressDesired): Promise<void> {
    const { recorder, sinks, limits, planOf, status, logger } = this.#options;
    const count = desired.outputs?.length ?? 0;
    const removed = removedCount(desired);
    const isAdded = count > this.#outputs;
    if (isAdded || removed > this.#removed) {
      this.#outputs = Math.max(count, this.#outputs);
      this.#removed = removed;
      try {
        const plan = planOf(desired);
        limits.usePlan(plan);
        if (isAdded) await this.#grow(plan);
      } catch (error) {
        // What else was asked for is done all the same.
        logger.error({ err: error }, 'outputs not changed');
        const reason = error instanceof Error ? error.message : String(error);
        if (isAdded) status.remark(`an output was not added: ${reason}`);
      }
    }
    sinks.endRemoved(desired, () => recorder.cut());
  }

  async #grow(plan: EgressPlan): Promise<void> {
    const { recorder, sinks, log, logger } = this.#options;
    if (!streamsOnly(plan)) log.keepAll();
    recorder.cut();
    await recorder.usePlan(plan);
    await sinks.grow(plan);
    logger.info({ outputs: plan.outputs.map(({ type }) => type) }, 'output added');
  }

  async #pause(paused: boolean): Promise<void> {
    if (paused === this.#paused) return;
    this.#paused = paused;
    const { recorder, status, logger } = this.#options;
    if (paused) {
      status.paused(Date.now());
      await recorder.pause();
    } else {
      await recorder.resume();
      status.paused(undefined);
    }
    logger.info(paused ? 'egress paused' : 'egress resumed');
  }
}

function removedCount({ removedOutputs = {} }: Pick<EgressDesired, 'removedOutputs'>): number {
  return Object.keys(removedOutputs).length;
}
