/** Takes jobs from a queue of attempts, as many at once as the worker has room for. */
import { Worker } from 'bullmq';
import type { Job as QueueJob } from 'bullmq';
import type { Logger } from 'pino';
import { availableParallelism } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Leases } from '../store/leases.ts';
import { AdmissionGate } from './admission-gate.ts';
import type { JobAdmission } from './admission-gate.ts';
import { QUEUE_PREFIX } from './queues.ts';
import type { AttemptId, QueueConnection } from './queues.ts';
import { handOverInTurn } from './hand-over.ts';
import { Presence, Vouching, attemptLeases } from './vouching.ts';

/** BullMQ's lock on a running job; renewed at half-time. */
const LOCK_MS = 30_000;
/** How often a lock that ran out is looked for. */
const STALLED_CHECK_MS = 5_000;
/** How often a worker that is to go looks for another one, ms. */
const LOOK_MS = 250;
/** How long Redis may take to say whether there is one, ms. */
const ANSWER_MS = 1_000;

/** How an attempt ended; only `ended` means that what it was an attempt at is over. */
export type AttemptOutcome = 'ended' | 'superseded' | 'handed-over';

/** What the worker needs of an attempt. */
export interface RunningAttempt {
  run(): Promise<AttemptOutcome>;
  stop(reason: string): void;
  handOver(): void;
}

/** `finish`: it ends in order. `hand-over`: another worker goes on with it, when there is one. */
export type Ending = 'finish' | 'hand-over';

export interface AttemptWorkerOptions<Job> {
  connection: QueueConnection;
  queueName: string;
  /** Jobs run at once. */
  maxJobs: number;
  /** Whether there is room for a job; without it there is for `maxJobs` of them. */
  admission?: JobAdmission | undefined;
  idOf: (job: Job) => AttemptId;
  /** Name of the lease of an attempt, see vouching.ts. */
  leaseOf: (id: AttemptId) => string;
  /** How long a worker that is to go waits for another one to go on with what it runs, ms. */
  drainMs: number;
  /**
   * Takes the fence and makes what runs; `refused` when there is nothing to run (any more), `ended` when it cannot be
   * run, which is then stored already.
   */
  take: (id: AttemptId, logger: Logger) => Promise<RunningAttempt | 'refused' | 'ended'>;
  /** Moves the fence past an attempt that was handed over and queues the next one: that, unless there is nothing more. */
  goOn: (id: AttemptId) => Promise<AttemptId | undefined>;
  /** Its bindings name what runs. */
  loggerOf: (id: AttemptId) => Logger;
  logger: Logger;
}

function end(running: RunningAttempt, how: Ending): void {
  if (how === 'finish') running.stop('Service shutting down');
  else running.handOver();
}

interface Runs {
  attempt: number;
  running: RunningAttempt;
  /** The attempt that goes on with it, when it has ended here. */
  next: Promise<AttemptId | undefined>;
}

export class AttemptWorker<Job> {
  readonly #options: AttemptWorkerOptions<Job>;
  readonly #running = new Map<string, Runs>();
  /** Leases of every job here, also of those that do not run yet. */
  readonly #taken = new Set<string>();
  readonly #leases: Leases;
  readonly #vouching: Vouching;
  readonly #presence: Presence;
  #closing: Ending | undefined;
  readonly #worker: Worker<Job, AttemptOutcome | 'refused'>;
  readonly #gate: AdmissionGate | undefined;

