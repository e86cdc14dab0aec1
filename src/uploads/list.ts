/**
 * What waits to be uploaded, in Redis. An entry belongs to a spool, the folder its media is in: whoever has that
 * folder may take it, one at a time, for as long as a lease holds. Times are those of Redis' clock.
 */
import type { Redis } from 'ioredis';
import { z } from 'zod';
import { ENDED_TTL_SECONDS, keys as storeKeys } from '../store/keys.ts';
import { uploadId, uploadSchema } from './types.ts';
import type { Upload } from './types.ts';

const keys = {
  /** Sorted set of upload ids, scored by when they are due, ms. A taken one is due when its lease ends. */
  spool: 'sluice:upload-spool:',
  /** Hash: entry, tries, since, spool, and token while somebody has it. */
  upload: 'sluice:upload:',
} as const;

const NOW = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
`;

const ADD = `${NOW}
local spool, id, egressId, entry, token, lease = unpack(ARGV)
local upload, record = '${keys.upload}' .. id, '${storeKeys.egress('')}' .. egressId
local before = redis.call('HGET', upload, 'spool')
if before then redis.call('ZREM', '${keys.spool}' .. before, id) end
redis.call('DEL', upload)
redis.call('HSET', upload, 'entry', entry, 'spool', spool, 'tries', 0, 'since', now, 'token', token)
redis.call('ZADD', '${keys.spool}' .. spool, now + lease, id)
redis.call('SADD', '${storeKeys.uploads('')}' .. egressId, id)
local room = redis.call('HGET', record, 'roomName')
if room then
  redis.call('PERSIST', record)
  redis.call('ZREM', '${storeKeys.ended}', egressId .. ' ' .. room)
end
return 1`;

const CLAIM = `${NOW}
local spool, token, lease = unpack(ARGV)
local list = '${keys.spool}' .. spool
while true do
  local id = redis.call('ZRANGEBYSCORE', list, '-inf', now, 'LIMIT', 0, 1)[1]
  if not id then return {} end
  local upload = '${keys.upload}' .. id
  local entry = redis.call('HGET', upload, 'entry')
  if entry and redis.call('HGET', upload, 'spool') == spool then
    redis.call('HSET', upload, 'token', token)
    redis.call('ZADD', list, now + lease, id)
    return { id, entry, redis.call('HGET', upload, 'tries'), tostring(now - redis.call('HGET', upload, 'since')) }
  end
  redis.call('ZREM', list, id)
end`;

const RENEW = `${NOW}
local spool, id, token, lease = unpack(ARGV)
if redis.call('HGET', '${keys.upload}' .. id, 'token') ~= token then return 0 end
redis.call('ZADD', '${keys.spool}' .. spool, now + lease, id)
return 1`;

const RELEASE = `${NOW}
local spool, id, token, delay, failed = unpack(ARGV)
local upload = '${keys.upload}' .. id
if redis.call('HGET', upload, 'token') ~= token then return 0 end
redis.call('HDEL', upload, 'token')
redis.call('HINCRBY', upload, 'tries', failed)
redis.call('ZADD', '${keys.spool}' .. spool, now + delay, id)
return 1`;

/** The record of the egress may be forgotten from now on, as that of any egress that has ended. */
const REMOVE = `${NOW}
local spool, id, token, egressId = unpack(ARGV)
local upload, record = '${keys.upload}' .. id, '${storeKeys.egress('')}' .. egressId
local set = '${storeKeys.uploads('')}' .. egressId
if redis.call('HGET', upload, 'token') ~= token then return -1 end
redis.call('DEL', upload)
redis.call('ZREM', '${keys.spool}' .. spool, id)
redis.call('SREM', set, id)
local left = redis.call('SCARD', set)
if left == 0 and redis.call('HEXISTS', record, 'ended') == 1 then
  redis.call('EXPIRE', record, ${ENDED_TTL_SECONDS})
  redis.call('ZADD', '${storeKeys.ended}', now, egressId .. ' ' .. redis.call('HGET', record, 'roomName'))
