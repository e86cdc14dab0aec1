/** What anybody can read of our child processes: their command lines and environments. */
import { readdirSync, readFileSync } from 'node:fs';
import { readFile, readdir } from 'node:fs/promises';

export interface SeenProcess {
  pid: number;
  /** Arguments joined by blanks. */
  command: string;
  /** `NAME=value` lines. */
  environment: string;
}

function parentOf(stat: string): number {
  // The name in parentheses may hold anything.
  return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
}

/** The processes that descend from `root`, which is not among them. */
export async function descendants(root = process.pid): Promise<SeenProcess[]> {
  const parents = new Map<number, number>();
  for (const name of await readdir('/proc')) {
    const pid = Number(name);
    if (!Number.isInteger(pid)) continue;
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
    const parent = parentOf(stat);
    if (parent > 0) parents.set(pid, parent);
  }
  const found = new Set([root]);
  for (let before = 0; before !== found.size;) {
    before = found.size;
    for (const [pid, parent] of parents) if (found.has(parent)) found.add(pid);
  }
  found.delete(root);
  const read = async (pid: number, file: string): Promise<string> =>
    (await readFile(`/proc/${pid}/${file}`, 'utf8').catch(() => '')).replaceAll('\0', '\n');
  return Promise.all(
    [...found].map(async (pid) => ({
      pid,
      command: (await read(pid, 'cmdline')).trimEnd().replaceAll('\n', ' '),
      environment: await read(pid, 'environ'),
    })),
  );
}

/** Keeps looking until stopped. */
export interface ProcessWatch {
  /** Every command line and environment that was seen, once each. */
  readonly seen: ReadonlySet<string>;
  stop(): Promise<void>;
}

function readNow(pid: number, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8').replaceAll('\0', '\n');
  } catch {
    return '';
  }
}

/**
 * @param only which processes are ours to judge, by command line
 * @param root whose descendants are looked at
 */
export function watchProcesses(only: (command: string) => boolean, root = process.pid): ProcessWatch {
  const seen = new Set<string>();
  /** By process, what it was when last looked at: a parent is asked for once, an environment with its command. */
  const known = new Map<number, { ours: boolean; command: string }>();
  const look = () => {
    const pids = new Set(
      readdirSync('/proc')
        .map(Number)
        .filter((pid) => pid > 0),
    );
    for (const pid of known.keys()) if (!pids.has(pid)) known.delete(pid);
    for (const pid of pids) {
      let entry = known.get(pid);
      if (!entry) {
        const parent = parentOf(readNow(pid, 'stat'));
        // One whose number is above its child's: the child's turn is the next time.
        if (parent !== root && pids.has(parent) && !known.has(parent)) continue;
        entry = { ours: parent === root || known.get(parent)?.ours === true, command: '' };
        known.set(pid, entry);
      }
      if (!entry.ours) continue;
      const command = readNow(pid, 'cmdline').trimEnd().replaceAll('\n', ' ');
      if (command === entry.command || command === '') continue;
      const environment = readNow(pid, 'environ');
      // In the middle of an exec there is none yet.
      if (environment !== '') entry.command = command;
      if (!only(command)) continue;
      seen.add(command);
      seen.add(environment);
    }
  };
  const timer = setInterval(look, 30);
  return {
    seen,
    async stop() {
      clearInterval(timer);
    },
  };
}
