/** The sinks of an egress: one an output of its plan. */
import type { AddressPolicy } from '../../outbound/index.ts';
import { StorageError } from '../../storage/types.ts';
import type { Storage } from '../../storage/types.ts';
import type { EgressDesired } from '../../store/types.ts';
import { streamsOnly } from '../kept.ts';
import { readLog } from '../log/reader.ts';
import type { SegmentLog } from '../log/reader.ts';
import type { Chunk } from '../log/types.ts';
import type { TapOrigin } from '../pipeline-run.ts';
import type { EgressOutput, EgressPlan } from '../plan/types.ts';
import type { WantedTrack } from '../room/selection.ts';
import { destinationsOf } from './destinations.ts';
import { FileSink } from './file.ts';
import { ImagesSink } from './images.ts';
import { manifestWriter } from './manifest.ts';
import type { ManifestWriter } from './manifest.ts';
import { SegmentsSink } from './segments.ts';
import { partOf, SpannedSink, spanOf } from './spanned.ts';
import { StreamsSink } from './streams.ts';
import type { NameClaims, Sink, SinkContext, SinkUploads, StorageFactory } from './types.ts';

export type { SinkContext } from './types.ts';

/** Chunks that an output asked for before they were closed, and opened after, still gets; they last about two seconds. */
const CHUNKS_KEPT = 64;
/** How long the end of an output that is removed waits for the chunk with it, ms. */
const REMOVED_WAIT_MS = 4000;

export interface SinkCallbacks {
  /** An output the egress cannot do without has failed: the egress ends as FAILED, with what it has. */
  onFailure: (error: Error) => void;
  /** Every stream has ended and nothing else is left to do. */
  onNothingLeft: () => void;
}

export type SinksFactory = (context: SinkContext, callbacks: SinkCallbacks) => Promise<Sinks>;

/** Calls reach every sink; one that fails does not keep the others from finishing. */
export class Sinks {
  readonly #opener: SinkOpener;
  readonly #sinks: SpannedSink[] = [];
  readonly #ending: Promise<unknown>[] = [];
  #newest: readonly Chunk[] = [];
  /** The newest that is known: changes of outputs wait for each other, wishes do not. */
  #desired: EgressDesired | undefined;

  constructor(opener: SinkOpener) {
    this.#opener = opener;
  }

