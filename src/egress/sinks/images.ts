/** Images, made of the log while it grows. */
import { ImagesInfo } from '@livekit/protocol';
import type { Storage } from '../../storage/types.ts';
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
import { aside, isFree, nameOwner } from './free-name.ts';
import { Follower } from './follower.ts';
import type { FollowingOptions } from './follower.ts';
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
  readonly #images: Follower<ImagesOutput>;

  /** With names that are not another output's. */
  static async open(options: ImagesSinkOptions): Promise<ImagesSink> {
    const { output, index, result, storage, claims, context } = options;
    const { info } = context.record;
    const { holder, mark } = nameOwner(context, index);
    const known = context.attempt > 1 ? info.imageResults[result]?.filenamePrefix : undefined;
    if (known) return new ImagesSink(options, known);
    const prefix = imagePrefix(output.filenamePrefix, nameValues(context));
    // An image that is overwritten is an address: it shows the egress that came last.
    if (output.suffix === 'none') return new ImagesSink(options, prefix);
    // The first image stands for all of them; with times in their names they are each other's equals.
    const keys = [imageKey(prefix, 'index', 0, 0)];
    if (await isFree({ keys, holder, storage, claims, logger: context.logger }))
      return new ImagesSink(options, prefix);
    const own = aside(prefix, mark);
    context.status.remark(`${prefix} is another output's: the images are called ${own}`);
    return new ImagesSink(options, own);
  }

  private constructor(options: ImagesSinkOptions, prefix: string) {
    const { output, index, result, storage, context, uploads, onFailure } = options;
    const { captureInterval, width, height, suffix } = output;
    this.#options = options;
    this.#upload = {
      ...{ kind: 'images', egressId: context.record.egressId, output: index, storage: output.storage },
      own: context.plan.storages[output.storage]?.type === 'default',
      ...{ result, prefix, suffix, captureInterval, width, height },
    };
    this.#images = new Follower({
      ...{ what: 'images', name: prefix, storage, context, uploads, upload: this.#upload, onFailure },
      open: (where, folder, how) => this.#open(where, folder, how),
    });
    this.#report(this.#images.following.status);
  }

  manifest(): ManifestPart {
    const { output } = this.#options;
    const { storage, following } = this.#images;
    const images = following.status.images.map(({ key, wallMs }) => ({
      ...{ filename: key, location: storage.location(key), wallMs },
    }));
    return {
      ...{ storage: output.storage, folder: folderOf(this.#upload.prefix), disabled: output.disableManifest },
      // One that is overwritten is there once.
      images: output.suffix === 'none' ? images.slice(-1) : images,
    };
  }

  onChunk(chunk: Chunk): void {
    this.#images.push(chunk);
  }

  async finish(log: SegmentLog): Promise<'done' | 'pending'> {
    const outcome = await this.#images.finish(log);
    const { status } = this.#images.following;
    this.#report(status);
    const { fromKeyFrames, decoded } = status;
    this.#options.context.logger.info({ images: this.#upload.prefix, fromKeyFrames, decoded }, 'images made');
    return outcome;
  }

  close(): Promise<void> {
    return this.#images.close();
  }

  #open(storage: Storage, folder: string, how: FollowingOptions): ImagesOutput {
    const { context } = this.#options;
    const { prefix, suffix, captureInterval, width, height } = this.#upload;
    return new ImagesOutput({
      ...{ storage, suffix, captureInterval, width, height, prefix: folder + prefix },
      ...{ container: context.program.container, scratch: scratchDir(context.logDir) },
      earlier: context.earlier.chunks,
      assertCurrent: context.assertCurrent,
      logger: context.logger,
      onUpdate: (status) => this.#report(status),
      ...how,
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
