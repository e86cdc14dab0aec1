/** The chunk the pipeline is writing, read while it grows: what is newer than the log's last line. */
import { open } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { chunkPattern, isMissing } from '../../../log/files.ts';

interface Position {
  run: number;
  number: number;
}

interface OpenChunk extends Position {
  file: FileHandle;
  /** Bytes read so far. */
  read: number;
}

/** Runs that may have come and gone without a chunk before the one looked for. */
const RUNS_AHEAD = 6;
const READ_BYTES = 256 * 1024;

export class GrowingChunk {
  readonly #folder: string;
  #last: Position | undefined;
  #current: OpenChunk | undefined;

  /** @param folder of the attempt */
  constructor(folder: string) {
    this.#folder = folder;
  }

  /** The chunk that is read at the moment. */
  get current(): Position | undefined {
    return this.#current;
  }

  /** Opens the chunk behind the last one that was closed, once it is there. @returns whether it is a new one */
  async look(): Promise<boolean> {
    if (this.#current) return false;
    const { run, number } = this.#last ?? { run: 0, number: -1 };
    const candidates = [{ run, number: number + 1 }];
    for (let i = 1; i <= RUNS_AHEAD; i++) candidates.push({ run: run + i, number: 0 });
    for (const each of candidates) {
      const file = await this.#open(each);
      if (!file) continue;
      this.#current = { ...each, file, read: 0 };
      return true;
    }
    return false;
  }

  /** What was added to it since; empty when there is nothing. */
  async read(): Promise<Buffer> {
    const current = this.#current;
    if (!current) return Buffer.alloc(0);
    const { buffer, bytesRead } = await current.file.read(
      Buffer.alloc(READ_BYTES),
      0,
      READ_BYTES,
      current.read,
    );
    current.read += bytesRead;
    return buffer.subarray(0, bytesRead);
  }

  /**
   * What a closed chunk holds beyond what was read of it. Its file may have been written anew since, without what came
   * in a pause: then what was read stays, and where the two part nothing more is taken.
   * @param closed the chunk's bytes, as they count
   */
  async rest(closed: Buffer): Promise<Buffer> {
    const current = this.#current;
    if (!current) return closed;
    const { buffer } = await current.file.read(Buffer.alloc(current.read), 0, current.read, 0);
    const same = closed.subarray(0, current.read).equals(buffer);
    return same ? closed.subarray(current.read) : Buffer.alloc(0);
  }

  /** The log has this chunk: what comes next is behind it. */
  async passed({ run, number }: Position): Promise<void> {
    this.#last = { run, number };
    await this.close();
  }

  async close(): Promise<void> {
    const current = this.#current;
    this.#current = undefined;
    await current?.file.close();
  }

  async #open({ run, number }: Position): Promise<FileHandle | undefined> {
    const name = chunkPattern(run, 'mpegts').replace('%06d', String(number).padStart(6, '0'));
    try {
      return await open(join(this.#folder, name), 'r');
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw error;
    }
  }
}
