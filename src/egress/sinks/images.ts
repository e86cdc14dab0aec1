/** Images: follow the log while it grows, and change to the backup storage when their own fails. */
import { setTimeout as sleep } from 'node:timers/promises';
import { ImagesInfo } from '@livekit/protocol';
import { StorageError } from '../../storage/types.ts';
import type { Storage } from '../../storage/types.ts';
import { backupPrefix, isRefusal } from '../../uploads/index.ts';
import type { ImagesUpload } from '../../uploads/index.ts';
import { imagePrefix } from '../filename.ts';
import { scratchDir } from '../log/files.ts';
import type { SegmentLog } from '../log/reader.ts';
import type { Chunk } from '../log/types.ts';
import { ImagesOutput } from '../outputs/images/index.ts';
import type { ImagesStatus } from '../outputs/images/index.ts';
import { imageKey } from '../outputs/images/names.ts';
import type { ImagesOutput as ImagesPlan } from '../plan/types.ts';
import type { ManifestPart } from '../manifest.ts';
import { nowNs } from '../status.ts';
import { aside, isFree } from './free-name.ts';
import { spanOfLog, uploadNote } from './late.ts';
import { folderOf } from './manifest.ts';
import { nameValues } from './names.ts';
import type { NameClaims, Sink, SinkContext, SinkUploads } from './types.ts';

export interface ImagesSinkOptions {
  output: ImagesPlan;
  /** Of the output in the plan. */
  index: number;
  /** Of the output among EgressInfo's image results. */
  result: number;
  storage: Storage;
  claims: NameClaims;
  context: SinkContext;
  uploads: SinkUploads;
  /** The images cannot go on. */
  onFailure: (error: Error) => void;
}

export class ImagesSink implements Sink {
  readonly #options: ImagesSinkOptions;
  readonly #upload: ImagesUpload;
  /** Chunks of this attempt: the backup storage gets images of them from the first on. */
  readonly #pushed: Chunk[] = [];
  #images: ImagesOutput;
  #backup: Storage | undefined;

  /** With names that are not another egress's. */
  static async open(options: ImagesSinkOptions): Promise<ImagesSink> {
    const { output, result, storage, claims, context } = options;
    const { egressId, info } = context.record;
    const known = context.attempt > 1 ? info.imageResults[result]?.filenamePrefix : undefined;
    if (known) return new ImagesSink(options, known);
    const prefix = imagePrefix(output.filenamePrefix, nameValues(context));
    // An image that is overwritten is an address: it shows the egress that came last.
    if (output.suffix === 'none') return new ImagesSink(options, prefix);
    // The first image stands for all of them; with times in their names they are each other's equals.
    const keys = [imageKey(prefix, 'index', 0, 0)];
    if (await isFree({ keys, egressId, storage, claims, logger: context.logger }))
      return new ImagesSink(options, prefix);
    const own = aside(prefix, egressId);
    context.status.remark(`${prefix} is another egress's: the images are called ${own}`);
    return new ImagesSink(options, own);
  }

