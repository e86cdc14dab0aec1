/** The sinks of an egress: one an output of its plan. */
import type { Storage } from '../../storage/types.ts';
import type { EgressDesired } from '../../store/types.ts';
import type { SegmentLog } from '../log/reader.ts';
import type { Chunk } from '../log/types.ts';
import { FileSink } from './file.ts';
import { SegmentsSink } from './segments.ts';
import { StreamsSink } from './streams.ts';
import type { Sink, SinkContext, StorageFactory } from './types.ts';

export type { SinkContext } from './types.ts';

export interface SinkCallbacks {
  /** An output the egress cannot do without has failed: the egress ends as FAILED, with what it has. */
  onFailure: (error: Error) => void;
  /** Every stream has ended and nothing else is left to do. */
  onNothingLeft: () => void;
}

export type SinksFactory = (context: SinkContext, callbacks: SinkCallbacks) => Sinks;

/** Calls reach every sink; one that fails does not keep the others from finishing. */
export class Sinks {
  readonly #sinks: readonly Sink[];
  readonly #storages: readonly Storage[];

  constructor(sinks: readonly Sink[], storages: readonly Storage[]) {
    this.#sinks = sinks;
    this.#storages = storages;
  }

  onChunk(chunk: Chunk): void {
    for (const sink of this.#sinks) sink.onChunk?.(chunk);
  }

  onTap(data: Buffer): void {
    for (const sink of this.#sinks) sink.onTap?.(data);
  }

  onDesired(desired: EgressDesired): void {
    for (const sink of this.#sinks) sink.onDesired?.(desired);
  }

  async endLive(): Promise<void> {
    await Promise.all(this.#sinks.map(async (sink) => sink.endLive?.()));
  }

  /** @throws the first failure, after all have finished or failed. */
  async finish(log: SegmentLog): Promise<void> {
    const results = await Promise.allSettled(this.#sinks.map(async (sink) => sink.finish?.(log)));
    for (const result of results) if (result.status === 'rejected') throw result.reason;
  }

  async close(): Promise<void> {
    await Promise.allSettled(this.#sinks.map(async (sink) => sink.close?.()));
    await Promise.allSettled(this.#storages.map((storage) => storage.close()));
  }
}

/** @throws StorageError, NameConflict */
export function createSinks(
  context: SinkContext,
  callbacks: SinkCallbacks,
  storageFor: StorageFactory,
): Sinks {
  const { outputs } = context.plan;
  const storages = context.plan.storages.map(storageFor);
  const storage = (index: number): Storage => {
    const found = storages[index];
    if (!found) throw new Error(`the plan has no storage ${index}`);
    return found;
  };
  const streamsOnly = outputs.every(({ type }) => type === 'stream');
  const sinks = outputs.map((output): Sink => {
    switch (output.type) {
      case 'file':
        return new FileSink(output, storage(output.storage), context);
      case 'segments':
        return new SegmentsSink(output, storage(output.storage), context, callbacks.onFailure);
      case 'stream':
        return new StreamsSink(context, streamsOnly ? callbacks.onNothingLeft : () => undefined);
    }
  });
  return new Sinks(sinks, storages);
}
