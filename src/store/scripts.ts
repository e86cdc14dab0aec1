/**
 * The atomic writes of egresses, in Lua. Every script that changes EgressInfo also puts the change into the outbox, in the same
 * step: there is no moment at which one is written and the other lost.
 */
import type { Redis } from 'ioredis';
import { ENDED_TTL_SECONDS, channels, keys } from './keys.ts';

/** Changes kept for webhooks when nobody turns them into any. */
const OUTBOX_LIMIT = 10_000;

/** Lua: `nowMs()`. Times of leases are Redis' own, so that the servers' clocks need not agree. */
export const CLOCK = `
local function nowMs()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end
`;

/** Lua: `fillOutbox(entry)`. An entry is what webhooks/outbox.ts reads. */
export const FILL_OUTBOX = `
local function fillOutbox(entry)
  redis.call('RPUSH', '${keys.outbox}', cjson.encode(entry))
  redis.call('LTRIM', '${keys.outbox}', -${OUTBOX_LIMIT}, -1)
  redis.call('PUBLISH', '${channels.outbox}', '')
end
`;

/** Lua shared by the scripts that write EgressInfo. `event` is a webhook's name. */
const PUBLISH_INFO = `${FILL_OUTBOX}
local function publishInfo(id, info, event)
  fillOutbox({ egressId = id, event = event, info = info })
  redis.call('PUBLISH', '${channels.info}', info)
end
local function finish(id, nowMs)
  local record = '${keys.egress('')}' .. id
  redis.call('HSET', record, 'ended', '1')
  redis.call('ZREM', '${keys.active}', id)
  -- Its settings are needed until everything is uploaded; the last upload starts its time.
  if redis.call('EXISTS', '${keys.uploads('')}' .. id) == 1 then return end
  redis.call('EXPIRE', record, ${ENDED_TTL_SECONDS})
  redis.call('ZADD', '${keys.ended}', nowMs, id .. ' ' .. redis.call('HGET', record, 'roomName'))
end
`;

/** ARGV: id, room name, when created (ms), info, then the hash's fields and values. 1, or 0 when the id is taken. */
export const CREATE = `${PUBLISH_INFO}
local id, room, createdMs, info = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local record = '${keys.egress('')}' .. id
if redis.call('EXISTS', record) == 1 then return 0 end
redis.call('HSET', record, unpack(ARGV, 5))
redis.call('ZADD', '${keys.all}', createdMs, id)
redis.call('ZADD', '${keys.active}', createdMs, id)
redis.call('ZADD', '${keys.roomPrefix}' .. room, createdMs, id)
publishInfo(id, info, 'egress_started')
return 1`;

/** ARGV: id, attempt. 1 when this attempt now holds the fence. */
export const BEGIN = `
local record = '${keys.egress('')}' .. ARGV[1]
local current = redis.call('HGET', record, 'attempt')
if not current or redis.call('HEXISTS', record, 'ended') == 1 then return 0 end
if tonumber(ARGV[2]) < tonumber(current) then return 0 end
redis.call('HSET', record, 'attempt', ARGV[2])
return 1`;

/**
 * ARGV: id, attempt, info, applied revision, ended (1 or 0), now. 1 when written; a write that changes nothing wakes
 * nobody.
 */
export const SAVE_INFO = `${PUBLISH_INFO}
local id, attempt, info, applied, ended, now = unpack(ARGV)
local record = '${keys.egress('')}' .. id
if redis.call('HGET', record, 'attempt') ~= attempt then return 0 end
if redis.call('HEXISTS', record, 'ended') == 1 then return 0 end
local changed = redis.call('HGET', record, 'info') ~= info
redis.call('HSET', record, 'info', info, 'appliedRevision', applied)
if ended == '1' then finish(id, now) end
if changed then publishInfo(id, info, ended == '1' and 'egress_ended' or 'egress_updated') end
return 1`;

/**
 * ARGV: id, info. 1 when written: nobody had taken it and it had not ended. Where it stands in the queue is no event
 * for webhooks: with every job that starts, all others would cause one.
 */