end
return left`;

/** Redis may have lost a part of what it had. */
const OF = `
local set = '${storeKeys.uploads('')}' .. ARGV[1]
local found = {}
for _, id in ipairs(redis.call('SMEMBERS', set)) do
  local spool = redis.call('HGET', '${keys.upload}' .. id, 'spool')
  if spool and redis.call('ZSCORE', '${keys.spool}' .. spool, id) then table.insert(found, id)
  else redis.call('SREM', set, id) end
end
return found`;

const WAKE = `${NOW}
local list = '${keys.spool}' .. ARGV[1]
for _, id in ipairs(redis.call('ZRANGE', list, 0, -1)) do
  if redis.call('HEXISTS', '${keys.upload}' .. id, 'token') == 0 then redis.call('ZADD', list, now, id) end
end
return 1`;

/** An entry somebody has taken; `token` proves it. */
export interface Claim {
  id: string;
  token: string;
  upload: Upload;
  /** Failures so far. */
  tries: number;
  /** Since it was queued, ms. */
  ageMs: number;
}

const claimSchema = z.tuple([z.string(), z.string(), z.coerce.number(), z.coerce.number()]);

export class UploadList {
  readonly #redis: Redis;
  readonly #spool: string;
  readonly #leaseMs: number;

  /** @param spool names the folder the media is in. */
  constructor(redis: Redis, spool: string, leaseMs: number) {
    this.#redis = redis;
    this.#spool = spool;
    this.#leaseMs = leaseMs;
  }

  /** Queues it, taken by `token` already; it takes the place of an earlier one of the same output. */
  async add(upload: Upload, token: string): Promise<void> {
    const entry = JSON.stringify(upload);
    const id = uploadId(upload);
    await this.#redis.eval(ADD, 0, this.#spool, id, upload.egressId, entry, token, this.#leaseMs);
  }

  /** Takes the one that has been due for longest; undefined when none is. @throws Error when it cannot be read */
  async claim(token: string): Promise<Claim | undefined> {
    const answer = await this.#redis.eval(CLAIM, 0, this.#spool, token, this.#leaseMs);
    if (Array.isArray(answer) && answer.length === 0) return undefined;
    const [id, entry, tries, ageMs] = claimSchema.parse(answer);
    return { id, token, tries, ageMs, upload: uploadSchema.parse(JSON.parse(entry)) };
  }

  /** False when somebody else has it now. */
  async renew({ id, token }: Pick<Claim, 'id' | 'token'>): Promise<boolean> {
    return (await this.#redis.eval(RENEW, 0, this.#spool, id, token, this.#leaseMs)) === 1;
  }

  /** Gives it back, due after `delayMs`. */
  async release({ id, token }: Pick<Claim, 'id' | 'token'>, delayMs: number, failed: boolean): Promise<void> {
    await this.#redis.eval(RELEASE, 0, this.#spool, id, token, Math.round(delayMs), failed ? 1 : 0);
  }

  /** Takes it out; answers how many uploads the egress still has, or undefined when somebody else has this one. */
  async remove(claim: Pick<Claim, 'id' | 'token' | 'upload'>): Promise<number | undefined> {
    const { id, token, upload } = claim;
    const left = Number(await this.#redis.eval(REMOVE, 0, this.#spool, id, token, upload.egressId));
    return left < 0 ? undefined : left;
  }

  /** Makes everything due that nobody has. */
  async wake(): Promise<void> {
    await this.#redis.eval(WAKE, 0, this.#spool);
  }

  /** Ids of an egress's uploads, in whatever spool: of those that somebody will take. */
  async of(egressId: string): Promise<string[]> {
    return z.array(z.string()).parse(await this.#redis.eval(OF, 0, egressId));
  }
}
