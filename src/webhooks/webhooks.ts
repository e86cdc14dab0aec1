/** Webhooks: events go into Redis at once, and from there to their destinations until they have arrived. */
import { setTimeout as sleep } from 'node:timers/promises';
import { WebhookEvent } from '@livekit/protocol';
import type { WebhookConfig } from '@livekit/protocol';
import type { Logger } from 'pino';
import type { Config } from '../config/index.ts';
import type { AddressPolicy } from '../outbound/index.ts';
import { newId } from '../sfu/ids.ts';
import type { RedisConnections } from '../store/index.ts';
import { Courier } from './courier.ts';
import { destinationsOf } from './destinations.ts';
import { WebhookLists, listId } from './lists.ts';
import { Outbox } from './outbox.ts';
import { DEFAULT_TIMING } from './types.ts';
import type { WebhookFields, Webhooks, WebhookTiming } from './types.ts';

/** Events that are being written to Redis at close have this long, ms. */
const EMIT_GRACE_MS = 2000;

export interface WebhooksOptions {
  config: Pick<Config, 'webhook' | 'keys'>;
  /** Stay the caller's. */
  redis: Pick<RedisConnections, 'shared' | 'duplicate'>;
  /** What URLs that requests name may lead to; those of the configuration are not held to it. */
  policy: AddressPolicy;
  logger: Logger;
  timing?: Partial<WebhookTiming>;
}

export function createWebhooks(options: WebhooksOptions): Webhooks {
  return new RedisWebhooks(options);
}

class RedisWebhooks implements Webhooks {
  readonly #options: WebhooksOptions;
  readonly #timing: WebhookTiming;
  readonly #lists: WebhookLists;
  readonly #courier: Courier;
  readonly #emitting = new Set<Promise<unknown>>();
  #outbox: Outbox | undefined;
  #sweeper: NodeJS.Timeout | undefined;

  constructor(options: WebhooksOptions) {
    const { config, redis, policy, logger } = options;
    this.#options = options;
    this.#timing = { ...DEFAULT_TIMING, ...options.timing };
    this.#lists = new WebhookLists(redis.shared);
    this.#courier = new Courier({
      connection: redis.shared,
      lists: this.#lists,
      keys: config.keys,
      timing: this.#timing,
      policy,
      logger,
    });
  }

  async emit(event: WebhookFields, orderKey: string, extra: readonly WebhookConfig[] = []): Promise<void> {
    await this.#publish(event, orderKey, extra);
  }

  async start(): Promise<void> {
    if (this.#outbox !== undefined) return;
    const { redis, logger } = this.#options;
    this.#courier.start();
    this.#outbox = new Outbox({
      redis: redis.shared,
      subscriber: redis.duplicate('webhooks'),
      lists: this.#lists,
      publish: (event, orderKey, extra, outboxHead) => this.#publish(event, orderKey, extra, outboxHead),
      logger,
    });
    this.#sweeper = setInterval(() => void this.#sweep(), this.#timing.sweep);
    await this.#sweep();
  }

  async close(): Promise<void> {
    clearInterval(this.#sweeper);
    await this.#outbox?.close();
    // Without Redis they do not end, and there is nothing to be done about it.
    await Promise.race([Promise.allSettled(this.#emitting), sleep(EMIT_GRACE_MS, undefined, { ref: false })]);
    await this.#courier.close();
  }

  /** What a process that died left between writing a list and waking its job, or in the outbox. */
  async #sweep(): Promise<void> {
    try {
      for (const id of await this.#lists.pending()) await this.#courier.wake(id);
      this.#outbox?.drain();
    } catch (error) {
      this.#options.logger.debug({ err: error }, 'webhooks not swept');
    }
  }

  async #publish(
    fields: WebhookFields,
    orderKey: string,
    extra: readonly WebhookConfig[],
    outboxHead = '',
  ): Promise<boolean> {
    const { config, logger } = this.#options;
    const event = new WebhookEvent({
      ...fields,
      id: newId('EV_'),
      createdAt: BigInt(Math.floor(Date.now() / 1000)),
    });
    const destinations = destinationsOf(event.event, config.webhook.urls, extra, config.webhook.apiKey);
    if (destinations.length === 0 && outboxHead === '') return true;
    const body = event.toJsonString();
    const queuedAt = Date.now();
    const additions = destinations.map((destination) => ({
      listId: listId(destination, orderKey),
      entry: { id: event.id, event: event.event, ...destination, body, queuedAt },
    }));
    // The order of calls is the order in the lists: this goes out before anything is awaited.
    const work = this.#lists.add(additions, outboxHead).then(async (added) => {
      if (!added) return false;
      logger.debug(
        { event: event.event, eventId: event.id, destinations: destinations.length },
        'webhook queued',
      );
      await Promise.all(additions.map(({ listId }) => this.#courier.wake(listId)));
      return true;
    });
    this.#emitting.add(work);
    try {
      return await work;
    } finally {
      this.#emitting.delete(work);
    }
  }
}
