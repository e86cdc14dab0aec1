/**
 * Finds what nobody runs. A worker can be lost before it joins a room, and moving an attempt on is two steps (the fence,
 * then the job), between which a process can die: whatever has not ended, waits in no queue and has nobody who
 * vouches for it is queued again.
 */
import { randomUUID } from 'node:crypto';
import type { Redis } from 'ioredis';
import type { Logger } from 'pino';
import { holdLease } from '../store/leases.ts';
import type { AttemptId } from './queues.ts';
import { Vouching, attemptLeases } from './vouching.ts';

/** How often is looked, ms. */
const SWEEP_MS = 1_000;
/**
 * How long something must have been seen without anybody who runs it, ms. Longer than workers take to find a Redis
 * again that has been away: until then they cannot vouch for what they run.
 */
const UNATTENDED_MS = 4_000;
/** A sweep that took longer than this had to wait for Redis, as everybody else had. */
const PROMPT_MS = 1_000;
/** One server of several sweeps; another one does when it has been silent for this long, ms. */
const SWEEPER_MS = 5_000;

/** A kind of thing that is run in attempts. */
export interface Swept {
  /** What has not ended, with the attempt that may write. */
  unfinished: () => Promise<AttemptId[]>;
  /** Whether the job of this attempt waits for a worker. */
  waits: (id: AttemptId) => Promise<boolean>;
  /** Name of the lease of an attempt. */
  lease: (id: AttemptId) => string;
  /** Moves the fence past this attempt and queues the next. */
  requeue: (id: AttemptId) => Promise<void>;
}

export interface SweepOptions {
  redis: Redis;
  kinds: readonly Swept[];
  /** Names of leases of the attempts that are in the rooms of this SFU: it vouches for them. */
  seats: () => string[];
  logger: Logger;
}

interface Unattended extends AttemptId {
  kind: Swept;
  /** Monotonic, ms. */
  since: number;
}

export class Sweep {
  readonly #options: SweepOptions;
  readonly #name = randomUUID();
  readonly #vouching: Vouching;
  readonly #timer: NodeJS.Timeout;
  #unattended = new Map<string, Unattended>();
  #sweeping = false;

  /** Runs from now on. */
  constructor(options: SweepOptions) {
    this.#options = options;
    this.#vouching = new Vouching(attemptLeases(options.redis), options.seats, options.logger);
    this.#timer = setInterval(() => void this.#sweep(), SWEEP_MS);
  }

  close(): void {
    clearInterval(this.#timer);
    this.#vouching.close();
  }

  async #sweep(): Promise<void> {
    if (this.#sweeping) return;
    this.#sweeping = true;
    const began = performance.now();
    try {
      const { redis } = this.#options;
      const found = (await holdLease(redis, 'sweep', this.#name, SWEEPER_MS)) ? await this.#look() : [];
      const now = performance.now();
      const before = now - began > PROMPT_MS ? new Map<string, Unattended>() : this.#unattended;
      this.#unattended = new Map(
        found.map(([lease, each]) => [lease, before.get(lease) ?? { ...each, since: now }]),
      );
      await this.#requeue(now);
    } catch (error) {
      this.#unattended.clear();
      this.#options.logger.warn({ err: error }, 'what nobody runs was not looked for');
    } finally {
      this.#sweeping = false;
    }
  }

  /** What nobody runs now. */
  async #look(): Promise<[string, Omit<Unattended, 'since'>][]> {
    const { redis, kinds } = this.#options;
    const found: [string, Omit<Unattended, 'since'>][] = [];
    for (const kind of kinds) {
      const unfinished = await kind.unfinished();
      if (unfinished.length === 0) continue;
      const live = await attemptLeases(redis).live();
      for (const { id, attempt } of unfinished) {
        const lease = kind.lease({ id, attempt });
        // The first job is queued before any attempt is on record.
        const waits = live.has(lease) || (await kind.waits({ id, attempt: Math.max(attempt, 1) }));
        if (!waits) found.push([lease, { id, attempt, kind }]);
      }
    }
    return found;
  }

  async #requeue(now: number): Promise<void> {
    for (const [lease, { kind, id, attempt, since }] of this.#unattended) {
      if (now - since < UNATTENDED_MS) continue;
      this.#unattended.delete(lease);
      await kind.requeue({ id, attempt });
    }
  }
}
