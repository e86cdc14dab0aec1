/** The sinks of an egress: one an output of its plan. */
import type { AddressPolicy } from '../../outbound/index.ts';
import { StorageError } from '../../storage/types.ts';
import type { Storage } from '../../storage/types.ts';
import type { EgressDesired } from '../../store/types.ts';
import { streamsOnly } from '../kept.ts';
import type { SegmentLog } from '../log/reader.ts';
import type { Chunk } from '../log/types.ts';
import type { TapOrigin } from '../pipeline-run.ts';
import type { WantedTrack } from '../selection.ts';
import { destinationsOf } from './destinations.ts';
import { FileSink } from './file.ts';
import { ImagesSink } from './images.ts';
import { manifestWriter } from './manifest.ts';
import type { ManifestWriter } from './manifest.ts';
import { SegmentsSink } from './segments.ts';
import { StreamsSink } from './streams.ts';
import type { NameClaims, Sink, SinkContext, SinkUploads, StorageFactory } from './types.ts';

export type { SinkContext } from './types.ts';

export interface SinkCallbacks {
  /** An output the egress cannot do without has failed: the egress ends as FAILED, with what it has. */
  onFailure: (error: Error) => void;
  /** Every stream has ended and nothing else is left to do. */
  onNothingLeft: () => void;
}

export type SinksFactory = (context: SinkContext, callbacks: SinkCallbacks) => Promise<Sinks>;

/** Calls reach every sink; one that fails does not keep the others from finishing. */
export class Sinks {
  readonly #sinks: readonly Sink[];
  readonly #storages: readonly Storage[];
  readonly #writeManifest: ManifestWriter;

  constructor(sinks: readonly Sink[], storages: readonly Storage[], writeManifest: ManifestWriter) {
    this.#sinks = sinks;
    this.#storages = storages;
    this.#writeManifest = writeManifest;
  }

  onChunk(chunk: Chunk): void {
    for (const sink of this.#sinks) sink.onChunk?.(chunk);
  }

  onTap(data: Buffer, origin: TapOrigin): void {
    for (const sink of this.#sinks) sink.onTap?.(data, origin);
  }

  onTracks(wanted: readonly WantedTrack[]): void {
    for (const sink of this.#sinks) sink.onTracks?.(wanted);
  }

  onDesired(desired: EgressDesired): void {
    for (const sink of this.#sinks) sink.onDesired?.(desired);
  }

  async endLive(): Promise<void> {
    await Promise.all(this.#sinks.map(async (sink) => sink.endLive?.()));
  }

  /**
   * `pending`: something is still to be uploaded from this machine.
   * @throws after all have finished or failed: the first failure, a StorageError only when there is no other.
   */
  async finish(log: SegmentLog): Promise<'done' | 'pending'> {
    const results = await Promise.allSettled(this.#sinks.map(async (sink) => sink.finish?.(log)));
    const failures = results.flatMap((each) => (each.status === 'rejected' ? [each.reason as unknown] : []));
    const pending = results.some((each) => each.status === 'fulfilled' && each.value === 'pending');
    const parts = this.#sinks.flatMap((sink) => sink.manifest?.() ?? []);
    const manifest = this.#writeManifest(
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
    await Promise.allSettled(this.#sinks.map(async (sink) => sink.close?.()));
    await Promise.allSettled(this.#storages.map((storage) => storage.close()));
  }
}

/**
 * @param policy where destinations of streams may be.
 * @param claims which names are another egress's.
 * @throws StorageError, NameConflict
 */
export async function createSinks(
  context: SinkContext,
  callbacks: SinkCallbacks,
  storageFor: StorageFactory,
  uploads: SinkUploads,
  policy: AddressPolicy,
  claims: NameClaims,
): Promise<Sinks> {
  const { outputs } = context.plan;
  const storages = context.plan.storages.map(storageFor);
  const storage = (index: number): Storage => {
    const found = storages[index];
    if (!found) throw new Error(`the plan has no storage ${index}`);
    return found;
  };
  const open = async (output: (typeof outputs)[number], index: number): Promise<Sink> => {
    switch (output.type) {
      case 'file':
        return new FileSink({
          ...{ output, index, context, uploads, claims, storage: storage(output.storage) },
        });
      case 'segments':
        return SegmentsSink.open({
          ...{ output, index, context, uploads, storage: storage(output.storage), claims },
          onFailure: callbacks.onFailure,
        });
      case 'images':
        return ImagesSink.open({
          ...{ output, index, context, uploads, storage: storage(output.storage), claims },
          result: outputs.slice(0, index).filter(({ type }) => type === 'images').length,
          onFailure: callbacks.onFailure,
        });
      case 'stream':
        return new StreamsSink(
          context,
          policy,
          streamsOnly(context.plan) ? callbacks.onNothingLeft : () => undefined,
          undefined,
          destinationsOf(output, context.plan, context.tracks),
        );
    }
  };
  const sinks = await Promise.all(outputs.map(open));
  return new Sinks(sinks, storages, manifestWriter(context, uploads));
}
