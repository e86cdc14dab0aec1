/**
 * Keeps a worker from taking jobs it has no room for. A job that was taken and does not fit goes back to the front of
 * its queue, and the worker takes none until the first that waits fits: those with room come first, and jobs are taken
 * in their order.
 */
import { WaitingError } from 'bullmq';
import type { Job, Worker } from 'bullmq';
import type { Logger } from 'pino';
import type { AttemptId } from './queues.ts';

/** How often the first job that waits is looked at while there was no room for it, ms. */
const LOOK_MS = 500;

/** What decides whether a job is taken. */
export interface JobAdmission {
  /** Takes room for it; undefined when there is none now. @returns gives the room back */
  admit(id: AttemptId): Promise<(() => void) | undefined>;
  /** Whether {@link admit} would take it now. */
  fits(id: AttemptId): Promise<boolean>;
  /** The first job that waits. */
  next(): Promise<AttemptId | undefined>;
  /** Called when room was given back. @returns ends it */
  onRoom(listener: () => void): () => void;
}

export class AdmissionGate {
  readonly #worker: Worker;
  readonly #admission: JobAdmission;
  readonly #logger: Logger;
  readonly #stopListening: () => void;
  #looks: NodeJS.Timeout | undefined;
  #looking = false;
  #closed = false;

  constructor(worker: Worker, admission: JobAdmission, logger: Logger) {
    this.#worker = worker;
    this.#admission = admission;
    this.#logger = logger;
    this.#stopListening = admission.onRoom(() => setImmediate(() => void this.#look()));
  }

  /** Whether jobs are taken. */
  get open(): boolean {
    return this.#looks === undefined;
  }

  /**
   * Room for a job that was taken from the queue.
   * @returns gives the room back
   * @throws WaitingError when there is none: the job waits again, before all others
   */
  async admit(job: Job, token: string | undefined, id: AttemptId): Promise<() => void> {
    const release = await this.#admission.admit(id);
    if (release) return release;
    await this.#shut();
    await job.moveToWait(token);
    throw new WaitingError();
  }

  close(): void {
    this.#closed = true;
    this.#stopListening();
    clearInterval(this.#looks);
    this.#looks = undefined;
  }

  async #shut(): Promise<void> {
    if (this.#closed || this.#looks) return;
    this.#looks = setInterval(() => void this.#look(), LOOK_MS);
    await this.#worker.pause(true);
    // Pausing ends it, but locks of workers that were lost are to be found by those that are full too.
    await this.#worker.startStalledCheckTimer();
  }

  async #look(): Promise<void> {
    if (!this.#looks || this.#looking) return;
    this.#looking = true;
    try {
      const next = await this.#admission.next();
      if (next !== undefined && !(await this.#admission.fits(next))) return;
      if (this.#closed) return;
      clearInterval(this.#looks);
      this.#looks = undefined;
      // Without a wait: it comes back only when the worker has closed.
      void this.#worker.resume();
    } catch (error) {
      this.#logger.debug({ err: error }, 'waiting jobs not looked at');
    } finally {
      this.#looking = false;
    }
  }
}