  /**
   * Opens the outputs of the plan that are not open yet: they get what has come since they were asked for. One that was added to the
   * request's own and cannot be opened is left out, with a remark: the egress goes on without it, in later attempts too.
   * @throws what an output of the request's own throws, when every other one is open
   */
  async grow(plan: EgressPlan): Promise<void> {
    this.#opener.plan = plan;
    const known = this.#sinks.length;
    const added = plan.outputs.slice(known).map((_, i) => known + i);
    const opened = await Promise.allSettled(added.map((index) => this.#opener.open(index)));
    for (const each of opened) {
      if (each.status === 'rejected') continue;
      this.#sinks.push(each.value);
      // Opening may take a storage longer than a chunk lasts.
      for (const chunk of this.#newest) each.value.onChunk(chunk);
      if (this.#desired) each.value.sink.onDesired?.(this.#desired);
    }
    for (const each of opened) if (each.status === 'rejected') throw each.reason;
  }

  /**
   * Ends outputs that are not wanted any more, in the background.
   * @param cut asks for a keyframe: what an output is made of ends there
   */
  endRemoved({ removedOutputs = {} }: EgressDesired, cut: () => void): void {
    const { epochMs, logDir, logger } = this.#opener.context;
    for (const each of this.#sinks) {
      const toMs = removedOutputs[each.outputId];
      if (toMs === undefined || each.ending) continue;
      each.endAt((toMs - epochMs) * 1e6);
      const reached = each.reached(REMOVED_WAIT_MS);
      cut();
      const ended = reached
        .then(async () => {
          await each.sink.endLive?.();
          await each.finish(await readLog(logDir, { recover: false }));
          logger.info({ output: each.outputId }, 'output ended');
        })
        // The end of the egress says it.
        .catch((error: unknown) => logger.warn({ err: error, output: each.outputId }, 'output not ended'));
      this.#ending.push(ended);
    }
  }

  onChunk(chunk: Chunk): void {
    this.#newest = [...this.#newest, chunk].slice(-CHUNKS_KEPT);
    for (const each of this.#sinks) each.onChunk(chunk);
  }

  onTap(data: Buffer, origin: TapOrigin): void {
    for (const { sink } of this.#sinks) sink.onTap?.(data, origin);
  }

  onTracks(wanted: readonly WantedTrack[]): void {
    for (const { sink } of this.#sinks) sink.onTracks?.(wanted);
  }

  /** An older revision than one that was told already changes nothing. */
  onDesired(desired: EgressDesired): void {
    if (desired.revision < (this.#desired?.revision ?? 0)) return;
    this.#desired = desired;
    for (const { sink } of this.#sinks) sink.onDesired?.(desired);
  }

  async endLive(): Promise<void> {
    await Promise.all(this.#sinks.map(async ({ sink }) => sink.endLive?.()));
  }

  /**
   * `pending`: something is still to be uploaded from this machine.
   * @throws after all have finished or failed: the first failure, a StorageError only when there is no other.
   */
  async finish(log: SegmentLog): Promise<'done' | 'pending'> {
    const results = await Promise.allSettled(this.#sinks.map((each) => each.finish(log)));
    const failures = results.flatMap((each) => (each.status === 'rejected' ? [each.reason as unknown] : []));
    const pending = results.some((each) => each.status === 'fulfilled' && each.value === 'pending');
    const parts = this.#sinks.flatMap(({ sink }) => sink.manifest?.() ?? []);
    const manifest = this.#opener.writeManifest(
      log,
      parts,
      failures.length > 0 ? 'failed' : pending ? 'pending' : 'done',
    );
    if (failures.length > 0) {
      await manifest.catch(() => undefined);
      throw failures.find((each) => !(each instanceof StorageError)) ?? failures[0];
    }
    return (await manifest) === 'pending' || pending ? 'pending' : 'done';
  }

  async close(): Promise<void> {
    for (const each of this.#sinks) each.release();
    await Promise.allSettled(this.#sinks.map(async ({ sink }) => sink.close?.()));
    await Promise.allSettled(this.#ending);
    await this.#opener.close();
  }
}

export interface SinkParts {
  storageFor: StorageFactory;
  uploads: SinkUploads;
  /** Where destinations of streams may be. */
  policy: AddressPolicy;
  /** Which names are another egress's. */
  claims: NameClaims;
}

/** Opens a plan's outputs, one by one. */
class SinkOpener {
  readonly context: SinkContext;
  readonly #callbacks: SinkCallbacks;
  readonly #parts: SinkParts;
  readonly #storages: Storage[] = [];
  /** Also with what has been added since. */
  plan: EgressPlan;

  constructor(context: SinkContext, callbacks: SinkCallbacks, parts: SinkParts) {
    this.context = context;
    this.#callbacks = callbacks;
    this.#parts = parts;
    this.plan = context.plan;
  }

  get writeManifest(): ManifestWriter {
    return manifestWriter({ ...this.context, plan: this.plan }, this.#parts.uploads);
  }

  /** @param index of the output in the plan. @throws StorageError, where the request asked for the output */
  async open(index: number): Promise<SpannedSink> {
    const { plan } = this;
    const { epochMs, status, earlier, logger } = this.context;
    const output = plan.outputs[index];
    if (!output) throw new Error(`the plan has no output ${index}`);
    const known = plan.spans?.[index];
    const span = spanOf(known, epochMs);
    const outputId = known?.outputId ?? output.type;
    const context = { ...this.context, plan, earlier: partOf(earlier, span) };
    try {
      return new SpannedSink(await this.#open(output, index, context), outputId, span, () =>
        status.remark(`output ${outputId} is left out: nothing was recorded while it was wanted`),
      );
    } catch (error) {
      if (index < (plan.ownOutputs ?? plan.outputs.length)) throw error;
      logger.warn({ err: error, output: outputId }, 'output not added');
      status.remark(`an output was not added: ${error instanceof Error ? error.message : String(error)}`);
      // It keeps its place: outputs are known by it.
      return new SpannedSink({}, outputId, span, () => undefined);
    }
  }

  async #open(output: EgressOutput, index: number, context: SinkContext): Promise<Sink> {
    const { uploads, claims, policy } = this.#parts;
    const { onFailure, onNothingLeft } = this.#callbacks;
    const result = this.plan.outputs.slice(0, index).filter(({ type }) => type === output.type).length;
    const common = { index, result, context, uploads, claims };
    switch (output.type) {
      case 'file':
        // An earlier attempt has ended it, and stored it.
        if (this.plan.spans?.[index]?.toMs !== undefined && context.record.info.fileResults[result]?.location)
          return {};
        return new FileSink({ ...common, output, storage: this.#storage(output.storage) });
      case 'segments':
        return SegmentsSink.open({
          ...{ ...common, output, storage: this.#storage(output.storage) },
          onFailure,
        });
      case 'images':
        return ImagesSink.open({ ...common, output, storage: this.#storage(output.storage), onFailure });
      case 'stream':
        return new StreamsSink(
          context,
          policy,
          () => {
            if (streamsOnly(this.plan)) onNothingLeft();
          },
          undefined,
          destinationsOf(output, this.plan, context.tracks),
        );
    }
  }

  async close(): Promise<void> {
    await Promise.allSettled(this.#storages.map((storage) => storage.close()));
  }

  #storage(index: number): Storage {
    const plan = this.plan.storages[index];
    if (!plan) throw new Error(`the plan has no storage ${index}`);
    return (this.#storages[index] ??= this.#parts.storageFor(plan));
  }
}

/** @throws StorageError when an output of the request's own cannot be opened */
export async function createSinks(
  context: SinkContext,
  callbacks: SinkCallbacks,
  parts: SinkParts,
): Promise<Sinks> {
  const sinks = new Sinks(new SinkOpener(context, callbacks, parts));
  try {
    await sinks.grow(context.plan);
    return sinks;
  } catch (error) {
    await sinks.close();
    throw error;
  }
}
