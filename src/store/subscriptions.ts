/** Redis pub/sub over one connection of its own, with listeners that come and go. */
import type { Redis } from 'ioredis';
import type { Logger } from 'pino';
import { closeRedis } from './redis.ts';

export interface Subscriber {
  onMessage(message: string): void;
  /**
   * The subscription is in force: at first, and again after every reconnect. What was published before is not coming,
   * so this is the moment to read the present state.
   */
  onSubscribed?(): void;
}

export class Subscriptions {
  readonly #connection: Redis;
  readonly #logger: Logger;
  readonly #channels = new Map<string, Set<Subscriber>>();
  #closed = false;

  /** @param connection is closed with this. */
  constructor(connection: Redis, logger: Logger) {
    this.#connection = connection;
    this.#logger = logger;
    connection.on('message', (channel: string, message: string) => {
      this.#each(channel, (subscriber) => subscriber.onMessage(message));
    });
    let known = false;
    connection.on('ready', () => {
      // The first time, what was subscribed to before is still in ioredis' queue.
      if (!known) return void (known = true);
      for (const channel of this.#channels.keys()) this.#subscribe(channel);
    });
  }

  /** @returns a function that ends it. */
  add(channel: string, subscriber: Subscriber): () => void {
    const there = this.#channels.get(channel);
    if (there) there.add(subscriber);
    else this.#channels.set(channel, new Set([subscriber]));
    this.#subscribe(channel, subscriber);
    return () => {
      const subscribers = this.#channels.get(channel);
      if (!subscribers?.delete(subscriber) || subscribers.size > 0) return;
      this.#channels.delete(channel);
      if (!this.#closed) this.#connection.unsubscribe(channel).catch(this.#ignore);
    };
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#channels.clear();
    await closeRedis(this.#connection);
  }

  /** Subscribing twice does no harm; tells `only`, or everybody on the channel, when it is in force. */
  #subscribe(channel: string, only?: Subscriber): void {
    this.#connection.subscribe(channel).then(
      () =>
        this.#each(channel, (subscriber) => {
          if (only === undefined || only === subscriber) subscriber.onSubscribed?.();
        }),
      this.#ignore,
    );
  }

  /** A listener that throws harms neither the others nor the connection. */
  #each(channel: string, call: (subscriber: Subscriber) => void): void {
    for (const subscriber of [...(this.#channels.get(channel) ?? [])]) {
      try {
        call(subscriber);
      } catch (error) {
        this.#logger.error({ err: error, channel }, 'a listener failed');
      }
    }
  }

  /** The connection was lost or closed meanwhile; after a reconnect `ready` does it again. */
  readonly #ignore = (error: unknown): void => {
    if (!this.#closed) this.#logger.debug({ err: error }, 'redis subscription');
  };
}
