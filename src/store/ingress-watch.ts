/** Tells one listener how an ingress is now, and of each change the API makes. */
import type { Logger } from 'pino';
import type { IngressRecord } from './ingress-types.ts';
import { channels } from './keys.ts';
import type { Subscriptions } from './subscriptions.ts';

export interface IngressWatchOptions {
  subscriptions: Subscriptions;
  read: () => Promise<IngressRecord | undefined>;
  logger: Logger;
}

/**
 * What is published says only that there is something new: it is read then, one reading at a time, so that an old
 * answer never comes after a new one. After undefined (there is no such ingress) nothing more is told.
 *
 * @returns a function that ends it.
 */
export function watchIngress(
  ingressId: string,
  listener: (record: IngressRecord | undefined) => void,
  { subscriptions, read, logger }: IngressWatchOptions,
): () => void {
  let told = -1;
  let ended = false;
  let reading = false;
  let again = false;

  async function tell(): Promise<void> {
    again = true;
    if (reading) return;
    reading = true;
    try {
      while (again && !isEnded()) {
        again = false;
        const record = await read();
        if (isEnded() || record?.revision === told) continue;
        told = record?.revision ?? told;
        if (record === undefined) end();
        listener(record);
      }
    } catch (error) {
      logger.warn({ err: error, ingressId }, 'ingress not read, or its listener failed');
    } finally {
      reading = false;
    }
  }

  /** May have changed while something was waited for. */
  const isEnded = (): boolean => ended;
  const remove = subscriptions.add(channels.ingress(ingressId), {
    onMessage: () => void tell(),
    onSubscribed: () => void tell(),
  });
  function end(): void {
    ended = true;
    remove();
  }
  return end;
}
