/**
 * Folders inside a root, held open: what is done in one is done there, whatever its path leads to by then
 * (openat(2), by way of /proc/self/fd). A symbolic link that was swapped in between check and use changes nothing.
 */
import { constants } from 'node:fs';
import { mkdir, open, readlink, realpath } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { sep } from 'node:path';

export interface HeldFolder {
  /** The path of a name in it, good as long as it is held. */
  at(name: string): string;
  /** Makes sure that what was named in it is on disk. */
  sync(): Promise<void>;
  close(): Promise<void>;
}

/** A symbolic link leads out of the root. */
export class OutsideError extends Error {
  override readonly name = 'OutsideError';
}

/**
 * @param parts names of folders, one below the other; none is `.`, `..` or empty
 * @param make makes what is not there; otherwise undefined is answered
 * @throws OutsideError; errors of the file system
 */
export async function holdFolder(
  root: string,
  parts: readonly string[],
  make: boolean,
): Promise<HeldFolder | undefined> {
  if (make) await mkdir(root, { recursive: true });
  const real = await realpath(root).catch(ignoreMissing);
  if (real === undefined) return undefined;
  let folder = await openFolder(real);
  try {
    for (const part of parts) {
      const path = at(folder, part);
      // One folder at a time: nothing is made outside, not even an empty folder.
      if (make) await mkdir(path).catch(ignoreExisting);
      const below = await openFolder(path).catch(make ? rethrow : ignoreMissing);
      if (!below) {
        await folder.close();
        return undefined;
      }
      await folder.close();
      folder = below;
      const where = await readlink(`/proc/self/fd/${folder.fd}`);
      if (where !== real && !where.startsWith(real.endsWith(sep) ? real : real + sep))
        throw new OutsideError(`${part} leads out of ${root}`);
    }
  } catch (error) {
    await folder.close();
    throw error;
  }
  return {
    at: (name) => at(folder, name),
    sync: () => folder.sync(),
    close: () => folder.close(),
  };
}

const at = (folder: FileHandle, name: string): string => `/proc/self/fd/${folder.fd}/${name}`;

const openFolder = (path: string): Promise<FileHandle> =>
  open(path, constants.O_RDONLY | constants.O_DIRECTORY);

const rethrow = (error: unknown): never => {
  throw error;
};

/** For `catch`: what is not there is undefined. */
export function ignoreMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return undefined;
  throw error;
}

function ignoreExisting(error: NodeJS.ErrnoException): undefined {
  if (error.code === 'EEXIST') return undefined;
  throw error;
}
