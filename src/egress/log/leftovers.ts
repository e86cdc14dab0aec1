/** Processes that older attempts may have left running. */
import { readFile } from 'node:fs/promises';
import { isMissing, pidPath } from './files.ts';

/** A process an older attempt has left behind, perhaps: its number was in `pipeline.pid`. */
export interface Leftover {
  attempt: number;
  pid: number;
}

/** What the `pipeline.pid` files of these attempts say. Whether such a process still runs is the caller's to find out. */
export async function readLeftovers(dir: string, attempts: readonly number[]): Promise<Leftover[]> {
  const found: Leftover[] = [];
  for (const attempt of attempts) {
    try {
      const pid = Number((await readFile(pidPath(dir, attempt), 'utf8')).trim());
      if (Number.isInteger(pid) && pid > 1) found.push({ attempt, pid });
    } catch (error) {
      if (!isMissing(error)) throw error;
    }
  }
  return found;
}
