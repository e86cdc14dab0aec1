/** What /proc tells about a process: enough to know whether a pid is still the process it was. Linux. */
import { readFileSync } from 'node:fs';

export interface ProcessIdentity {
  readonly pid: number;
  /** Clock ticks since boot at which it started; a reused pid has another. */
  readonly startedTicks: number;
}

/** Undefined when there is no such process, or only what its parent has not yet collected (a zombie). */
export function identify(pid: number): ProcessIdentity | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The command's name stands in parentheses and may hold anything; the state comes after it, then field 4 on.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' || fields[0] === 'X' ? undefined : { pid, startedTicks: Number(fields[19]) };
  } catch {
    return undefined;
  }
}

export function isRunning(process: ProcessIdentity): boolean {
  return identify(process.pid)?.startedTicks === process.startedTicks;
}
