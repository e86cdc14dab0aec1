/**
 * What a URL input may reach: public addresses, the networks that are allowed besides, and the files in
 * `ingress.file_roots`. Whoever may create an ingress could otherwise read what only this machine can.
 */
import { constants } from 'node:fs';
import { open, readlink, realpath } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { dirname, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Logger } from 'pino';
import { GuardError } from './errors.ts';
import { createAddressPolicy } from './policy.ts';
import type { AddressPolicy } from './policy.ts';

export interface GuardOptions {
  /** `address/prefix`, or single addresses: `ingress.allow_networks` and `outbound.allow_networks`. */
  allowNetworks: readonly string[];
  /** Absolute: `ingress.file_roots`. */
  fileRoots: readonly string[];
  logger: Logger;
}

export interface Guard extends AddressPolicy {
  /**
   * Whether the URL may be pulled as things are now: its scheme, every address of its host, or its file.
   * @throws GuardError
   */
  check(url: string): Promise<void>;
  /**
   * Opens the regular file of a `file:` URL for reading; it was inside the roots when it was opened, whatever
   * becomes of its name. The caller closes it.
   * @throws GuardError
   */
  openFile(url: string): Promise<FileHandle>;
}

export const URL_SCHEMES = ['http:', 'https:', 'rtsp:', 'rtsps:', 'srt:', 'file:'] as const;

/** @throws TypeError when `allowNetworks` holds something that is no network */
export function createGuard(options: GuardOptions): Guard {
  return new ListGuard(options);
}

class ListGuard implements Guard {
  readonly #policy: AddressPolicy;
  readonly #roots: readonly string[];

  constructor({ allowNetworks, fileRoots, logger }: GuardOptions) {
    this.#policy = createAddressPolicy({ allowNetworks, setting: 'ingress.allow_networks', logger });
    this.#roots = fileRoots;
  }

  async check(url: string): Promise<void> {
    const { protocol, hostname } = parseSource(url);
    if (protocol === 'file:') return (await this.openFile(url)).close();
    // A listener waits for its caller and reaches nobody.
    if (protocol === 'srt:' && /[?&]mode=listener(&|#|$)/.test(url)) return;
    await this.resolve(hostname);
  }

  resolve(host: string): Promise<string> {
    return this.#policy.resolve(host);
  }

  async openFile(url: string): Promise<FileHandle> {
    const path = filePath(url);
    if (this.#roots.length === 0) {
      throw new GuardError('file: URLs are refused: ingress.file_roots names no folder they may read from');
    }
    const outside = new GuardError(
      `${path} may not be read: it is not inside a folder of ingress.file_roots`,
    );
    // Looked at before it is opened, so that nobody learns which files there are elsewhere.
    const named = await realpath(path).catch(() => undefined);
    if (named === undefined) {
      const folder = await realpath(dirname(path)).catch(() => undefined);
      if (folder !== undefined && (await this.#inside(folder + sep)))
        throw new GuardError(`there is no file ${path}`);
    }
    if (named === undefined || !(await this.#inside(named))) throw outside;
    // Opening a FIFO for reading would wait for its writer.
    const file = await open(named, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK).catch(
      (cause: unknown) => {
        throw new GuardError(`${path} cannot be read`, { retry: false, cause });
      },
    );
    try {
      if (!(await file.stat()).isFile()) throw new GuardError(`${path} is not a regular file`);
      // And again: a folder on the way may have become a symbolic link in between.
      if (!(await this.#inside(await readlink(`/proc/self/fd/${file.fd}`)))) throw outside;
      return file;
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  async #inside(path: string): Promise<boolean> {
    for (const root of this.#roots) {
      const real = await realpath(root).catch(() => root);
      if (path.startsWith(real.endsWith(sep) ? real : real + sep)) return true;
    }
    return false;
  }
}

function parseSource(url: string): URL {
  // The standard wants a host before a port; SRT listeners are written without one.
  const written = url.replace(/^srt:\/\/:/i, 'srt://0.0.0.0:');
  if (!URL.canParse(written))
    throw new GuardError('the URL cannot be parsed: rtsp://host:554/path would be one');
  const parsed = new URL(written);
  if (!(URL_SCHEMES as readonly string[]).includes(parsed.protocol)) {
    const known = URL_SCHEMES.map((scheme) => `${scheme}//`).join(', ');
    throw new GuardError(`${parsed.protocol}// cannot be pulled: ${known} can`);
  }
  if (parsed.protocol !== 'file:' && parsed.hostname === '') throw new GuardError('the URL has no host');
  return parsed;
}

/** @throws GuardError */
function filePath(url: string): string {
  try {
    const parsed = new URL(url);
    parsed.hash = '';
    parsed.search = '';
    const path = fileURLToPath(parsed);
    if (path.includes('\0')) throw new TypeError('null byte');
    return path;
  } catch (cause) {
    throw new GuardError('the file: URL is not file:///folder/file', { retry: false, cause });
  }
}
