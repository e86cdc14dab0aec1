/** An attempt's index on disk: lines appended, made durable in batches. */
import { open } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import type { Logger } from 'pino';
import { isMissing } from './files.ts';
import type { IndexLine } from './types.ts';

/** Lines are on disk at the latest this long after they were written, ms. */
const SYNC_DELAY_MS = 500;

export class IndexFile {
  readonly #file: FileHandle;
  readonly #logger: Logger;
  #unsynced: string[] = [];
  #timer: NodeJS.Timeout | undefined;
  #syncing: Promise<void> = Promise.resolve();

  /** Creates the file. @throws Error with code `EEXIST` when it is there already */
  static async create(path: string, logger: Logger): Promise<IndexFile> {
    return new IndexFile(await open(path, 'ax'), logger);
  }

  private constructor(file: FileHandle, logger: Logger) {
    this.#file = file;
    this.#logger = logger;
  }

  /**
   * Appends a line; `chunkPath` is the file it speaks of. Killing a process loses nothing that was written; only a
   * machine's end does, and half a second of that is fine.
   */
  async append(line: IndexLine, chunkPath?: string): Promise<void> {
    await this.#file.appendFile(`${JSON.stringify(line)}\n`);
    if (chunkPath !== undefined) this.#unsynced.push(chunkPath);
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.sync().catch((error: unknown) => {
        this.#logger.error({ err: error }, 'the segment log cannot be synced');
      });
    }, SYNC_DELAY_MS);
  }

  /** All that was appended is on disk when this answers. */
  sync(): Promise<void> {
    const done = this.#syncing.then(() => this.#sync());
    this.#syncing = done.catch(() => undefined);
    return done;
  }

  async close(): Promise<void> {
    clearTimeout(this.#timer);
    try {
      await this.sync();
    } finally {
      await this.#file.close();
    }
  }

  /**
   * The chunks' bytes first: a line that survives must find what it speaks of. A worker that was held up may find that
   * its successor has dropped them.
   */
  async #sync(): Promise<void> {
    for (const path of this.#unsynced.splice(0)) {
      await syncPath(path).catch((error: unknown) => {
        if (!isMissing(error)) throw error;
      });
    }
    await this.#file.sync();
  }
}

/** Makes a file's bytes, or a new name in a folder, survive a power cut. */
export async function syncPath(path: string): Promise<void> {
  const file = await open(path, 'r');
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}
