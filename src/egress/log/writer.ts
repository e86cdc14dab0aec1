/** Writes an attempt of a segment log: chunks as the pipeline closes them, events, gaps, the end. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { describeChunk } from './chunk-line.ts';
import { attemptDir, indexPath, listAttempts, listChunkFiles, parseChunkName, readIfThere } from './files.ts';
import { gapBetween } from './fold.ts';
import type { SegmentLog } from './fold.ts';
import { IndexFile, syncPath } from './index-file.ts';
import { InspectError } from './inspection.ts';
import { readLeftovers } from './leftovers.ts';
import type { Leftover } from './leftovers.ts';
import { takeOutPauses } from './pauses-file.ts';
import { pausesInside, pausesOf } from './pauses.ts';
import type { Pause } from './pauses.ts';
import { LogError, readLog } from './reader.ts';
import { readIndexes, sealAttempts } from './seal.ts';
import { LogTrimmer } from './trim.ts';
import type { Chunk, EventLine, GapLine, IndexLine } from './types.ts';
import type { ChunkAnnouncement, SegmentLogOptions } from './writer-types.ts';

export type { Leftover } from './leftovers.ts';

/** A newer attempt has taken the log over: this one may write nothing more. */
export class SupersededError extends LogError {
  constructor(attempt: number, newer: number) {
    super(`attempt ${attempt} was superseded by attempt ${newer}: its log is sealed`);
    this.name = 'SupersededError';
  }
}

export class SegmentLogWriter {
  /** Folder of this attempt: the pipeline writes its chunks here. */
  readonly folder: string;
  /** What older attempts left, sealed; without chunks in a first attempt. */
  readonly earlier: SegmentLog;
  readonly leftovers: readonly Leftover[];
  readonly #options: SegmentLogOptions;
  readonly #index: IndexFile;
  readonly #logger: Logger;
  readonly #listed = new Set<string>();
  readonly #listeners = new Set<(chunk: Chunk) => void>();
  /** Undefined where all of the log stays. */
  #trimmer: LogTrimmer | undefined;
  /** Everything that writes goes through here, one after the other. */
  #queue: Promise<unknown> = Promise.resolve();
  #last: Chunk | undefined;
  /** Of the whole egress, as far as is known. */
  #pauses: readonly Pause[];
  readonly #switches: EventLine[];
  #state: 'open' | 'ended' | 'closed' = 'open';

  /**
   * Begins attempt `attempt`: seals what older ones have written and writes the first line, on disk when this
   * answers.
   * @throws LogError when the attempt has begun already; SupersededError when a newer one has
   */
  static async open(options: SegmentLogOptions): Promise<SegmentLogWriter> {
    const { dir, attempt } = options;
    // The folder comes first: from here on an older writer finds out that it is superseded.
    await mkdir(attemptDir(dir, attempt), { recursive: true });
    const attempts = await listAttempts(dir);
    const newest = attempts.at(-1);
    if (newest !== undefined && newest > attempt) throw new SupersededError(attempt, newest);
    const older = attempts.filter((number) => number < attempt);
    const seals = await sealAttempts(dir, await readIndexes(dir, older));
    const index = await createIndex(options);
    try {
      const head: IndexLine = {
        type: 'attempt',
        attempt,
        egressId: options.egressId,
        epochMs: options.epochMs,
        container: options.container,
        seals,
      };
      await index.append(head);
      await index.sync();
      await syncPath(attemptDir(dir, attempt));
      await syncPath(dir);
      const earlier = await readLog(dir, { recover: false });
      return new SegmentLogWriter(options, index, earlier, await readLeftovers(dir, older));
    } catch (error) {
      await index.close();
      throw error;
    }
  }

  private constructor(
    options: SegmentLogOptions,
    index: IndexFile,
    earlier: SegmentLog,
    leftovers: readonly Leftover[],
  ) {
    this.#options = options;
    this.#index = index;
    this.#logger = options.logger;
    this.folder = attemptDir(options.dir, options.attempt);
    this.earlier = earlier;
    this.leftovers = leftovers;
    this.#last = earlier.chunks.at(-1);
    this.#switches = earlier.events.filter(({ name }) => name === 'pause' || name === 'resume');
    this.#pauses = pausesOf(this.#switches);
    const { dir, keepS = Infinity, logger } = options;
    if (keepS < Infinity) this.#trimmer = new LogTrimmer({ dir, keepS, earlier: earlier.chunks, logger });
    for (const problem of earlier.problems) this.#logger.warn({ problem }, 'the segment log is damaged');
  }

  /** Called with every chunk of this attempt, in order, once its line is written. @returns how to stop it. */
  onChunk(listener: (chunk: Chunk) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * Writes down a chunk the pipeline has closed. One that cannot be used becomes a gap, and undefined is answered;
   * so is one that is in the index already. Chunks of the run that came before it unannounced are taken in first.
   * @throws SupersededError
   */
  addChunk(announcement: ChunkAnnouncement): Promise<Chunk | undefined> {
    return this.#enqueue(async () => {
      await this.assertCurrent();
      const file = announcement.file.slice(announcement.file.lastIndexOf('/') + 1);
      const name = parseChunkName(file);
      if (!name) throw new LogError(`not a chunk's file name: ${file}`);
      if (this.#listed.has(file)) return undefined;
      await this.#adopt((other) => other.run === name.run && other.number < name.number);
      const chunk = await this.#take(file, { ...announcement, closed: true });
      await this.#trimmer?.trim(this.#index, () => this.assertCurrent());
      return chunk;
    });
  }