  private constructor(options: ImagesSinkOptions, prefix: string) {
    const { output, index, result, storage, context } = options;
    const { captureInterval, width, height, suffix } = output;
    this.#options = options;
    this.#upload = {
      ...{ kind: 'images', egressId: context.record.egressId, output: index, storage: output.storage },
      own: context.plan.storages[output.storage]?.type === 'default',
      ...{ result, prefix, suffix, captureInterval, width, height },
    };
    this.#images = this.#open(storage, '');
    this.#report(this.#images.status);
  }

  manifest(): ManifestPart {
    const { output } = this.#options;
    const storage = this.#backup ?? this.#options.storage;
    const images = this.#images.status.images.map(({ key, wallMs }) => ({
      ...{ filename: key, location: storage.location(key), wallMs },
    }));
    return {
      ...{ storage: output.storage, folder: folderOf(this.#upload.prefix), disabled: output.disableManifest },
      // One that is overwritten is there once.
      images: output.suffix === 'none' ? images.slice(-1) : images,
    };
  }

  onChunk(chunk: Chunk): void {
    this.#pushed.push(chunk);
    this.#images.push(chunk);
  }

  async finish(log: SegmentLog): Promise<'done' | 'pending'> {
    let failure = await this.#end();
    if (failure && !this.#backup && this.#options.uploads.openBackup) {
      await this.#useBackup(failure);
      failure = (await this.#end()) && failure;
    }
    this.#report(this.#images.status);
    const { fromKeyFrames, decoded } = this.#images.status;
    this.#options.context.logger.info({ images: this.#upload.prefix, fromKeyFrames, decoded }, 'images made');
    if (!failure) return 'done';
    if (!(failure instanceof StorageError)) throw failure;
    await this.#images.close();
    await this.#leave(failure, log);
    return 'pending';
  }

  async close(): Promise<void> {
    await this.#images.close();
    await this.#backup?.close();
  }

  /** Makes the last images within the time uploads have; answers what kept it from it. */
  async #end(): Promise<Error | undefined> {
    const { waitMs } = this.#options.uploads;
    const timer = new AbortController();
    const late = sleep(waitMs, undefined, { signal: timer.signal }).then(
      () =>
        new StorageError('destination', 504, `the storage did not take everything within ${waitMs / 1000} s`),
      () => undefined,
    );
    const finished = this.#images.finish().then(
      () => undefined,
      (error: unknown) => (error instanceof Error ? error : new Error(String(error))),
    );
    try {
      return await Promise.race([finished, late]);
    } finally {
      timer.abort();
    }
  }

  /** What is missing is made of the log, in the background. @throws the failure when it is a refusal */
  async #leave(failure: StorageError, log: SegmentLog): Promise<void> {
    const { context, uploads } = this.#options;
    const refused = isRefusal(failure);
    await context.assertCurrent();
    await uploads.queue({ ...this.#upload, ...spanOfLog(log) }, refused);
    context.logger.warn({ err: failure, images: this.#upload.prefix }, 'images not all stored yet');
    context.status.remark(uploadNote(this.#upload, context.logDir, refused ? 'kept' : 'pending'));
    if (refused) throw failure;
  }

  async #useBackup(failure: Error): Promise<void> {
    const { context, uploads } = this.#options;
    const storage = uploads.openBackup?.();
    if (!storage) return;
    context.logger.warn({ err: failure }, 'the images go on in the backup storage');
    this.#backup = storage;
    const before = this.#images;
    this.#images = this.#open(storage, backupPrefix(context.record.egressId));
    for (const chunk of this.#pushed) this.#images.push(chunk);
    context.status.update((info) => {
      info.backupStorageUsed = true;
    });
    await before.close();
  }

  #open(storage: Storage, folder: string): ImagesOutput {
    const { context, uploads } = this.#options;
    const { prefix, suffix, captureInterval, width, height } = this.#upload;
    const mayChange = uploads.openBackup !== undefined && this.#backup === undefined;
    return new ImagesOutput({
      ...{ storage, suffix, captureInterval, width, height, prefix: folder + prefix },
      ...{ container: context.program.container, scratch: scratchDir(context.logDir) },
      ...(mayChange && { giveUpMs: Math.max(uploads.waitMs, 1) }),
      earlier: context.earlier.chunks,
      assertCurrent: context.assertCurrent,
      logger: context.logger,
      onUpdate: (status) => this.#report(status),
      onFailure: (error) => {
        if (mayChange && error instanceof StorageError)
          this.#useBackup(error).catch(() => this.#options.onFailure(error));
        else this.#options.onFailure(error);
      },
    });
  }

  #report({ images }: ImagesStatus): void {
    const { result, context } = this.#options;
    const [first] = images;
    const last = images.at(-1);
    const info = new ImagesInfo({
      filenamePrefix: this.#upload.prefix,
      imageCount: BigInt(images.length),
      ...(first && { startedAt: nowNs(first.wallMs) }),
      ...(last && { endedAt: nowNs(last.wallMs) }),
    });
    context.status.update((egress) => {
      egress.imageResults[result] = info;
    });
  }
}
