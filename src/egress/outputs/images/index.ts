/** The images output: pictures of the log in storage, at the interval asked for. */
import { mkdir, readFile } from 'node:fs/promises';
import type { Logger } from 'pino';
import { FfmpegError } from '../../../pipeline/ffmpeg.ts';
import type { Storage } from '../../../storage/types.ts';
import type { LogContainer } from '../../log/files.ts';
import { gapBetween } from '../../log/fold.ts';
import { InspectError } from '../../log/inspection.ts';
import type { Chunk } from '../../log/types.ts';
import { OutputError } from '../errors.ts';
import { persist } from '../persist.ts';
import { OutputQueue } from '../queue.ts';
import { grabFrames } from './grab.ts';
import { firstPictureNs } from './key-frame.ts';
import { imageKey } from './names.ts';
import type { ImageSuffix } from './names.ts';
import { ImageSchedule } from './schedule.ts';
import type { Shot } from './schedule.ts';

export interface ImagesOptions {
  storage: Storage;
  /** Keys in the storage: images are `<prefix>_00000.jpeg`. */
  prefix: string;
  suffix: ImageSuffix;
  /** Seconds, positive. */
  captureInterval: number;
  /** Pixels; 0: see PictureSize. */
  width: number;
  height: number;
  container: LogContainer;
  /** Folder for temporary files; made when it is not there. */
  scratch: string;
  /** Chunks of earlier attempts: images of them that are stored are recognised, what is missing is made. */
  earlier: readonly Chunk[];
  /** Asked before each write; what it throws ends the output. */
  assertCurrent?: () => Promise<void>;
  logger: Logger;
  /** A store that fails for this long without one success is given up, ms; default: never. The log keeps everything. */
  giveUpMs?: number;
  /** Called after each image. */
  onUpdate?: (status: ImagesStatus) => void;
  /** The output cannot go on: the request's fault (no such bucket), or `giveUpMs` of failure. */
  onFailure?: (error: Error) => void;
}

/** An image in its storage. */
export interface StoredImage {
  key: string;
  /** Wall clock of what it shows, ms since the epoch. */
  wallMs: number;
}

export interface ImagesStatus {
  /** In order of time; of an output that overwrites its image, every one that was made. */
  images: readonly StoredImage[];
  /** Made from a keyframe, and by decoding. */
  fromKeyFrames: number;
  decoded: number;
}

export class ImagesOutput {
  readonly #options: ImagesOptions;
  readonly #schedule: ImageSchedule;
  readonly #queue: OutputQueue;
  readonly #images: StoredImage[] = [];
  #last: Chunk | undefined;
  /** Of an earlier attempt, under a name the next image overwrites: made only when there is no next one. */
  #newest: Shot | undefined;
  #fromKeyFrames = 0;
  #decoded = 0;

  constructor(options: ImagesOptions) {
    this.#options = options;
    this.#queue = new OutputQueue({ ...options, what: 'images output' });
    this.#schedule = new ImageSchedule(options.captureInterval);
    if (options.earlier.length > 0) {
      void this.#queue.push(async () => {
        for (const chunk of options.earlier) await this.#follow(chunk, true);
      });
    }
  }

  get status(): ImagesStatus {
    return { images: this.#images, fromKeyFrames: this.#fromKeyFrames, decoded: this.#decoded };
  }

  /** Takes the log's next chunk; the work goes on in the background, in order. */
  push(chunk: Chunk): void {
    void this.#queue.push(() => this.#follow(chunk, false));
  }

  /** Waits for the last image. @throws what made the output fail */
  async finish(): Promise<ImagesStatus> {
    return this.#queue.end(async () => {
      await this.#take(this.#schedule.finish(), false);
      const newest = this.#newest;
      this.#newest = undefined;
      if (newest) await this.#make([newest]);
      return this.status;
    });
  }

  /** Stops at once; what is stored stays as it is. */
  async close(): Promise<void> {
    await this.#queue.close();
  }

  async #follow(chunk: Chunk, earlier: boolean): Promise<void> {
    const last = this.#last;
    this.#last = chunk;
    // Where a picture begins, or begins again, sound may have been there before it.
    const begins =
      chunk.number === 0 || !last || last.videoFrames === 0 || gapBetween(last, chunk) !== undefined;
    const pictureNs =
      begins && chunk.videoFrames > 0 ? await firstPictureNs(chunk, this.#options.container) : undefined;
    await this.#take(this.#schedule.push(chunk, pictureNs), earlier);
  }

  /** Shots of several chunks: the last one may be of the chunk before. */
  async #take(shots: readonly Shot[], earlier: boolean): Promise<void> {
    for (const [first, ...more] of byChunk(shots)) {
      if (!first) continue;
      const wanted: Shot[] = [];
      for (const shot of [first, ...more]) {
        if (earlier && this.#options.suffix === 'none') this.#follows(shot);
        else if (earlier && (await this.#isThere(shot))) this.#note(shot);
        else wanted.push(shot);
      }
      await this.#make(wanted);
    }
  }

  async #make(shots: readonly Shot[]): Promise<void> {
    const { container, width, height, scratch, logger } = this.#options;
    if (shots.length === 0) return;
    await mkdir(scratch, { recursive: true });
    const signal = this.#queue.closed;
    try {
      await grabFrames({ shots, container, width, height, scratch, logger, signal }, (path, shot) =>
        this.#store(path, shot),
      );
    } catch (error) {
      // A picture that cannot be decoded costs its image, not the others.
      const isPicture =
        error instanceof FfmpegError || error instanceof OutputError || error instanceof InspectError;
      if (!isPicture || signal.aborted) throw error;
      logger.warn({ err: error, chunk: shots[0]?.chunk.file }, 'no image of this chunk');
    }
  }

  async #store(path: string, shot: Shot): Promise<void> {
    const { storage, assertCurrent } = this.#options;
    const key = this.#key(shot);
    const data = await readFile(path);
    await this.#persist(async (signal) => {
      await assertCurrent?.();
      return storage.putBytes(key, data, {
        contentType: 'image/jpeg',
        size: data.length,
        ...(this.#options.suffix === 'none' && { cacheControl: 'no-cache' }),
        signal,
      });
    });
    this.#follows(undefined);
    if (shot.keyFrame) this.#fromKeyFrames += 1;
    else this.#decoded += 1;
    this.#note(shot);
  }

  async #isThere(shot: Shot): Promise<boolean> {
    const key = this.#key(shot);
    return ((await this.#persist(() => this.#options.storage.size(key))) ?? 0) > 0;
  }

  /** @param next takes the place of what would have been overwritten */
  #follows(next: Shot | undefined): void {
    if (this.#newest) this.#note(this.#newest);
    this.#newest = next;
  }

  #note(shot: Shot): void {
    this.#images.push({ key: this.#key(shot), wallMs: shot.wallMs });
    this.#options.onUpdate?.(this.status);
  }

  #key({ index, wallMs }: Shot): string {
    return imageKey(this.#options.prefix, this.#options.suffix, index, wallMs);
  }

  #persist<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const { storage, giveUpMs, logger } = this.#options;
    return persist({ name: storage.name, giveUpMs, cancelled: this.#queue.closed, logger }, work);
  }
}

function byChunk(shots: readonly Shot[]): Shot[][] {
  const groups: Shot[][] = [];
  for (const shot of shots) {
    const group = groups.at(-1);
    if (group?.[0]?.chunk === shot.chunk) group.push(shot);
    else groups.push([shot]);
  }
  return groups;
}
