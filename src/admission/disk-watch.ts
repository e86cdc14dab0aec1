/** Looks at the free space of the folders recordings are written to, and at what they have grown to. */
import { readdir, stat, statfs } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { DiskState } from './disk.ts';

/** How long folders that grow may be taken for what they were, ms. */
const SIZES_MS = 5_000;

/** Bytes an unprivileged process may still write below `path`; a folder that is not there yet is its parent's matter. */
export async function freeBytes(path: string): Promise<number> {
  try {
    const { bavail, bsize } = await statfs(path);
    return bavail * bsize;
  } catch (error) {
    const parent = dirname(path);
    if (parent === path) throw error;
    return freeBytes(parent);
  }
}

/** Bytes of the files below a folder; what is not there, or goes meanwhile, counts for nothing. */
export async function folderBytes(folder: string): Promise<number> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []);
  let bytes = 0;
  for (const entry of entries) {
    if (!entry.isFile()) continue;
    bytes += await stat(join(entry.parentPath, entry.name)).then(
      ({ size }) => size,
      () => 0,
    );
  }
  return bytes;
}

/** A recording that runs. */
export interface Recording {
  /** Folder that grows with it. */
  readonly folder: string;
  /** How often its bytes are written again at its end. */
  readonly copies: number;
}

export class DiskWatch {
  readonly #folders: readonly string[];
  readonly #free: (path: string) => Promise<number>;
  readonly #recordings = new Map<string, Recording>();
  #state: DiskState = { free: Infinity, finishing: 0 };
  #sizedAt = -Infinity;

  /** @param folders that are written to: the fullest of them counts */
  constructor(folders: readonly string[], free: (path: string) => Promise<number> = freeBytes) {
    this.#folders = folders;
    this.#free = free;
  }

  /** As of the last look. */
  get state(): DiskState {
    return this.#state;
  }

  add(id: string, recording: Recording): void {
    this.#recordings.set(id, recording);
  }

  remove(id: string): void {
    this.#recordings.delete(id);
    this.#sizedAt = -Infinity;
  }

  /** @throws Error of the file system when not even the root can be asked */
  async look(): Promise<DiskState> {
    const free = Math.min(...(await Promise.all(this.#folders.map((folder) => this.#free(folder)))));
    let { finishing } = this.#state;
    if (performance.now() - this.#sizedAt >= SIZES_MS) {
      this.#sizedAt = performance.now();
      finishing = 0;
      for (const { folder, copies } of this.#recordings.values()) {
        if (copies > 0) finishing += copies * (await folderBytes(folder));
      }
    }
    this.#state = { free, finishing };
    return this.#state;
  }
}
