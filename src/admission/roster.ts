/** Which workers are alive and what they have room for: each says so every second, and what is silent is forgotten. */
import type { Redis } from 'ioredis';
import { z } from 'zod';
import { shownBytes } from './disk.ts';

const INDEX = 'sluice:workers';
const keyOf = (id: string) => `sluice:worker:${id}`;
/** A worker that has not been heard of for this long is gone, ms. */
const ALIVE_MS = 5_000;

const announcementSchema = z.object({
  id: z.string(),
  /** Cores there are for jobs, and how many of them are taken. */
  capacity: z.number(),
  committed: z.number(),
  jobs: z.number(),
  /** Bytes: free as a whole, and what new recordings may have of it (below 0: none may start). */
  freeDisk: z.number(),
  roomForNew: z.number(),
});

export type Announcement = z.infer<typeof announcementSchema>;

export class Roster {
  readonly #redis: Redis;

  /** @param redis the caller's */
  constructor(redis: Redis) {
    this.#redis = redis;
  }

  async announce(announcement: Announcement): Promise<void> {
    const { id } = announcement;
    await this.#redis
      .multi()
      .set(keyOf(id), JSON.stringify(announcement), 'PX', ALIVE_MS)
      .sadd(INDEX, id)
      .exec();
  }

  async leave(id: string): Promise<void> {
    await this.#redis.multi().del(keyOf(id)).srem(INDEX, id).exec();
  }

  /** Those that are alive. */
  async workers(): Promise<Announcement[]> {
    const ids = await this.#redis.smembers(INDEX);
    if (ids.length === 0) return [];
    const texts = await this.#redis.mget(ids.map(keyOf));
    const gone = ids.filter((_, each) => texts[each] === null);
    if (gone.length > 0) await this.#redis.srem(INDEX, ...gone);
    return texts.flatMap((text) => {
      const parsed = text === null ? undefined : announcementSchema.safeParse(JSON.parse(text));
      return parsed?.success ? [parsed.data] : [];
    });
  }
}

/**
 * Why no worker that is alive could take such a recording for want of disk; undefined when one could, or when nobody
 * knows: then it waits. Pure.
 * @param bytes what it is to have room for
 */
export function diskRefusal(workers: readonly Announcement[], bytes: number): string | undefined {
  if (workers.length === 0 || workers.some(({ roomForNew }) => roomForNew >= bytes)) return undefined;
  const most = Math.max(...workers.map(({ freeDisk }) => freeDisk));
  const missing = bytes - Math.max(...workers.map(({ roomForNew }) => roomForNew));
  return (
    `no worker has the disk for a new recording: ${shownBytes(most)} are free` +
    `${workers.length > 1 ? ` on the emptiest of ${workers.length} workers` : ''}, ` +
    `${shownBytes(missing)} more are needed (worker.min_free_disk); free some space or end recordings`
  );
}
