/** A folder of this machine as storage. */
import { constants, createReadStream } from 'node:fs';
import { lstat, open, rename, rm } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { randomBytes } from 'node:crypto';
import { basename, join, resolve } from 'node:path';
import { OutsideError, holdFolder, ignoreMissing } from './inside.ts';
import type { HeldFolder } from './inside.ts';
import { normaliseKey } from './key.ts';
import { StorageError } from './types.ts';
import type { PutOptions, Storage, StoredObject } from './types.ts';

const COPY_BYTES = 1024 * 1024;

export class LocalStorage implements Storage {
  readonly kind = 'local';
  readonly away = false;
  /** The folder. */
  readonly name: string;

  /** @param folder is made when it is not there. */
  constructor(folder: string) {
    this.name = resolve(folder);
  }

  async putFile(key: string, path: string, options: PutOptions): Promise<StoredObject> {
    return this.#put(key, options, async (file) => {
      const source = createReadStream(path, { highWaterMark: COPY_BYTES });
      // Also when writing failed before it was looked at, its error is nobody's surprise.
      source.on('error', () => undefined);
      try {
        await file.writeFile(source, options.signal ? { signal: options.signal } : {});
      } finally {
        source.destroy();
      }
    });
  }

  async putBytes(key: string, bytes: Uint8Array, options: PutOptions): Promise<StoredObject> {
    return this.#put(key, options, (file) => file.writeFile(bytes));
  }

  async size(key: string): Promise<number | undefined> {
    return this.#guard(async () => {
      const found = await this.#look(normaliseKey(key), (path) => lstat(path).catch(ignoreMissing));
      return found?.isFile() ? found.size : undefined;
    });
  }

  async delete(key: string): Promise<void> {
    return this.#guard(() => this.#look(normaliseKey(key), (path) => rm(path, { force: true })));
  }

  location(key: string): string {
    return join(this.name, normaliseKey(key));
  }

  async close(): Promise<void> {
    // Nothing is held open.
  }

  /** Writes a file beside the target, makes sure it is on disk, and puts it in the target's place. */
  async #put(
    key: string,
    options: PutOptions,
    write: (file: FileHandle) => Promise<void>,
  ): Promise<StoredObject> {
    return this.#guard(async () => {
      options.signal?.throwIfAborted();
      const normal = normaliseKey(key);
      const folder = await this.#hold(normal, true);
      if (!folder) throw new Error('no folder was made');
      try {
        const target = folder.at(basename(normal));
        const there = await lstat(target).catch(ignoreMissing);
        if (there?.isDirectory()) throw new StorageError('user', 400, `${this.location(normal)} is a folder`);
        // Hidden, and of a length that fits where the target's own name does.
        const temporary = folder.at(`.${randomBytes(9).toString('base64url')}.part`);
        const bytes = await writeWhole(temporary, write, options);
        try {
          options.signal?.throwIfAborted();
          // A symbolic link of that name is replaced, not followed.
          await rename(temporary, target);
        } catch (error) {
          await rm(temporary, { force: true });
          throw error;
        }
        if (!options.fleeting) await folder.sync();
        return { key: normal, location: this.location(normal), bytes };
      } finally {
        await folder.close();
      }
    });
  }

  /** Undefined when the folder is not there. */
  async #look<T>(key: string, look: (path: string) => Promise<T>): Promise<T | undefined> {
    const folder = await this.#hold(key, false);
    try {
      return folder && (await look(folder.at(basename(key))));
    } finally {
      await folder?.close();
    }
  }

  /** The folder that holds the key. @throws StorageError when a symbolic link leads out */
  async #hold(key: string, make: boolean): Promise<HeldFolder | undefined> {
    try {
      return await holdFolder(this.name, key.split('/').slice(0, -1), make);
    } catch (error) {
      if (!(error instanceof OutsideError)) throw error;
      const why = `the storage path ${JSON.stringify(key)} leads out of ${this.name}`;
      throw new StorageError('user', 400, why, { cause: error });
    }
  }

  /** Everything that goes wrong becomes a StorageError; an abort stays what it is. */
  async #guard<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (error instanceof StorageError || !(error instanceof Error) || error.name === 'AbortError')
        throw error;
      const code = (error as NodeJS.ErrnoException).code ?? error.name;
      const what = `local storage ${this.name}: ${EXPLANATIONS[code] ?? error.message}`;
      throw new StorageError('internal', 500, what, { cause: error });
    }
  }
}

const EXPLANATIONS: Readonly<Record<string, string>> = {
  EACCES: 'no permission to write there (EACCES)',
  EPERM: 'no permission to write there (EPERM)',
  EROFS: 'the file system is read-only (EROFS)',
  ENOSPC: 'the disk is full (ENOSPC)',
  EDQUOT: 'the disk quota is used up (EDQUOT)',
  ENAMETOOLONG: 'a part of the path is longer than a file name may be (ENAMETOOLONG)',
  ENOTDIR: 'a part of the path is a file, not a folder (ENOTDIR)',
};

/** A new file with all of its bytes on disk, or none. */
async function writeWhole(
  path: string,
  write: (file: FileHandle) => Promise<void>,
  { signal, fleeting }: PutOptions,
): Promise<number> {
  const file = await open(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o644);
  try {
    await write(file);
    signal?.throwIfAborted();
    if (!fleeting) await file.sync();
    return (await file.stat()).size;
  } catch (error) {
    await rm(path, { force: true });
    throw error;
  } finally {
    await file.close();
  }
}
