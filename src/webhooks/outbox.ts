/** Turns the store's outbox (changes of EgressInfo and IngressInfo) into webhook events, each exactly once, in order. */
import { WebhookConfig } from '@livekit/protocol';
import type { Redis } from 'ioredis';
import type { Logger } from 'pino';
import { z } from 'zod';
import { channels, keys } from '../store/keys.ts';
import { joinIngressInfo } from '../store/ingress-record.ts';
import { decodeInfo } from '../store/record.ts';
import { Subscriptions } from '../store/subscriptions.ts';
import type { WebhookLists } from './lists.ts';
import type { WebhookFields } from './types.ts';

const egressEntrySchema = z.object({
  egressId: z.string(),
  event: z.enum(['egress_started', 'egress_updated', 'egress_ended']),
  info: z.string(),
});

const ingressEntrySchema = z.object({
  ingressId: z.string(),
  event: z.enum(['ingress_started', 'ingress_ended']),
  info: z.string(),
  state: z.string(),
});

const entrySchema = z.union([egressEntrySchema, ingressEntrySchema]);

const requestSchema = z.object({ webhooks: z.array(z.json()).optional() });

export interface OutboxOptions {
  redis: Redis;
  /** Closed with this. */
  subscriber: Redis;
  lists: WebhookLists;
  /** Queues the events that became of `outboxHead`; false when another process has. */
  publish: (
    event: WebhookFields,
    orderKey: string,
    extra: readonly WebhookConfig[],
    outboxHead: string,
  ) => Promise<boolean>;
  logger: Logger;
}

export class Outbox {
  readonly #options: OutboxOptions;
  readonly #subscriptions: Subscriptions;
  #draining: Promise<void> | undefined;
  #again = false;
  #closed = false;

  constructor(options: OutboxOptions) {
    this.#options = options;
    this.#subscriptions = new Subscriptions(options.subscriber, options.logger);
    this.#subscriptions.add(channels.outbox, {
      onMessage: () => this.drain(),
      onSubscribed: () => this.drain(),
    });
  }

  /** Empties the outbox, if that is not being done already. */
  drain(): void {
    this.#again = true;
    this.#draining ??= this.#drain()
      .catch((error: unknown) => {
        if (!this.#closed)
          this.#options.logger.warn({ err: error }, 'outbox not emptied; trying again later');
      })
      .finally(() => {
        this.#draining = undefined;
        if (this.#again && !this.#closed) this.drain();
      });
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#subscriptions.close();
    await this.#draining;
  }

  /** May have changed while something was waited for. */
  #isClosed(): boolean {
    return this.#closed;
  }

  async #drain(): Promise<void> {
    while (this.#again && !this.#isClosed()) {
      this.#again = false;
      for (;;) {
        const head = await this.#options.lists.outboxHead();
        if (head === undefined || this.#isClosed()) break;
        await this.#publish(head);
      }
    }
  }

  async #publish(head: string): Promise<void> {
    const { publish, lists, logger } = this.#options;
    let event: OutboxEvent;
    try {
      event = readEntry(head);
    } catch (error) {
      logger.error({ err: error }, 'an entry of the outbox cannot be read and is dropped');
      await lists.add([], head);
      return;
    }
    const extra = event.egressId === undefined ? [] : await this.#webhooksOf(event.egressId);
    await publish(event.fields, event.orderKey, extra, head);
  }

  /** The webhooks the egress's request named. */
  async #webhooksOf(egressId: string): Promise<WebhookConfig[]> {
    const json = await this.#options.redis.hget(keys.egress(egressId), 'requestJson');
    if (json === null) return [];
    try {
      const { webhooks = [] } = requestSchema.parse(JSON.parse(json));
      return webhooks.map((webhook) => WebhookConfig.fromJson(webhook, { ignoreUnknownFields: true }));
    } catch {
      this.#options.logger.warn({ egressId }, 'the webhooks of a request cannot be read');
      return [];
    }
  }
}

interface OutboxEvent {
  fields: WebhookFields;
  orderKey: string;
  /** Whose request may name webhooks of its own; no request of an ingress does. */
  egressId: string | undefined;
}

/** @throws Error when it cannot be read */
function readEntry(json: string): OutboxEvent {
  const entry = entrySchema.parse(JSON.parse(json));
  if ('egressId' in entry) {
    const { event, egressId, info } = entry;
    return { fields: { event, egressInfo: decodeInfo(info) }, orderKey: egressId, egressId };
  }
  const { event, ingressId, info, state } = entry;
  const ingressInfo = joinIngressInfo(info, state);
  return { fields: { event, ingressInfo }, orderKey: ingressId, egressId: undefined };
}
