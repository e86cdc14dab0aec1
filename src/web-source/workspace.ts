/** The folder of one page's processes: profile, sockets, cookies of the display. Nothing of it outlives them. */
import { randomBytes } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { chmod, chown, mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { Logger } from 'pino';

/**
 * Followed by the worker's process id and when it was started, so that what a killed worker left behind can be told
 * from what is in use: in a container the next worker has the same id.
 */
const PREFIX = 'sluice-page-';

/** When a process was started, in ticks since the machine was; undefined: there is none. */
function startOf(pid: number): string | undefined {
  try {
    // Its name, in brackets, may hold anything. proc(5): the 22nd field, of which the third follows the name.
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[22 - 3];
  } catch {
    return undefined;
  }
}

/** Who the processes run as; undefined: as we do. */
export interface Account {
  uid: number;
  gid: number;
}

/** Folders whose ways are open to every account: the temporary one, or what takes its place. */
const COMMON = ['/tmp', '/var/tmp'] as const;

/**
 * Where pages' folders are made.
 * @throws Error when no temporary folder can be reached by the account
 */
function placeFor(account: Account | undefined): string {
  if (!account) return tmpdir();
  const found = [tmpdir(), ...COMMON].find(isOpen);
  if (found === undefined) throw new Error(`no folder for a page: ${tmpdir()} is closed to other accounts`);
  return found;
}

/** Whether whoever may enter it can get there. */
function isOpen(path: string): boolean {
  for (let folder = path; ; folder = dirname(folder)) {
    const stat = statSync(folder, { throwIfNoEntry: false });
    if (!stat?.isDirectory() || (stat.mode & 0o001) === 0) return false;
    if (folder === dirname(folder)) return true;
  }
}

export class Workspace {
  readonly path: string;
  /** Authority file of the display, see screen.ts. */
  readonly xauthority: string;
  /** Socket of the sound server: a path below 108 characters, which is what a socket's may have. */
  readonly soundSocket: string;
  readonly profile: string;

  private constructor(path: string) {
    this.path = path;
    this.xauthority = join(path, 'xauthority');
    this.soundSocket = join(path, 'sound');
    this.profile = join(path, 'profile');
  }

  /** @throws Error when the temporary folder cannot be written */
  static async make(account: Account | undefined): Promise<Workspace> {
    const path = await mkdtemp(
      join(placeFor(account), `${PREFIX}${process.pid}-${startOf(process.pid) ?? 0}-`),
    );
    const workspace = new Workspace(path);
    await chmod(path, 0o700);
    await mkdir(workspace.profile, { mode: 0o700 });
    if (account) {
      await chown(workspace.profile, account.uid, account.gid);
      await chown(path, account.uid, account.gid);
    }
    return workspace;
  }

  /** Never throws: what cannot be removed is removed by the next worker that starts. */
  async remove(logger: Logger): Promise<void> {
    await rm(this.path, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 }).catch(
      (error: unknown) => logger.warn({ err: error, folder: this.path }, "a page's folder was not removed"),
    );
  }
}

/** Removes the folders of workers of this machine that are gone. Never throws. */
export async function sweepWorkspaces(logger: Logger): Promise<void> {
  for (const place of new Set([tmpdir(), ...COMMON])) {
    for (const name of await readdir(place).catch(() => [])) {
      const [, pid, start] = new RegExp(`^${PREFIX}(\\d+)-(\\d+)-`).exec(name) ?? [];
      if (pid === undefined || startOf(Number(pid)) === start) continue;
      logger.info({ folder: name }, "removing what a worker that is gone left of a page's");
      await rm(join(place, name), { recursive: true, force: true }).catch((error: unknown) =>
        logger.warn({ err: error, folder: name }, "a page's folder was not removed"),
      );
    }
  }
}

/** A cookie nobody else knows, for an X display: 16 bytes. */
export function displayCookie(): Buffer {
  return randomBytes(16);
}
