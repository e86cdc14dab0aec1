/** Jobs of a worker that is to go, moved to others a few at a time: each is missed for as long as one start takes. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { AttemptId } from './queues.ts';

/** How long another worker may take to take a job, ms; after that the rest is handed over at once. */
const TAKEN_MS = 1500;
const LOOK_MS = 50;
/** How long all of it may take for one job, its end here included, ms: one that hangs is not to keep the others. */
const MOVED_MS = 4000;

/** A job that runs here. */
interface LeavingJob {
  handOver(): void;
  /** Settles when it has ended here, with the attempt that goes on with it, if any; never rejects. */
  next: Promise<AttemptId | undefined>;
}

/**
 * Hands each job over when one before it has been taken by another worker. Resolves when all have been told.
 * @param isTaken whether a worker runs that attempt; what it rejects with counts as not
 * @param atOnce jobs between two workers at once, 1 or more: those that begin together wait for each other
 */
export async function handOverInTurn(
  jobs: readonly LeavingJob[],
  isTaken: (id: AttemptId) => Promise<boolean>,
  atOnce: number,
): Promise<void> {
  const waiting = [...jobs];
  // Nobody takes them as fast as that: then waiting costs more than it saves.
  let hurried = false;
  const lane = async (): Promise<void> => {
    for (let job = waiting.shift(); job; job = waiting.shift()) {
      job.handOver();
      if (!hurried && !(await moved(job))) hurried = true;
    }
  };
  const moved = async ({ next }: LeavingJob): Promise<boolean> => {
    const late = new AbortController();
    const gone = next.then((id) => id === undefined || taken(id));
    try {
      return await Promise.race([gone, sleep(MOVED_MS, false, { signal: late.signal })]);
    } finally {
      late.abort();
    }
  };
  const taken = async (id: AttemptId): Promise<boolean> => {
    const deadline = performance.now() + TAKEN_MS;
    while (performance.now() < deadline) {
      if (hurried || (await isTaken(id).catch(() => false))) return true;
      await sleep(LOOK_MS);
    }
    return false;
  };
  await Promise.all(Array.from({ length: atOnce }, lane));
}
