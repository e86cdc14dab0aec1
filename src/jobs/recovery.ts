/** Puts an egress whose worker went away back into the queue, as the next attempt. */
import { QueueEvents } from 'bullmq';
import type { Logger } from 'pino';
import { isEnded } from '../egress/ended.ts';
import type { EgressStore } from '../store/types.ts';
import { EGRESS_QUEUE, QUEUE_PREFIX, parseEgressJobId } from './queues.ts';
import type { EgressQueue, QueueConnection } from './queues.ts';

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
  readonly #events: QueueEvents;

  constructor(options: RecoveryOptions) {
    this.#options = options;
    this.#events = new QueueEvents(EGRESS_QUEUE, { connection: options.connection, prefix: QUEUE_PREFIX });
    this.#events.on('error', (error) => options.logger.warn({ err: error }, 'egress queue events'));
    this.#events.on('failed', ({ jobId, failedReason }) => {
      const job = parseEgressJobId(jobId);
      if (job && !options.isJoined(job.egressId, job.attempt)) {
        void this.requeue(job.egressId, job.attempt, failedReason);
      }
    });
  }

  async ready(): Promise<void> {
    await this.#events.waitUntilReady();
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
      await queue.add(egressId, next);
    } catch (error) {
      logger.error({ err: error, egressId, attempt }, 'egress not put back into the queue');
    }
  }

  async close(): Promise<void> {
    await this.#events.close();
  }
}