  /**
   * Takes in what a run has left on disk without announcing it: call it when its process is gone, however it went.
   * @returns the chunks taken, as far as they are whole
   * @throws SupersededError
   */
  endRun(run: number): Promise<Chunk[]> {
    return this.#enqueue(async () => {
      await this.assertCurrent();
      return this.#adopt((other) => other.run === run);
    });
  }

  /** `atNs`: egress clock, ns. @throws SupersededError */
  event(name: EventLine['name'], atNs: number, data?: EventLine['data']): Promise<void> {
    const wallMs = Math.round(this.#options.epochMs + atNs / 1e6);
    const line: EventLine = {
      type: 'event',
      atNs: Math.round(atNs),
      wallMs,
      name,
      ...(data ? { data } : {}),
    };
    if (name === 'pause' || name === 'resume') {
      this.#switches.push(line);
      this.#pauses = pausesOf(this.#switches);
    }
    return this.#line(line);
  }

  /** From now on all of it stays: something is made of it. */
  keepAll(): void {
    this.#trimmer = undefined;
  }

  /** Whether the last thing the log tells of is that nothing is to be recorded. */
  get paused(): boolean {
    return this.#pauses.at(-1)?.endNs === Infinity;
  }

  /** Media that should be there and is not, egress clock, ns. @throws SupersededError */
  gap(startNs: number, endNs: number, reason: string): Promise<void> {
    return this.#line({ type: 'gap', startNs: Math.round(startNs), endNs: Math.round(endNs), reason });
  }

  /** The log is complete; on disk when this answers. @throws SupersededError */
  async end(atNs: number): Promise<void> {
    await this.#enqueue(async () => {
      await this.assertCurrent();
      await this.#index.append({ type: 'end', atNs: Math.round(atNs) });
      this.#state = 'ended';
    });
    await this.close();
  }

  /** Everything written so far is on disk and the file closed; further writes are refused. Safe to call twice. */
  async close(): Promise<void> {
    await this.#queue;
    if (this.#state === 'closed') return;
    this.#state = 'closed';
    this.#listeners.clear();
    await this.#index.close();
  }

  /** What is done outside the log in this attempt's name asks here first. @throws SupersededError */
  async assertCurrent(): Promise<void> {
    const newest = (await listAttempts(this.#options.dir)).at(-1) ?? 0;
    if (newest > this.#options.attempt) throw new SupersededError(this.#options.attempt, newest);
  }

  #line(line: EventLine | GapLine | IndexLine): Promise<void> {
    return this.#enqueue(async () => {
      await this.assertCurrent();
      await this.#index.append(line);
    });
  }

  #enqueue<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#queue.then(() => {
      if (this.#state !== 'open') throw new LogError('the segment log has ended');
      return work();
    });
    this.#queue = done.catch(() => undefined);
    return done;
  }

  async #adopt(wanted: (name: { run: number; number: number }) => boolean): Promise<Chunk[]> {
    const adopted: Chunk[] = [];
    for (const file of await listChunkFiles(this.#options.dir, this.#options.attempt)) {
      const name = parseChunkName(file);
      if (!name || this.#listed.has(file) || !wanted(name)) continue;
      const chunk = await this.#take(file, { closed: false });
      if (chunk) adopted.push(chunk);
    }
    return adopted;
  }

  async #take(
    file: string,
    known: { startNs?: number; durationNs?: number; closed: boolean },
  ): Promise<Chunk | undefined> {
    const { attempt, epochMs, container } = this.#options;
    const path = join(this.folder, file);
    this.#listed.add(file);
    try {
      const found = await readIfThere(path);
      if (!found) throw new InspectError('the file is missing');
      const nearNs = known.startNs ?? this.#last?.startNs ?? 0;
      const data = await takeOutPauses(path, found, container, this.#pauses, nearNs);
      if (!data) return undefined;
      const line = describeChunk(data, file, {
        attempt,
        epochMs,
        container,
        closed: known.closed,
        nearNs,
        pauses: this.#pauses,
        ...(known.durationNs === undefined || data !== found ? {} : { durationNs: known.durationNs }),
      });
      return await this.#write({ ...line, ...(known.closed ? {} : { recovered: true }), path });
    } catch (error) {
      if (!(error instanceof InspectError)) throw error;
      this.#logger.warn({ file, reason: error.message }, 'a chunk cannot be used');
      // Where nothing is known of its length, the gap shows when the next chunk comes.
      if (known.startNs !== undefined && (known.durationNs ?? 0) > 0) {
        const endNs = known.startNs + Math.max(0, known.durationNs ?? 0);
        const reason = `the chunk cannot be used: ${error.message}`;
        await this.#index.append({
          type: 'gap',
          startNs: Math.round(known.startNs),
          endNs: Math.round(endNs),
          reason,
        });
      }
      return undefined;
    }
  }

  async #write(chunk: Chunk): Promise<Chunk> {
    const gap = this.#last && gapBetween(this.#last, chunk, this.#pauses);
    if (gap) await this.#index.append(gap);
    for (const inside of pausesInside(this.#pauses, chunk)) await this.#index.append(inside);
    const { path, ...line } = chunk;
    await this.#index.append(line, path);
    this.#last = chunk;
    this.#trimmer?.add(chunk);
    for (const listener of this.#listeners) {
      try {
        listener(chunk);
      } catch (error) {
        this.#logger.error({ err: error }, 'a listener of the segment log failed');
      }
    }
    return chunk;
  }
}

async function createIndex({ dir, attempt, logger }: SegmentLogOptions): Promise<IndexFile> {
  try {
    return await IndexFile.create(indexPath(dir, attempt), logger);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') {
      throw new LogError(`attempt ${attempt} has begun already: raise the attempt number`);
    }
    throw error;
  }
}
