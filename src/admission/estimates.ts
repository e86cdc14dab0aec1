/** What jobs of each kind have been seen to cost, kept in Redis for all workers: learnt slowly, and within bounds. */
import type { Redis } from 'ioredis';
import { z } from 'zod';
import { DEFAULT_CORES, MAX_FACTOR, MIN_FACTOR, clampFactor } from './cost.ts';
import type { CostKind, Factors } from './cost.ts';

const KEY = 'sluice:admission:factors';
/** What one sample counts for. */
const WEIGHT = 0.2;

/** ARGV: kind, sample. Two workers that learn at the same moment both count. */
const LEARN = `
local old = tonumber(redis.call('HGET', '${KEY}', ARGV[1]) or '1') or 1
local new = old + ${WEIGHT} * (tonumber(ARGV[2]) - old)
new = math.max(${MIN_FACTOR}, math.min(${MAX_FACTOR}, new))
redis.call('HSET', '${KEY}', ARGV[1], tostring(new))
return tostring(new)`;

const storedSchema = z.record(z.string(), z.coerce.number().positive());

const isKind = (name: string): name is CostKind => Object.hasOwn(DEFAULT_CORES, name);

export class Estimates {
  readonly #redis: Redis;
  #factors: Factors = {};

  /** @param redis the caller's */
  constructor(redis: Redis) {
    this.#redis = redis;
  }

  /** As last read. */
  get factors(): Factors {
    return this.#factors;
  }

  async refresh(): Promise<void> {
    const stored = storedSchema.safeParse(await this.#redis.hgetall(KEY));
    // Whatever somebody else has put there, the defaults are good enough.
    if (!stored.success) return;
    const known = Object.entries(stored.data).filter(([name]) => isKind(name));
    this.#factors = Object.fromEntries(known.map(([name, factor]) => [name, clampFactor(factor)]));
  }

  /** @param factor what was measured, divided by the default; what is far off counts as the bound it is beyond */
  async learn(kind: CostKind, factor: number): Promise<void> {
    const answer = await this.#redis.eval(LEARN, 0, kind, clampFactor(factor));
    this.#factors = { ...this.#factors, [kind]: clampFactor(z.coerce.number().parse(answer)) };
  }
}
