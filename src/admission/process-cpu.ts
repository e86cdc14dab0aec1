/** Processor time of other processes, from /proc (proc(5)). */
import { readFile } from 'node:fs/promises';

/** USER_HZ, which is 100 on every architecture Linux shows to programs. */
const TICKS_PER_SECOND = 100;
/** Of utime, stime, cutime and cstime, counted from the field behind the program's name. */
const TIMES = [11, 12, 13, 14];

/** User and system time in seconds, ended children included, out of `/proc/<pid>/stat`. Pure. */
export function cpuSecondsOf(stat: string): number {
  // The name is in brackets and may hold anything, brackets too.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const ticks = TIMES.reduce((sum, at) => sum + Number(fields[at]), 0);
  return ticks / TICKS_PER_SECOND;
}

/** With all its descendants. Undefined when there is no such process, or no /proc. */
export async function cpuSeconds(pid: number): Promise<number | undefined> {
  try {
    const seconds = cpuSecondsOf(await readFile(`/proc/${pid}/stat`, 'utf8'));
    const children = await childrenOf(pid);
    const below = await Promise.all(children.map((child) => cpuSeconds(child)));
    const sum = below.reduce<number>((all, each) => all + (each ?? 0), seconds);
    return Number.isFinite(sum) ? sum : undefined;
  } catch {
    return undefined;
  }
}

/** None where the kernel does not tell. */
async function childrenOf(pid: number): Promise<number[]> {
  const text = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8').catch(() => '');
  return text.split(' ').filter(Boolean).map(Number);
}
