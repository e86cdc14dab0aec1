/** Names that count as alive for as long as somebody vouches for them, in Redis and by its clock. */
import type { Redis } from 'ioredis';
import { z } from 'zod';
import { keys } from './keys.ts';
import { CLOCK, run } from './scripts.ts';

/** ARGV: key, how long (ms), names. */
const RENEW = `${CLOCK}
for i = 3, #ARGV do redis.call('ZADD', ARGV[1], nowMs() + tonumber(ARGV[2]), ARGV[i]) end`;

/** ARGV: key. Names that are vouched for; the others are forgotten. */
const LIVE = `${CLOCK}
redis.call('ZREMRANGEBYSCORE', ARGV[1], '-inf', nowMs())
return redis.call('ZRANGE', ARGV[1], 0, -1)`;

/** ARGV: key, who asks, how long (ms). 1 when it is the asker's. */
const HOLD = `
local holder = redis.call('GET', ARGV[1])
if holder and holder ~= ARGV[2] then return 0 end
redis.call('SET', ARGV[1], ARGV[2], 'PX', ARGV[3])
return 1`;

export class Leases {
  readonly #redis: Redis;
  readonly #key: string;

  /** @param set which names these are, e.g. `attempts` */
  constructor(redis: Redis, set: string) {
    this.#redis = redis;
    this.#key = keys.leases(set);
  }

  /** Vouches for names for `forMs` from now. */
  async renew(names: readonly string[], forMs: number): Promise<void> {
    if (names.length > 0) await run(this.#redis, RENEW, this.#key, forMs, ...names);
  }

  /** Every name somebody vouches for now. */
  async live(): Promise<Set<string>> {
    return new Set(z.array(z.string()).parse(await run(this.#redis, LIVE, this.#key)));
  }

  /** Nobody vouches for these any more. */
  async drop(names: readonly string[]): Promise<void> {
    if (names.length > 0) await this.#redis.zrem(this.#key, ...names);
  }
}

/**
 * Takes or keeps what one of several does.
 * @param holder who asks; the same for as long as it asks
 * @param forMs after this without asking again it is anybody's
 * @returns whether it is the asker's now
 */
export async function holdLease(redis: Redis, what: string, holder: string, forMs: number): Promise<boolean> {
  return (await run(redis, HOLD, keys.holder(what), holder, forMs)) === 1;
}
