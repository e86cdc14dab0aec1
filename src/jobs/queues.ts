/** The BullMQ queues: names, what a job says, and how it is kept. */
import { Queue } from 'bullmq';
import type { DefaultJobOptions } from 'bullmq';
import type { Redis } from 'ioredis';
import type { Logger } from 'pino';
import { QUEUE_PREFIX } from '../store/keys.ts';

export { QUEUE_PREFIX };

/** Egress attempts: one job each, taken by workers. */
export const EGRESS_QUEUE = 'egress';

/**
 * What queues and workers connect with: an ioredis client with `maxRetriesPerRequest: null` (see connectRedis). BullMQ
 * shares it for commands and duplicates it for what blocks.
 */
export type QueueConnection = Redis;

/** One attempt at an egress; everything else about it is in the store. */
export interface EgressJob {
  readonly egressId: string;
  /** From 1. */
  readonly attempt: number;
}

/** BullMQ forbids ':' in ids, and ids that are numbers. */
export function egressJobId({ egressId, attempt }: EgressJob): string {
  return `${egressId}-${attempt}`;
}

/** The job such an id names, or undefined when it is none of ours. */
export function parseEgressJobId(jobId: string): EgressJob | undefined {
  const match = /^(.+)-([1-9]\d*)$/.exec(jobId);
  return match?.[1] === undefined ? undefined : { egressId: match[1], attempt: Number(match[2]) };
}

/**
 * An attempt is run once: what follows a failure is a new attempt, decided by who sees the failure. Finished jobs stay
 * for an hour, for whoever looks into the queue.
 */
const EGRESS_JOB_OPTIONS: DefaultJobOptions = {
  attempts: 1,
  removeOnComplete: { age: 3600, count: 1000 },
  removeOnFail: { age: 3600, count: 1000 },
};

/** Puts egress attempts into the queue. */
export class EgressQueue {
  readonly #queue: Queue<EgressJob>;

  constructor(connection: QueueConnection, logger: Logger) {
    this.#queue = new Queue<EgressJob>(EGRESS_QUEUE, {
      connection,
      prefix: QUEUE_PREFIX,
      defaultJobOptions: EGRESS_JOB_OPTIONS,
    });
    this.#queue.on('error', (error: Error) => logger.debug({ err: error }, 'egress queue'));
  }

  /** Queues an attempt, once: its id is the attempt's, so adding it again changes nothing. */
  async add(egressId: string, attempt: number): Promise<void> {
    const job: EgressJob = { egressId, attempt };
    await this.#queue.add('egress', job, { jobId: egressJobId(job) });
  }

  /** Takes an attempt out, if it is there. False when a worker has it. */
  async remove(egressId: string, attempt: number): Promise<boolean> {
    return (await this.#queue.remove(egressJobId({ egressId, attempt }))) === 1;
  }

  /** Attempts that wait for a worker. */
  async waiting(): Promise<number> {
    return this.#queue.getWaitingCount();
  }

  /** Workers that are connected, in whatever process. */
  async workerCount(): Promise<number> {
    return this.#queue.getWorkersCount();
  }

  async close(): Promise<void> {
    await this.#queue.close();
  }
}

/** @param connection shared, not closed with the queue. */
export function egressQueue(connection: QueueConnection, logger: Logger): EgressQueue {
  return new EgressQueue(connection, logger);
}
