/** Drops the beginning of a log that nothing will be made of: it would grow until the disk is full. */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { attemptDir, listAttempts, listChunkFiles, parseChunkName } from './files.ts';
import { inOrder } from './fold.ts';
import type { Position } from './fold.ts';
import type { IndexFile } from './index-file.ts';
import type { Chunk, DroppedLine } from './types.ts';

/** So much is dropped at a time, ns: each time the index is synced, and every folder of the log looked through. */
const BATCH_NS = 10e9;

export interface TrimOptions {
  /** Folder of the log. */
  dir: string;
  /** Seconds before the end of the newest chunk that stay. */
  keepS: number;
  /** What earlier attempts have left. */
  earlier: readonly Chunk[];
  logger: Logger;
}

export class LogTrimmer {
  readonly #dir: string;
  readonly #keepNs: number;
  readonly #logger: Logger;
  /** In order. */
  #kept: Chunk[];

  constructor({ dir, keepS, earlier, logger }: TrimOptions) {
    this.#dir = dir;
    this.#keepNs = keepS * 1e9;
    this.#logger = logger;
    this.#kept = [...earlier];
  }

  add(chunk: Chunk): void {
    this.#kept.push(chunk);
  }

  /**
   * Drops what is not needed any more; what cannot be dropped now is dropped with a later chunk.
   * @param assertCurrent throws when the log is another attempt's.
   */
  async trim(index: IndexFile, assertCurrent: () => Promise<void>): Promise<void> {
    const first = this.#due();
    if (!first) return;
    await assertCurrent();
    try {
      await index.append(first);
      // A machine that dies now must not come back with chunks that are missing and no word of why.
      await index.sync();
      const chunks = await this.#dropBefore(first);
      this.#logger.debug({ chunks }, 'the beginning of the segment log is dropped');
    } catch (error) {
      this.#logger.warn({ err: error }, 'the beginning of the segment log cannot be dropped');
    }
  }

  /** The line that says with which chunk the log is to begin; undefined while there is little to drop. */
  #due(): DroppedLine | undefined {
    const [oldest] = this.#kept;
    const newest = this.#kept.at(-1);
    if (!oldest || !newest) return undefined;
    const fromNs = endOf(newest) - this.#keepNs;
    if (fromNs - endOf(oldest) < BATCH_NS) return undefined;
    const { attempt, run, number } = this.#kept.find((chunk) => endOf(chunk) > fromNs) ?? newest;
    return { type: 'dropped', attempt, run, number };
  }

  /**
   * Removes every chunk file of the log that comes before `first`: also one that could not be used, and one that was to
   * be removed when its worker was killed.
   * @returns how many
   */
  async #dropBefore(first: Position): Promise<number> {
    let removed = 0;
    for (const attempt of await listAttempts(this.#dir)) {
      for (const file of await listChunkFiles(this.#dir, attempt)) {
        const name = parseChunkName(file);
        if (!name || inOrder({ attempt, ...name }, first) >= 0) continue;
        await rm(join(attemptDir(this.#dir, attempt), file), { force: true });
        removed += 1;
      }
    }
    this.#kept = this.#kept.filter((chunk) => inOrder(chunk, first) >= 0);
    return removed;
  }
}

function endOf({ startNs, durationNs }: Chunk): number {
  return startNs + durationNs;
}
