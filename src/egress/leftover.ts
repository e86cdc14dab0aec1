/** Ends a pipeline that an earlier attempt's worker left behind on this machine. */
import { readFileSync, readdirSync, readlinkSync } from 'node:fs';
import { sep } from 'node:path';
import type { Logger } from 'pino';

/**
 * Whether the process is the pipeline that writes into `folder`. Its number may belong to somebody else by now, or
 * come from another machine that shares the folder: what it has open tells.
 */
function writesInto(pid: number, folder: string): boolean {
  try {
    const [program = ''] = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
    if (!/(^|\/)gjs(-console)?$/.test(program)) return false;
    return readdirSync(`/proc/${pid}/fd`).some((fd) => opened(pid, fd).startsWith(folder + sep));
  } catch {
    return false;
  }
}

/** What a file descriptor stands for; empty when it has just been closed. */
function opened(pid: number, fd: string): string {
  try {
    return readlinkSync(`/proc/${pid}/fd/${fd}`);
  } catch {
    return '';
  }
}

/**
 * @param pid as `pipeline.pid` in the attempt's folder says.
 * @param folder the attempt's, without symbolic links.
 */
export function endLeftover(pid: number, folder: string, logger: Logger): void {
  if (!writesInto(pid, folder)) return;
  logger.warn({ pid }, 'ending the pipeline of an earlier attempt');
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has just gone.
  }
}
