/**
 * What waits for delivery, in Redis: one list a destination and order key, oldest first. An event leaves its list only
 * when it has been delivered, or given up. A lease says which process may deliver from a list, so that no two do.
 */
import { createHash } from 'node:crypto';
import type { Redis } from 'ioredis';
import { z } from 'zod';
import { keys as storeKeys } from '../store/keys.ts';
import type { Destination } from './destinations.ts';

const keys = {
  list: (id: string) => `sluice:webhook-list:${id}`,
  lease: (id: string) => `sluice:webhook-lease:${id}`,
  failures: (id: string) => `sluice:webhook-failures:${id}`,
  /** Set of the ids of lists that are not empty. */
  pending: 'sluice:webhook-pending',
} as const;

const entrySchema = z.object({
  /** The event's id. */
  id: z.string(),
  event: z.string(),
  url: z.string(),
  apiKey: z.string(),
  /** Held to the outbound policy; entries of before there was any are of the configuration's URLs. */
  checked: z.boolean().default(false),
  body: z.string(),
  /** Wall clock, ms. */
  queuedAt: z.number(),
});
/** An event on its way to one destination. */
export type Entry = z.infer<typeof entrySchema>;

/** An event for a list. */
export interface Addition {
  listId: string;
  entry: Entry;
}

/** Which list an event for this destination waits in: same destination, same order key, same list. */
export function listId(destination: Pick<Destination, 'url' | 'apiKey'>, orderKey: string): string {
  const { url, apiKey } = destination;
  return createHash('sha256')
    .update(JSON.stringify([url, apiKey, orderKey]))
    .digest('hex')
    .slice(0, 32);
}

const ADD = `
if ARGV[1] ~= '' then
  if redis.call('LINDEX', '${storeKeys.outbox}', 0) ~= ARGV[1] then return 0 end
  redis.call('LPOP', '${storeKeys.outbox}')
end
for i = 2, #ARGV, 2 do
  redis.call('RPUSH', '${keys.list('')}' .. ARGV[i], ARGV[i + 1])
  redis.call('SADD', '${keys.pending}', ARGV[i])
end
return 1`;

/** Emptiness is found and told in one step with giving the lease back, so that nothing added meanwhile is overlooked. */
const CLAIM = `
local id, token, ttl = unpack(ARGV)
local list, lease = '${keys.list('')}' .. id, '${keys.lease('')}' .. id
local holder = redis.call('GET', lease)
if holder and holder ~= token then return { 'held', redis.call('PTTL', lease) } end
local head = redis.call('LINDEX', list, 0)
if not head then
  redis.call('DEL', lease)
  redis.call('SREM', '${keys.pending}', id)
  return { 'empty' }
end
redis.call('SET', lease, token, 'PX', ttl)
return { 'head', head }`;

const REMOVE = `
local id, token, head = unpack(ARGV)
local list = '${keys.list('')}' .. id
if redis.call('GET', '${keys.lease('')}' .. id) ~= token then return 0 end
if redis.call('LINDEX', list, 0) ~= head then return 0 end
redis.call('LPOP', list)
redis.call('DEL', '${keys.failures('')}' .. id)
return 1`;

const FAILED = `
local id, token, ttl = unpack(ARGV)
if redis.call('GET', '${keys.lease('')}' .. id) ~= token then return 0 end
redis.call('DEL', '${keys.lease('')}' .. id)
local failures = redis.call('INCR', '${keys.failures('')}' .. id)
redis.call('PEXPIRE', '${keys.failures('')}' .. id, ttl)
return failures`;

const RELEASE = `
if redis.call('GET', '${keys.lease('')}' .. ARGV[1]) == ARGV[2] then redis.call('DEL', '${keys.lease('')}' .. ARGV[1]) end
return 1`;

export type Claim =
  | { state: 'empty' }
  /** Somebody else delivers; the lease ends in `ms` unless renewed. */
  | { state: 'held'; ms: number }
  /** `raw` names the entry in {@link WebhookLists.remove}. `entry` is undefined when it cannot be read. */
  | { state: 'head'; raw: string; entry: Entry | undefined };

export class WebhookLists {
  readonly #redis: Redis;

  constructor(redis: Redis) {
    this.#redis = redis;
  }

  /**
   * Adds events to their lists, all or none.
   *
   * @param outboxHead when given, they are what became of this entry of the outbox, which is taken out in the
   * same step; false, and nothing added, when another process has done that.
   */
  async add(additions: readonly Addition[], outboxHead = ''): Promise<boolean> {
    const args = additions.flatMap(({ listId, entry }) => [listId, JSON.stringify(entry)]);
    return (await this.#redis.eval(ADD, 0, outboxHead, ...args)) === 1;
  }

  /** Oldest entry of the outbox. */
  async outboxHead(): Promise<string | undefined> {
    return (await this.#redis.lindex(storeKeys.outbox, 0)) ?? undefined;
  }

  /** Takes or renews the lease for `ttlMs`, and reads the oldest event. */
  async claim(id: string, token: string, ttlMs: number): Promise<Claim> {
    const [state, value] = z
      .tuple([z.enum(['empty', 'held', 'head']), z.union([z.string(), z.number()]).optional()])
      .parse(await this.#redis.eval(CLAIM, 0, id, token, ttlMs));
    if (state === 'empty') return { state };
    if (state === 'held') return { state, ms: Math.max(0, Number(value)) };
    const raw = String(value);
    return { state, raw, entry: parseEntry(raw) };
  }

  /** Takes the delivered event out; false when the lease has been lost meanwhile. */
  async remove(id: string, token: string, raw: string): Promise<boolean> {
    return (await this.#redis.eval(REMOVE, 0, id, token, raw)) === 1;
  }

  /** Gives the lease back and counts; answers failures in a row, 0 when the lease has been lost meanwhile. */
  async failed(id: string, token: string, forgetAfterMs: number): Promise<number> {
    return Number(await this.#redis.eval(FAILED, 0, id, token, forgetAfterMs));
  }

  async release(id: string, token: string): Promise<void> {
    await this.#redis.eval(RELEASE, 0, id, token);
  }

  /** Ids of the lists that are not empty. */
  async pending(): Promise<string[]> {
    return this.#redis.smembers(keys.pending);
  }
}

function parseEntry(raw: string): Entry | undefined {
  try {
    return entrySchema.parse(JSON.parse(raw));
  } catch {
    return undefined;
  }
}
