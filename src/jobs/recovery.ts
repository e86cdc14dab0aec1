/** Puts back into the queue, as the next attempt, what lost its worker. */
import { QueueEvents } from 'bullmq';
import type { Logger } from 'pino';
import { isEnded } from '../egress/ended.ts';
import type { IngressStore } from '../store/ingress-types.ts';
import type { EgressStore } from '../store/types.ts';
import { EGRESS_QUEUE, INGRESS_QUEUE, QUEUE_PREFIX, parseJobId } from './queues.ts';
import type { AttemptId, EgressQueue, IngressQueue, QueueConnection } from './queues.ts';
import { attemptLeases, egressLease, ingressLease } from './vouching.ts';

/** Told of every job that failed: BullMQ fails one whose worker has stopped renewing its lock. */
class FailedJobs {
  readonly #events: QueueEvents;

  constructor(
    queueName: string,
    connection: QueueConnection,
    logger: Logger,
    /** Whether somebody vouches for it: then it runs, whatever BullMQ thinks of its lock. */
    lives: (id: AttemptId) => Promise<boolean>,
    onFailed: (id: AttemptId, reason: string) => void,
  ) {
    this.#events = new QueueEvents(queueName, { connection, prefix: QUEUE_PREFIX });
    this.#events.on('error', (error) => logger.warn({ err: error }, `${queueName} queue events`));
    this.#events.on('failed', ({ jobId, failedReason }) => {
      const id = parseJobId(jobId);
      if (!id) return;
      lives(id).then(
        (alive) => {
          if (!alive) onFailed(id, failedReason);
        },
        // The sweep finds it when it was lost.
        (error: unknown) => logger.warn({ err: error, jobId }, 'failed job not looked at'),
      );
    });
  }

  async ready(): Promise<void> {
    await this.#events.waitUntilReady();
  }

  async close(): Promise<void> {
    await this.#events.close();
  }
}

function livesBy(connection: QueueConnection, leaseOf: (id: AttemptId) => string) {
  return async (id: AttemptId) => (await attemptLeases(connection).live()).has(leaseOf(id));
}

export interface RecoveryOptions {
  connection: QueueConnection;
  queue: EgressQueue;
  store: EgressStore;
  /** Whether this attempt's worker is in the room now: then whatever the queue thinks of its job, it runs. */
  isJoined: (egressId: string, attempt: number) => boolean;
  logger: Logger;
}

export class EgressRecovery {
  readonly #options: RecoveryOptions;
  readonly #failed: FailedJobs;

  constructor(options: RecoveryOptions) {
    this.#options = options;
    const { connection, logger, isJoined } = options;
    const lives = livesBy(connection, egressLease);
    this.#failed = new FailedJobs(EGRESS_QUEUE, connection, logger, lives, ({ id, attempt }, reason) => {
      if (!isJoined(id, attempt)) void this.requeue(id, attempt, reason);
    });
  }

  async ready(): Promise<void> {
    await this.#failed.ready();
  }

  /** Moves the fence past `attempt` and queues the next one; does nothing when that has been done, or the egress has ended. */
  async requeue(egressId: string, attempt: number, reason: string): Promise<void> {
    const { store, queue, logger } = this.#options;
    try {
      const record = await store.get(egressId);
      if (!record || isEnded(record.info.status)) return;
      const next = await store.raiseAttempt(egressId, attempt);
      if (next === undefined) return;
      logger.warn({ egressId, attempt: next, reason }, 'egress goes on in a new attempt');
      await queue.add(egressId, next, { first: true });
    } catch (error) {
      logger.error({ err: error, egressId, attempt }, 'egress not put back into the queue');
    }
  }

  async close(): Promise<void> {
    await this.#failed.close();
  }
}

export interface IngressRecoveryOptions {
  connection: QueueConnection;
  queue: IngressQueue;
  store: IngressStore;
  /** Whether this attempt's worker is in the room now, as the participant of the ingress. */
  isJoined: (identity: string, attempt: number) => boolean;
  /** Tests set it. */
  sweepMs?: number;
  logger: Logger;
}

/** How often sessions are looked for whose server was lost, ms. */
const SWEEP_MS = 5_000;

export class IngressRecovery {
  readonly #options: IngressRecoveryOptions;
  readonly #failed: FailedJobs;
  #sweeper: NodeJS.Timeout | undefined;

  constructor(options: IngressRecoveryOptions) {
    this.#options = options;
    const { connection, logger } = options;
    const lives = livesBy(connection, ingressLease);
    this.#failed = new FailedJobs(INGRESS_QUEUE, connection, logger, lives, ({ attempt }, reason) => {
      void this.requeue(attempt, reason, { unlessJoined: true });
    });
  }

  async ready(): Promise<void> {
    await this.#failed.ready();
    this.#sweeper = setInterval(() => void this.#sweep(), this.#options.sweepMs ?? SWEEP_MS);
    await this.#sweep();
  }

  /**
   * Moves the fence past `attempt` and queues the next one; does nothing when that has been done, or its session is
   * over. An attempt belongs to one ingress only, so nobody need know which.
   */
  async requeue(attempt: number, reason: string, options: { unlessJoined?: boolean } = {}): Promise<void> {
    const { store, queue, isJoined, logger } = this.#options;
    try {
      const record = await store.byAttempt(attempt);
      if (record?.session?.attempt !== attempt) return;
      const identity = record.info.participantIdentity || record.ingressId;
      if (options.unlessJoined && isJoined(identity, attempt)) return;
      const next = await store.raiseAttempt(record.ingressId, attempt);
      if (next === undefined) return;
      logger.warn({ ingressId: record.ingressId, attempt: next, reason }, 'ingress goes on in a new attempt');
      await queue.add(record.ingressId, next, { first: true });
    } catch (error) {
      logger.error({ err: error, attempt }, 'ingress not put back into the queue');
    }
  }

  async close(): Promise<void> {
    clearInterval(this.#sweeper);
    await this.#failed.close();
  }

  /** A server that is killed ends no session: what it held is not live any more, and is to be seen as that. */
  async #sweep(): Promise<void> {
    const { store, logger } = this.#options;
    try {
      for (const ingressId of await store.endLapsed()) {
        logger.warn({ ingressId }, 'ingress ended: the server that held its source was lost');
      }
    } catch (error) {
      logger.warn({ err: error }, 'ingresses of lost servers not looked for');
    }
  }
}
