/** What anybody can read of our child processes: their command lines and environments. */
import { readFile, readdir } from 'node:fs/promises';

export interface SeenProcess {
  pid: number;
  /** Arguments joined by blanks. */
  command: string;
  /** `NAME=value` lines. */
  environment: string;
}

/** The processes that descend from `root`, which is not among them. */
export async function descendants(root = process.pid): Promise<SeenProcess[]> {
  const parents = new Map<number, number>();
  for (const name of await readdir('/proc')) {
    const pid = Number(name);
    if (!Number.isInteger(pid)) continue;
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
    // The name in parentheses may hold anything.
    const parent = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
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

/**
 * @param only which processes are ours to judge, by command line
 * @param root whose descendants are looked at
 */
export function watchProcesses(only: (command: string) => boolean, root = process.pid): ProcessWatch {
  const seen = new Set<string>();
  let going = true;
  const watching = (async () => {
    while (going) {
      for (const { command, environment } of await descendants(root)) {
        if (!only(command)) continue;
        seen.add(command);
        seen.add(environment);
      }
      await new Promise((resolve) => setTimeout(resolve, 30));
    }
  })();
  return {
    seen,
    async stop() {
      going = false;
      await watching;
    },
  };
}
