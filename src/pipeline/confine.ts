/** Limits of child processes, set by util-linux's programs, each of which runs the next in its own place (exec). */
import { spawnSync } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import type { Logger } from 'pino';

export interface Confinement {
  /**
   * Memory it may write to (RLIMIT_DATA: heap, stacks and private mappings), bytes. Reserved address space does not
   * count, which threads and JavaScript engines take in gigabytes.
   */
  memoryBytes: number;
  /** Open files (RLIMIT_NOFILE). */
  files: number;
  /** False: it gets a network namespace without any network, where the system lets us. */
  network: boolean;
  /** The kernel ends it (SIGKILL) when we end. */
  endsWithUs: boolean;
}

const GIB = 1024 ** 3;

/** FFmpeg: a remux takes some 0.1 GiB; encoding large pictures again takes several times that for each thread. */
export const FFMPEG_LIMITS = { memoryBytes: 4 * GIB, files: 256 } as const;
/** gjs with GStreamer: a composite of a few participants was seen to take 0.55 GiB. */
export const PIPELINE_LIMITS = { memoryBytes: 8 * GIB, files: 4096 } as const;

/** What this machine has and permits. */
export interface Confiners {
  /** prlimit is there. */
  limits: boolean;
  /** setpriv is there. */
  parentDeath: boolean;
  /** unshare with these arguments makes a process without network; undefined: not permitted, or no unshare. */
  noNetwork: readonly string[] | undefined;
}

let found: Confiners | undefined;

/** Looked for once in a process's life; the answer is logged. */
export function findConfiners(logger: Logger): Confiners {
  if (found) return found;
  const noNetwork = [['--net'], ['--net', '--map-root-user']].find(
    (args) =>
      inPath('unshare') &&
      spawnSync('unshare', [...args, 'true'], { stdio: 'ignore', timeout: 2000 }).status === 0,
  );
  found = { limits: inPath('prlimit'), parentDeath: inPath('setpriv'), noNetwork };
  const { limits, parentDeath } = found;
  if (limits && parentDeath && noNetwork) logger.debug('child processes run with limits');
  else {
    logger.warn(
      { limits, parentDeath, noNetwork: noNetwork !== undefined },
      'child processes run without some limits: util-linux (prlimit, setpriv) or the right to unshare is missing',
    );
  }
  return found;
}

/** The command that runs `command` with these limits, as far as `confiners` can. Pure. */
export function confine(
  command: readonly string[],
  limits: Confinement,
  confiners: Confiners,
): [string, string[]] {
  const line = [
    // First: setpriv's promise would not outlive the change of the namespace.
    ...(!limits.network && confiners.noNetwork ? ['unshare', ...confiners.noNetwork, '--'] : []),
    ...(confiners.limits
      ? ['prlimit', '--core=0', `--nofile=${limits.files}`, `--data=${limits.memoryBytes}`, '--']
      : []),
    ...(limits.endsWithUs && confiners.parentDeath ? ['setpriv', '--pdeathsig', 'KILL', '--'] : []),
    ...command,
  ];
  const [first = '', ...rest] = line;
  return [first, rest];
}

function inPath(name: string): boolean {
  return (process.env.PATH ?? '').split(delimiter).some((folder) => {
    try {
      accessSync(join(folder || '.', name), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}
