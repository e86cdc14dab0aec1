/** Takes egress jobs from the queue, one attempt a job, as many at once as the worker has room for. */
import { EgressStatus } from '@livekit/protocol';
import { Worker } from 'bullmq';
import type { Logger } from 'pino';
import type { AttemptOutcome } from '../egress/attempt.ts';
import { nowNs } from '../egress/status.ts';
import { isEnded } from '../egress/ended.ts';
import type { EgressRecord, EgressStore } from '../store/types.ts';
import { EGRESS_QUEUE, QUEUE_PREFIX } from './queues.ts';
import type { EgressJob, EgressQueue, QueueConnection } from './queues.ts';

/** BullMQ's lock on a running job; renewed at half-time. */
const LOCK_MS = 30_000;
/** How often a lock that ran out is looked for. */
const STALLED_CHECK_MS = 5_000;

/** What the worker needs of an attempt. */
export interface RunningAttempt {
  run(): Promise<AttemptOutcome>;
  stop(reason: string): void;
  handOver(): void;
}

export interface EgressWorkerOptions {
  connection: QueueConnection;
  queue: EgressQueue;
  store: EgressStore;
  /** Jobs run at once. */
  maxJobs: number;
  /** @throws EgressError when the stored request cannot be run. */
  createAttempt: (record: EgressRecord, attempt: number) => RunningAttempt;
  logger: Logger;
}

/** `finish`: it ends, its files are made. `hand-over`: another worker goes on with it. */
type Ending = 'finish' | 'hand-over';

function end(running: RunningAttempt, how: Ending): void {
  if (how === 'finish') running.stop('Service shutting down');
  else running.handOver();
}

export class EgressWorker {
  readonly #options: EgressWorkerOptions;
  readonly #running = new Map<string, { attempt: number; running: RunningAttempt }>();
  #closing: Ending | undefined;
  readonly #worker: Worker<EgressJob, AttemptOutcome | 'refused'>;

  constructor(options: EgressWorkerOptions) {
    this.#options = options;
    const { connection, maxJobs, logger } = options;
    this.#worker = new Worker<EgressJob, AttemptOutcome | 'refused'>(
      EGRESS_QUEUE,
      (job) => this.#process(job.data),
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
    this.#worker.on('error', (error) => logger.warn({ err: error }, 'egress queue'));
    // Redis was away longer than the lock: the fence decides who may write, so the job goes on.
    this.#worker.on('lockRenewalFailed', (jobIds) => logger.warn({ jobIds }, 'job locks not renewed'));
  }

  /** Resolves when jobs are taken. */
  async ready(): Promise<void> {
    await this.#worker.waitUntilReady();
  }

  get runningCount(): number {
    return this.#running.size;
  }

  get hasRoom(): boolean {
    return this.#worker.isRunning() && !this.#worker.closing && this.#running.size < this.#options.maxJobs;
  }

  /**
   * Takes no new job and ends the running ones.
   *
   * @param how what becomes of them
   * @param deadlineMs after this the worker is closed whatever still runs.
   */
  async close(how: Ending, deadlineMs: number): Promise<void> {
    this.#closing = how;
    for (const { running } of this.#running.values()) end(running, how);
    const closed = this.#worker.close();
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<'late'>((resolve) => {
      timer = setTimeout(() => resolve('late'), deadlineMs);
    });
    if ((await Promise.race([closed, late])) === 'late') {
      this.#options.logger.error({ running: this.#running.size }, 'jobs did not end in time');
      await this.#worker.close(true);
    }
    clearTimeout(timer);
  }

  async #process({ egressId, attempt }: EgressJob): Promise<AttemptOutcome | 'refused'> {
    const { store, queue, logger } = this.#options;
    const log = logger.child({ egressId, attempt });
    if (!(await store.begin(egressId, attempt))) {
      log.info('job refused: the egress has ended or a newer attempt exists');
      return 'refused';
    }
    const record = await store.get(egressId);
    if (!record || isEnded(record.info.status)) return 'refused';
    log.info({ room: record.roomName }, 'job taken');
    let running: RunningAttempt;
    try {
      running = this.#options.createAttempt(record, attempt);
    } catch (error) {
      log.error({ err: error }, 'job cannot be run');
      record.info.status = EgressStatus.EGRESS_FAILED;
      record.info.error = error instanceof Error ? error.message : String(error);
      record.info.errorCode = 500;
      record.info.endedAt = record.info.updatedAt = nowNs();
      await store.saveInfo(egressId, attempt, record.info, record.appliedRevision);
      return 'ended';
    }
    this.#running.set(egressId, { attempt, running });
    // Taken just before the worker was told to close.
    if (this.#closing) end(running, this.#closing);
    try {
      const outcome = await running.run();
      log.info({ outcome }, 'job done');
      if (outcome === 'handed-over') {
        const next = await store.raiseAttempt(egressId, attempt);
        if (next !== undefined) await queue.add(egressId, next);
      }
      return outcome;
    } finally {
      if (this.#running.get(egressId)?.attempt === attempt) this.#running.delete(egressId);
    }
  }
}
