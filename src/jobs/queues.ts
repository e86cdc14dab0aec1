/** The BullMQ queues: names, what a job says, and how it is kept. */
import { Queue } from 'bullmq';
import type { DefaultJobOptions } from 'bullmq';
import type { Redis } from 'ioredis';
import type { Logger } from 'pino';
import { QUEUE_PREFIX } from '../store/keys.ts';

export { QUEUE_PREFIX };

/** Egress attempts: one job each, taken by workers. */
export const EGRESS_QUEUE = 'egress';
/** Ingress attempts, likewise. */
export const INGRESS_QUEUE = 'ingress';

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

/** One attempt at a session of an ingress; everything else about it is in the store. */
export interface IngressJob {
  readonly ingressId: string;
  /** Of the one counter of all ingresses. */
  readonly attempt: number;
}

/** Whose job it is, and which attempt. */
export interface AttemptId {
  readonly id: string;
  readonly attempt: number;
}

/** BullMQ forbids ':' in ids, and ids that are numbers. */
export function jobIdOf({ id, attempt }: AttemptId): string {
  return `${id}-${attempt}`;
}

/** What such an id names, or undefined when it is none of ours. */
export function parseJobId(jobId: string): AttemptId | undefined {
  const match = /^(.+)-([1-9]\d*)$/.exec(jobId);
  return match?.[1] === undefined ? undefined : { id: match[1], attempt: Number(match[2]) };
}

/**
 * An attempt is run once: what follows a failure is a new attempt, decided by who sees the failure. Finished jobs stay
 * for an hour, for whoever looks into the queue.
 */
const JOB_OPTIONS: DefaultJobOptions = {
  attempts: 1,
  removeOnComplete: { age: 3600, count: 1000 },
  removeOnFail: { age: 3600, count: 1000 },
};

/** BullMQ's states of a job nobody has taken yet. */
const WAITING: ReadonlySet<string> = new Set(['waiting', 'delayed', 'prioritized', 'waiting-children']);

/** A queue whose jobs are attempts. */
export class AttemptQueue<Job extends { attempt: number }> {
  readonly #name: string;
  readonly #queue: Queue<Job>;
  readonly #jobOf: (id: AttemptId) => Job;

  constructor(name: string, jobOf: (id: AttemptId) => Job, connection: QueueConnection, logger: Logger) {
    this.#name = name;
    this.#jobOf = jobOf;
    this.#queue = new Queue<Job>(name, { connection, prefix: QUEUE_PREFIX, defaultJobOptions: JOB_OPTIONS });
    this.#queue.on('error', (error: Error) => logger.debug({ err: error }, `${name} queue`));
  }

  /**
   * Queues an attempt, once: its id is the attempt's, so adding it again changes nothing.
   * @param options `first`: before all others, for what had begun already
   */
  async add(id: string, attempt: number, options: { first?: boolean } = {}): Promise<void> {
    const jobId = jobIdOf({ id, attempt });
    // BullMQ derives names and data from the job's type by conditional types, which a type parameter defeats.
    const queue = this.#queue as unknown as Queue<object>;
    await queue.add(this.#name, this.#jobOf({ id, attempt }), { jobId, lifo: options.first ?? false });
  }

  /** Takes an attempt out, if it is there. False when a worker has it. */
  async remove(id: string, attempt: number): Promise<boolean> {
    return (await this.#queue.remove(jobIdOf({ id, attempt }))) === 1;
  }

  /** Whether it waits for a worker: nobody has taken it yet. */
  async waits({ id, attempt }: AttemptId): Promise<boolean> {
    const state = await this.#queue.getJobState(jobIdOf({ id, attempt }));
    return WAITING.has(state);
  }

  /** Attempts that wait for a worker. */
  async waiting(): Promise<number> {
    return this.#queue.getWaitingCount();
  }

  /** The first that waits. */
  async next(): Promise<AttemptId | undefined> {
    const [first] = await this.waitingLine(1);
    return first;
  }

  /** Those that wait, first in line first. @param limit how many at most */
  async waitingLine(limit: number): Promise<(AttemptId & { queuedAtMs: number })[]> {
    const jobs = await this.#queue.getWaiting(0, limit - 1);
    return jobs.flatMap((job) => {
      const id = parseJobId(job.id ?? '');
      return id ? [{ ...id, queuedAtMs: job.timestamp }] : [];
    });
  }

  /** Workers that are connected, in whatever process. */
  async workerCount(): Promise<number> {
    return this.#queue.getWorkersCount();
  }

  async close(): Promise<void> {
    await this.#queue.close();
  }
}

/** Puts egress attempts into the queue. */
export type EgressQueue = AttemptQueue<EgressJob>;
/** Puts ingress attempts into the queue. */
export type IngressQueue = AttemptQueue<IngressJob>;

/** @param connection shared, not closed with the queue. */
export function egressQueue(connection: QueueConnection, logger: Logger): EgressQueue {
  return new AttemptQueue(EGRESS_QUEUE, ({ id, attempt }) => ({ egressId: id, attempt }), connection, logger);
}

/** @param connection shared, not closed with the queue. */
export function ingressQueue(connection: QueueConnection, logger: Logger): IngressQueue {
  return new AttemptQueue(
    INGRESS_QUEUE,
    ({ id, attempt }) => ({ ingressId: id, attempt }),
    connection,
    logger,
  );
}
