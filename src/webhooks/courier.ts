/** Delivers what waits in the lists: one BullMQ job a list, in order, with retries. */
import { randomUUID } from 'node:crypto';
import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { DelayedError, Queue, Worker } from 'bullmq';
import type { Job } from 'bullmq';
import type { Redis } from 'ioredis';
import type { Logger } from 'pino';
import { checkedAgents } from '../outbound/index.ts';
import type { AddressPolicy, CheckedAgents } from '../outbound/index.ts';
import { redactUrl } from '../redact.ts';
import { QUEUE_PREFIX } from '../store/keys.ts';
import { retryDelay } from './backoff.ts';
import type { Entry, WebhookLists } from './lists.ts';
import { Places } from './places.ts';
import { postEvent } from './request.ts';
import type { WebhookTiming } from './types.ts';

export const WEBHOOK_QUEUE = 'webhooks';

/** Lists delivered from at once by one process. */
const CONCURRENCY = 64;
/** Of these, lists of one host: one that hangs leaves room for the others. */
const CONCURRENCY_PER_HOST = 16;
/** What is on its way at close has this long, ms. */
const CLOSE_GRACE_MS = 2000;

/** A list whose host's places stay taken this long makes room for others' ... */
const PLACE_WAIT_MS = 250;
/** ... and is looked at again after about this, ms. */
const FULL_MS = 1000;
/** Jobs that do not come to an end are left to the next process after this, ms. */
const CLOSE_DEADLINE_MS = 8000;

interface ListJob {
  listId: string;
}

export interface CourierOptions {
  connection: Redis;
  lists: WebhookLists;
  /** API key -> secret. */
  keys: Readonly<Record<string, string>>;
  timing: WebhookTiming;
  /** What URLs of requests may lead to. */
  policy: AddressPolicy;
  logger: Logger;
}

export class Courier {
  readonly #options: CourierOptions;
  readonly #queue: Queue<ListJob>;
  readonly #places = new Places(CONCURRENCY_PER_HOST);
  readonly #closing = new AbortController();
  /** Of the configuration's URLs, which an operator has chosen. */
  readonly #trusted: CheckedAgents = {
    http: new HttpAgent({ keepAlive: true }),
    https: new HttpsAgent({ keepAlive: true }),
  };
  readonly #guarded: CheckedAgents;
  #worker: Worker<ListJob> | undefined;
  #closed = false;

  constructor(options: CourierOptions) {
    this.#options = options;
    this.#guarded = checkedAgents(options.policy);
    this.#queue = new Queue<ListJob>(WEBHOOK_QUEUE, {
      connection: options.connection,
      prefix: QUEUE_PREFIX,
      defaultJobOptions: { attempts: 1, removeOnComplete: true, removeOnFail: true },
    });
    this.#queue.on('error', (error: Error) => options.logger.debug({ err: error }, 'webhook queue'));
  }

  /**
   * Makes sure that a job delivers from this list: the one that waits, or another one after the one that runs. At most
   * one runs.
   */
  async wake(listId: string): Promise<void> {
    await this.#queue.add('deliver', { listId }, { deduplication: { id: listId, keepLastIfActive: true } });
  }

  start(): void {
    const { connection, timing, logger } = this.#options;
    this.#worker = new Worker<ListJob>(WEBHOOK_QUEUE, (job, token) => this.#process(job, token), {
      connection,
      prefix: QUEUE_PREFIX,
      concurrency: CONCURRENCY,
      lockDuration: timing.lease,
      stalledInterval: timing.lease / 2,
      // A process that dies while it delivers says nothing about the event.
      maxStalledCount: 1_000_000,
    });
    this.#worker.on('error', (error) => logger.debug({ err: error }, 'webhook queue'));
    this.#worker.on('failed', (job, error) => {
      logger.warn(
        { err: error, listId: job?.data.listId },
        'webhook delivery interrupted; it is taken up again',
      );
    });
  }

  async close(): Promise<void> {
    this.#closed = true;
    const grace = setTimeout(() => this.#closing.abort(), CLOSE_GRACE_MS);
    // Without Redis a job cannot even be put back; its lease and its lock run out instead.
    const deadline = setTimeout(() => void this.#worker?.close(true), CLOSE_DEADLINE_MS);
    await this.#worker?.close();
    clearTimeout(grace);
    clearTimeout(deadline);
    await this.#queue.close();
    for (const { http, https } of [this.#trusted, this.#guarded]) {
      http.destroy();
      https.destroy();
    }
  }

  async #process(job: Job<ListJob>, token = ''): Promise<void> {
    const waitMs = await this.#deliverList(job.data.listId);
    if (waitMs === undefined) return;
    await job.moveToDelayed(Date.now() + waitMs, token);
    throw new DelayedError();
  }

  /** May have changed while something was waited for. */
  #isClosed(): boolean {
    return this.#closed;
  }

  /** Delivers until the list is empty; answers when to go on, if it is not. */
  async #deliverList(listId: string): Promise<number | undefined> {
    const { lists, timing } = this.#options;
    const token = randomUUID();
    for (;;) {
      if (this.#isClosed()) {
        await lists.release(listId, token);
        return 0;
      }
      const claim = await lists.claim(listId, token, timing.lease);
      if (claim.state === 'empty') return undefined;
      if (claim.state === 'held') return claim.ms + 50;
      const outcome = claim.entry === undefined ? 'drop' : await this.#deliverInTurn(claim.entry);
      if (outcome === 'full') {
        await lists.release(listId, token);
        return FULL_MS * (1 + Math.random());
      }
      if (outcome === 'retry') {
        const failures = await lists.failed(listId, token, 2 * timing.maxRetry);
        return failures === 0 || this.#isClosed() ? 0 : retryDelay(failures, timing);
      }
      if (!(await lists.remove(listId, token, claim.raw))) return timing.lease;
    }
  }

  /** `full`: as many as may are delivering to this host. */
  async #deliverInTurn(entry: Entry): Promise<'done' | 'drop' | 'retry' | 'full'> {
    const host = URL.canParse(entry.url) ? new URL(entry.url).host : '';
    if (!(await this.#places.enter(host, PLACE_WAIT_MS))) return 'full';
    try {
      return await this.#deliver(entry);
    } finally {
      this.#places.leave(host);
    }
  }

  async #deliver(entry: Entry): Promise<'done' | 'drop' | 'retry'> {
    const { keys, timing, logger } = this.#options;
    const log = logger.child({ event: entry.event, eventId: entry.id, url: redactUrl(entry.url) });
    const secret = keys[entry.apiKey];
    if (secret === undefined) {
      log.error({ apiKey: entry.apiKey }, 'webhook dropped: the API key that signs it is not configured');
      return 'drop';
    }
    const result = await postEvent(
      entry.url,
      entry.body,
      { name: entry.apiKey, secret },
      {
        timeoutMs: timing.request,
        signal: this.#closing.signal,
        agents: entry.checked ? this.#guarded : this.#trusted,
      },
    );
    if (result.ok) {
      log.debug('webhook delivered');
      return 'done';
    }
    const { reason, refused, gone } = result;
    const age = Date.now() - entry.queuedAt;
    if (gone || age > (refused ? timing.giveUpRefused : timing.giveUp)) {
      log.error({ reason, hours: age / 3_600_000 }, 'webhook dropped');
      return 'drop';
    }
    log.warn({ reason }, 'webhook not delivered; trying again');
    return 'retry';
  }
}
