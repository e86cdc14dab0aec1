/** A folder of this machine as storage. */
import { createReadStream } from 'node:fs';
import { lstat, mkdir, open, realpath, rename, rm, stat } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { randomBytes } from 'node:crypto';
import { basename, dirname, join, resolve, sep } from 'node:path';
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
      const normal = normaliseKey(key);
      const path = await this.#inside(normal);
      const found = path === undefined ? undefined : await stat(path).catch(ignoreMissing);
      return found?.isFile() ? found.size : undefined;
    });
  }

  async delete(key: string): Promise<void> {
    return this.#guard(async () => {
      const path = await this.#inside(normaliseKey(key));
      if (path !== undefined) await rm(path, { force: true });
    });
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
      const target = await this.#prepare(normal);
      // Hidden, and of a length that fits where the target's own name does.
      const temporary = join(dirname(target), `.${randomBytes(9).toString('base64url')}.part`);
      const file = await open(temporary, 'wx', 0o644);
      try {
        try {
          await write(file);
          await file.sync();
        } finally {
          await file.close();
        }
        options.signal?.throwIfAborted();
        const { size } = await stat(temporary);
        await rename(temporary, target);
        await syncFolder(dirname(target));
        return { key: normal, location: this.location(normal), bytes: size };
      } catch (error) {
        await rm(temporary, { force: true });
        throw error;
      }
    });
  }

  /** The target's real path, its folders made. @throws StorageError when a symbolic link leads out. */
  async #prepare(key: string): Promise<string> {
    await mkdir(this.name, { recursive: true });
    const root = await realpath(this.name);
    let folder = root;
    // One folder at a time: nothing is made outside, not even an empty folder.
    for (const part of key.split('/').slice(0, -1)) {
      folder = join(folder, part);
      await mkdir(folder).catch(ignoreExisting);
      folder = await realpath(folder);
      this.#checkInside(root, folder, key);
    }
    const target = join(folder, basename(key));
    const there = await lstat(target).catch(ignoreMissing);
    if (there?.isDirectory()) throw new StorageError('user', 400, `${this.location(key)} is a folder`);
    return target;
  }

  /** The real path of the folder that holds the key, with its name; undefined when there is none. */
  async #inside(key: string): Promise<string | undefined> {
    const root = await realpath(this.name).catch(ignoreMissing);
    if (root === undefined) return undefined;
    const folder = await realpath(join(root, dirname(key))).catch(ignoreMissing);
    if (folder === undefined) return undefined;
    this.#checkInside(root, folder, key);
    const path = join(folder, basename(key));
    const real = await realpath(path).catch(ignoreMissing);
    if (real !== undefined) this.#checkInside(root, real, key);
    return path;
  }

  #checkInside(root: string, path: string, key: string): void {
    if (path === root || path.startsWith(root.endsWith(sep) ? root : root + sep)) return;
    throw new StorageError('user', 400, `the storage path ${JSON.stringify(key)} leads out of ${this.name}`);
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

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

function ignoreMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return undefined;
  throw error;
}

function ignoreExisting(error: NodeJS.ErrnoException): undefined {
  if (error.code === 'EEXIST') return undefined;
  throw error;
}
