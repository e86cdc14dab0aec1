/** CPU time and memory of processes, from /proc. CPU time, not wall clock: other work on the machine matters little. */
import { readdirSync, readFileSync } from 'node:fs';

/** Kernel ticks a second in /proc (USER_HZ, 100 on every Linux that Node runs on). */
const TICKS = 100;

/** CPU seconds used up to now. */
export interface Usage {
  /** Each live process's own, by pid. */
  live: Map<number, { name: string; seconds: number }>;
  /** Of children that have ended and were waited for. */
  ended: number;
}

interface Stat {
  name: string;
  parent: number;
  own: number;
  children: number;
}

/** Undefined when the process is gone. */
function stat(pid: number): Stat | undefined {
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/stat`, 'utf8');
  } catch {
    return undefined;
  }
  // proc(5): the name is in parentheses and may hold anything; field 3 follows it.
  const close = text.lastIndexOf(')');
  const fields = text.slice(close + 2).split(' ');
  const field = (number: number) => Number(fields[number - 3]);
  return {
    name: text.slice(text.indexOf('(') + 1, close),
    parent: field(4),
    own: (field(14) + field(15)) / TICKS,
    children: (field(16) + field(17)) / TICKS,
  };
}

/** `roots` and everything below them. */
export function processTree(...roots: number[]): number[] {
  const childrenOf = new Map<number, number[]>();
  for (const entry of readdirSync('/proc')) {
    const pid = Number(entry);
    const parent = Number.isInteger(pid) ? stat(pid)?.parent : undefined;
    if (parent !== undefined) childrenOf.set(parent, [...(childrenOf.get(parent) ?? []), pid]);
  }
  const tree = [...roots];
  // The list grows while it is walked.
  for (const pid of tree) tree.push(...(childrenOf.get(pid) ?? []));
  return tree;
}

/** CPU time of everything below and including `roots`. */
export function usage(roots: readonly number[]): Usage {
  const result: Usage = { live: new Map(), ended: 0 };
  for (const pid of processTree(...roots)) {
    const found = stat(pid);
    if (!found) continue;
    result.live.set(pid, { name: found.name, seconds: found.own });
    result.ended += found.children;
  }
  return result;
}

/** CPU seconds between two readings, by what the processes are called; `ended` are those that are gone. */
export function spent(before: Usage, after: Usage): { total: number; byName: Map<string, number> } {
  const byName = new Map<string, number>();
  const add = (name: string, seconds: number) => byName.set(name, (byName.get(name) ?? 0) + seconds);
  for (const [pid, { name, seconds }] of after.live)
    add(name, seconds - (before.live.get(pid)?.seconds ?? 0));
  // What a process had used before is in its parent's sum once it has ended.
  let ended = after.ended - before.ended;
  for (const [pid, { seconds }] of before.live) if (!after.live.has(pid)) ended -= seconds;
  add('ended', ended);
  return { total: [...byName.values()].reduce((sum, seconds) => sum + seconds, 0), byName };
}

/** Memory, MB: PSS (shared pages divided among those who share them) and RSS. */
export function memory(pids: readonly number[]): { pss: number; rss: number } {
  const sum = { pss: 0, rss: 0 };
  for (const pid of pids) {
    let text: string;
    try {
      text = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
    } catch {
      continue;
    }
    const kilobytes = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(text)?.[1] ?? 0);
    sum.pss += kilobytes('Pss') / 1024;
    sum.rss += kilobytes('Rss') / 1024;
  }
  return sum;
}

/** Pids below `root` (and `root`) whose program's name begins with `name`. */
export function named(root: number, name: string): number[] {
  return processTree(root).filter((pid) => stat(pid)?.name.startsWith(name) ?? false);
}
