/** Notices that a process has stopped working: it uses no processor time, and reads and writes nothing. Linux. */
import { readFile } from 'node:fs/promises';

const LOOK_MS = 1000;

/**
 * Watches a process until it is told not to.
 * @param hungMs how long it may stand still while `due` says that it has something to do
 * @param due false while it waits for us
 * @param onHung called once; watching is then over
 * @returns ends the watching
 */
export function watchForHang(
  pid: number,
  hungMs: number,
  due: () => boolean,
  onHung: (stillMs: number) => void,
): () => void {
  let last = '';
  let movedAt = performance.now();
  let lookedAt = movedAt;
  const timer = setInterval(() => {
    void activityOf(pid).then((activity) => {
      const now = performance.now();
      // We stood still ourselves: that says nothing about the process.
      const late = now - lookedAt > 3 * LOOK_MS;
      lookedAt = now;
      if (activity === undefined || activity !== last || late || !due()) {
        last = activity ?? last;
        movedAt = now;
      } else if (now - movedAt >= hungMs) {
        clearInterval(timer);
        onHung(Math.round(now - movedAt));
      }
    });
  }, LOOK_MS);
  timer.unref();
  return () => clearInterval(timer);
}

/** What changes while a process works: its times (proc(5), fields 14 and 15) and the bytes it read and wrote. */
async function activityOf(pid: number): Promise<string | undefined> {
  try {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
    // The name, in brackets, may hold blanks; the state is the field behind it.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const io = await readFile(`/proc/${pid}/io`, 'utf8').catch(() => '');
    return `${fields[11] ?? ''} ${fields[12] ?? ''} ${io}`;
  } catch {
    return undefined;
  }
}