export const SAVE_UNTAKEN = `
local id, info = unpack(ARGV)
local record = '${keys.egress('')}' .. id
if redis.call('HGET', record, 'attempt') ~= '0' then return 0 end
if redis.call('HEXISTS', record, 'ended') == 1 then return 0 end
redis.call('HSET', record, 'info', info)
redis.call('PUBLISH', '${channels.info}', info)
return 1`;

/** ARGV: id, info, now. 1 when written: nobody had taken it and it had not ended. */
export const ABORT_UNTAKEN = `${PUBLISH_INFO}
local id, info, now = unpack(ARGV)
local record = '${keys.egress('')}' .. id
if redis.call('HGET', record, 'attempt') ~= '0' then return 0 end
if redis.call('HEXISTS', record, 'ended') == 1 then return 0 end
redis.call('HSET', record, 'info', info)
finish(id, now)
publishInfo(id, info, 'egress_ended')
return 1`;

/** ARGV: id, attempt, epoch. The epoch in force, or nil when fenced. */
export const SET_EPOCH = `
local record = '${keys.egress('')}' .. ARGV[1]
if redis.call('HGET', record, 'attempt') ~= ARGV[2] then return nil end
if redis.call('HEXISTS', record, 'ended') == 1 then return nil end
redis.call('HSETNX', record, 'epochMs', ARGV[3])
return redis.call('HGET', record, 'epochMs')`;

/**
 * ARGV: id, info as it was read, what it becomes. 1 when written, 0 when it had changed meanwhile. Only of an egress that
 * has ended: nobody else writes then, and no fence is needed.
 */
export const AMEND_ENDED = `${PUBLISH_INFO}
local id, before, info = unpack(ARGV)
local record = '${keys.egress('')}' .. id
if redis.call('HEXISTS', record, 'ended') == 0 or redis.call('HGET', record, 'info') ~= before then return 0 end
redis.call('HSET', record, 'info', info)
publishInfo(id, info, 'egress_updated')
return 1`;

/** ARGV: id, from. The new attempt, or nil. */
export const RAISE_ATTEMPT = `
local record = '${keys.egress('')}' .. ARGV[1]
if redis.call('HGET', record, 'attempt') ~= ARGV[2] then return nil end
if redis.call('HEXISTS', record, 'ended') == 1 then return nil end
return redis.call('HINCRBY', record, 'attempt', 1)`;

/** ARGV: id, what `desired` was read as, what it becomes. 1 when written, 0 when it had changed meanwhile. */
export const CHANGE_DESIRED = `
local record = '${keys.egress('')}' .. ARGV[1]
if redis.call('HGET', record, 'desired') ~= ARGV[2] then return 0 end
redis.call('HSET', record, 'desired', ARGV[3])
redis.call('PUBLISH', '${channels.desired('')}' .. ARGV[1], ARGV[3])
return 1`;

/** ARGV: when the newest to be forgotten ended, ms. Forgets up to 100; answers how many. */
export const FORGET_ENDED = `
local old = redis.call('ZRANGEBYSCORE', '${keys.ended}', '-inf', ARGV[1], 'LIMIT', 0, 100)
for _, entry in ipairs(old) do
  local id, room = string.match(entry, '^(%S+) (.*)$')
  redis.call('DEL', '${keys.egress('')}' .. id)
  redis.call('ZREM', '${keys.all}', id)
  redis.call('ZREM', '${keys.roomPrefix}' .. room, id)
  redis.call('ZREM', '${keys.ended}', entry)
end
return #old`;

/**
 * Runs a script. Its keys are made inside it, so this is for one Redis and not for Redis Cluster. EVAL and not
 * EVALSHA: commands of one connection must take effect in the order they were given, also when Redis has just been
 * restarted and knows no script.
 */
export async function run(redis: Redis, script: string, ...args: (string | number)[]): Promise<unknown> {
  return redis.eval(script, 0, ...args);
}
