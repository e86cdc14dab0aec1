/** Who runs what, told in Redis while it lasts: workers for their attempts, the SFU for those in its rooms. */
import { randomUUID } from 'node:crypto';
import type { Redis } from 'ioredis';
import type { Logger } from 'pino';
import { Leases } from '../store/leases.ts';
import { jobIdOf } from './queues.ts';
import type { AttemptId } from './queues.ts';

/** How often leases are renewed, ms. */
export const RENEW_MS = 1_000;
/** How long one lasts, ms: an attempt whose worker is silent for longer is taken for lost. */
export const LEASE_MS = 3_000;

/** Attempts somebody vouches for, under these names: egresses by their id, ingresses by their attempt alone. */
export const egressLease = (id: AttemptId): string => `egress:${jobIdOf(id)}`;
export const ingressLease = ({ attempt }: { attempt: number }): string => `ingress:${attempt}`;

export function attemptLeases(redis: Redis): Leases {
  return new Leases(redis, 'attempts');
}

/** Renews what `names` answers, every second. While Redis is away one renewal waits for it, and no more. */
export class Vouching {
  readonly #leases: Leases;
  readonly #names: () => string[];
  readonly #logger: Logger;
  readonly #timer: NodeJS.Timeout;
  #busy = false;

  constructor(leases: Leases, names: () => string[], logger: Logger) {
    this.#leases = leases;
    this.#names = names;
    this.#logger = logger;
    this.#timer = setInterval(() => void this.now(), RENEW_MS);
  }

  /** Renews at once, unless a renewal is under way. */
  async now(): Promise<void> {
    if (this.#busy) return;
    this.#busy = true;
    try {
      await this.#leases.renew(this.#names(), LEASE_MS);
    } catch (error) {
      this.#logger.warn({ err: error }, 'leases not renewed');
    } finally {
      this.#busy = false;
    }
  }

  close(): void {
    clearInterval(this.#timer);
  }
}

/** A worker among those of its queue: the others can see whether it takes jobs. */
export class Presence {
  readonly #name = randomUUID();
  readonly #leases: Leases;
  readonly #vouching: Vouching;

  /** @param takesJobs whether a job that is queued now could be taken here */
  constructor(redis: Redis, queueName: string, takesJobs: () => boolean, logger: Logger) {
    this.#leases = new Leases(redis, `workers:${queueName}`);
    this.#vouching = new Vouching(this.#leases, () => (takesJobs() ? [this.#name] : []), logger);
  }

  /** Shows itself without waiting for the next second. */
  async announce(): Promise<void> {
    await this.#vouching.now();
  }

  /** Whether another worker would take a job. */
  async others(): Promise<boolean> {
    const live = await this.#leases.live();
    live.delete(this.#name);
    return live.size > 0;
  }

  /** It takes no jobs any more. */
  async leave(): Promise<void> {
    this.#vouching.close();
    await this.#leases.drop([this.#name]);
  }
}
