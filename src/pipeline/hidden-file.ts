/** Text for a child process that must not stand in its command line or environment: a file without a name. */
import { closeSync, constants, openSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';

/** open(2): a file that is in no folder from the start (Linux); Node has no name for it. */
const O_TMPFILE = 0o20000000 | constants.O_DIRECTORY;
/** In memory where there is such a place. */
const FOLDERS = ['/dev/shm', tmpdir()];

export interface HiddenFile {
  /** Readable from its beginning; to be handed to the child as it is. */
  readonly fd: number;
  close(): void;
}

/**
 * A pipe would do where a program reads a descriptor, but not where it opens /dev/fd/N: Node's pipes are sockets.
 * @throws Error when no folder takes such a file
 */
export function hiddenFile(text: string): HiddenFile {
  const fd = openNameless();
  try {
    // At a position of its own: the descriptor's stays at the beginning.
    const bytes = Buffer.from(text);
    for (let at = 0; at < bytes.length;) at += writeSync(fd, bytes, at, bytes.length - at, at);
  } catch (error) {
    closeSync(fd);
    throw error;
  }
  return { fd, close: () => closeSync(fd) };
}

function openNameless(): number {
  const failures: unknown[] = [];
  for (const folder of FOLDERS) {
    try {
      return openSync(folder, O_TMPFILE | constants.O_RDWR | constants.O_EXCL, 0o600);
    } catch (error) {
      failures.push(error);
    }
  }
  throw new AggregateError(failures, `no folder takes a file without a name: ${FOLDERS.join(', ')}`);
}
