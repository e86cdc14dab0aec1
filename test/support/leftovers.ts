import { randomUUID } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';

/** Environment variable that every process started from here on inherits. */
const MARKER = 'SLUICE_TEST_RUN';

export interface MarkedProcess {
  pid: number;
  /** Its command line, shortened. */
  command: string;
}

/** Marks this process's children to come, however deep, also those that are reparented. @returns the mark. */
export function markProcesses(): string {
  const marker = randomUUID();
  process.env[MARKER] = marker;
  return marker;
}

/**
 * Running processes with that mark, and all descendants of this process, marked or not (Linux: read from
 * /proc). Test runner processes are not counted; zombies neither.
 */
export function remainingProcesses(marker: string): MarkedProcess[] {
  const needle = `${MARKER}=${marker}`;
  const processes = readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .map((entry) => readProcess(Number(entry)))
    .filter((found) => found !== null);

  const ours = new Set([process.pid]);
  for (let before = 0; before !== ours.size;) {
    before = ours.size;
    for (const { pid, parent } of processes) if (ours.has(parent)) ours.add(pid);
  }
  return processes
    .filter(({ pid, environment }) => ours.has(pid) || environment.includes(needle))
    .filter(({ pid, command }) => pid !== process.pid && command !== '' && !isTestRunner(command))
    .map(({ pid, command }) => ({ pid, command: command.slice(0, 200) }));
}

interface ProcessFacts extends MarkedProcess {
  parent: number;
  /** `NAME=value` entries it was started with. */
  environment: string[];
}

/** Null when it has ended meanwhile, or belongs to another user and so not to the suite. */
function readProcess(pid: number): ProcessFacts | null {
  try {
    // The command's name stands in parentheses and may hold anything; then come the state and the parent.
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const parent = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
    const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim();
    return { pid, parent, command, environment: readFileSync(`/proc/${pid}/environ`, 'latin1').split('\0') };
  } catch {
    return null;
  }
}

/** Vitest's own processes, which end after the teardown. */
function isTestRunner(command: string): boolean {
  return /^vitest-watchdog|^node \(vitest|node_modules\/vitest\/|esbuild.* --service=/.test(command);
}

/** Kills what is left; what has ended meanwhile is fine. */
export function endProcesses(processes: readonly MarkedProcess[]): void {
  for (const { pid } of processes) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // Gone already.
    }
  }
}