  constructor(options: AttemptWorkerOptions<Job>) {
    this.#options = options;
    const { connection, queueName, maxJobs, logger } = options;
    this.#worker = new Worker<Job, AttemptOutcome | 'refused'>(
      queueName,
      (job, token) => this.#admitted(job, token),
      {
        connection,
        prefix: QUEUE_PREFIX,
        concurrency: maxJobs,
        lockDuration: LOCK_MS,
        stalledInterval: STALLED_CHECK_MS,
        // A job whose worker went away is not started again by BullMQ: recovery queues the next attempt.
        maxStalledCount: 0,
      },
    );
    this.#gate = options.admission && new AdmissionGate(this.#worker, options.admission, logger);
    this.#leases = attemptLeases(connection);
    this.#vouching = new Vouching(this.#leases, () => [...this.#taken], logger);
    this.#presence = new Presence(connection, queueName, () => this.hasRoom, logger);
    this.#worker.on('error', (error) => logger.warn({ err: error }, `${queueName} queue`));
    // Redis was away longer than the lock: the fence decides who may write, so the job goes on.
    this.#worker.on('lockRenewalFailed', (jobIds) => logger.warn({ jobIds }, 'job locks not renewed'));
  }

  /** Resolves when jobs are taken. */
  async ready(): Promise<void> {
    await this.#worker.waitUntilReady();
    await this.#presence.announce();
  }

  get runningCount(): number {
    return this.#running.size;
  }

  get hasRoom(): boolean {
    const taking = this.#worker.isRunning() && !this.#worker.closing && (this.#gate?.open ?? true);
    return taking && this.#running.size < this.#options.maxJobs;
  }

  /**
   * Takes no new job and ends the running ones. Those that are to be handed over run until there is somebody to hand
   * them to; they are finished here when nobody has come before the drain deadline.
   *
   * @param how what becomes of them
   * @param deadlineMs after this the worker is closed whatever still runs; begins when their end does.
   */
  async close(how: Ending, deadlineMs: number): Promise<void> {
    this.#presence.leave().catch(() => undefined);
    this.#gate?.close();
    const closed = this.#worker.close();
    this.#closing = how === 'finish' ? how : await this.#drained();
    if (this.#closing === 'finish') for (const { running } of this.#running.values()) end(running, 'finish');
    else void this.#handOver();
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<'late'>((resolve) => {
      timer = setTimeout(() => resolve('late'), deadlineMs);
    });
    if ((await Promise.race([closed, late])) === 'late') {
      this.#options.logger.error({ running: this.#running.size }, 'jobs did not end in time');
      await this.#worker.close(true);
    }
    clearTimeout(timer);
    this.#vouching.close();
  }

  /** Resolves when there is another worker or nothing left to hand over, with how what runs is to end. */
  async #drained(): Promise<Ending> {
    const { drainMs, logger } = this.#options;
    const deadline = performance.now() + drainMs;
    while (this.#taken.size > 0) {
      const asked = this.#presence.others().catch(() => false);
      if (await Promise.race([asked, sleep(ANSWER_MS, false)])) return 'hand-over';
      if (performance.now() >= deadline) {
        logger.warn({ running: this.#taken.size }, 'no other worker goes on with the jobs: they end here');
        return 'finish';
      }
      await sleep(LOOK_MS);
    }
    return 'hand-over';
  }

  /** Never rejects. */
  async #handOver(): Promise<void> {
    const { leaseOf } = this.#options;
    const jobs = [...this.#running.values()].map(({ running, next }) => ({
      handOver: () => running.handOver(),
      next,
    }));
    const isTaken = async (id: AttemptId) => (await this.#leases.live()).has(leaseOf(id));
    // Another worker's machine is as large as this one, as far as can be known.
    await handOverInTurn(jobs, isTaken, Math.max(1, Math.floor(availableParallelism() / 2)));
  }

  /** Others take it when there is no room for it here. */
  async #admitted(job: QueueJob<Job>, token: string | undefined): Promise<AttemptOutcome | 'refused'> {
    const id = this.#options.idOf(job.data);
    const release = await this.#gate?.admit(job, token, id);
    try {
      return await this.#process(id);
    } finally {
      release?.();
    }
  }

  async #process(id: AttemptId): Promise<AttemptOutcome | 'refused'> {
    const lease = this.#options.leaseOf(id);
    this.#taken.add(lease);
    void this.#vouching.now();
    try {
      return await this.#run(id, this.#options.loggerOf(id));
    } finally {
      this.#taken.delete(lease);
      this.#leases.drop([lease]).catch(() => undefined);
    }
  }

  async #run(id: AttemptId, log: Logger): Promise<AttemptOutcome | 'refused'> {
    const running = await this.#options.take(id, log);
    if (typeof running === 'string') return running;
    const { promise: next, resolve } = Promise.withResolvers<AttemptId | undefined>();
    this.#running.set(id.id, { attempt: id.attempt, running, next });
    // Taken just before the worker was told to close.
    if (this.#closing) end(running, this.#closing);
    try {
      const outcome = await running.run();
      log.info({ outcome }, 'job done');
      if (outcome === 'handed-over') resolve(await this.#options.goOn(id));
      return outcome;
    } finally {
      resolve(undefined);
      if (this.#running.get(id.id)?.attempt === id.attempt) this.#running.delete(id.id);
    }
  }
}
