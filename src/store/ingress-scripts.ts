/**
 * The atomic writes of ingresses, in Lua, run as those in scripts.ts. Where a script needs an IngressInfo or IngressState
 * that follows from what is stored, the caller makes it of what it has read, and says what it has read: the script
 * writes only while that still holds.
 */
import { channels, ingressKeys as keys } from './keys.ts';
import { CLOCK, FILL_OUTBOX } from './scripts.ts';

/** How long it is known whose attempt a past one was. */
const PAST_ATTEMPT_SECONDS = 24 * 60 * 60;

/** Lua shared by the scripts that begin and end sessions. */
const SESSIONS = `${FILL_OUTBOX}${CLOCK}
local function recordOf(id) return '${keys.ingress('')}' .. id end
local function forgetAttempt(record)
  local attempt = redis.call('HGET', record, 'attempt')
  if attempt then redis.call('EXPIRE', '${keys.attempt('')}' .. attempt, ${PAST_ATTEMPT_SECONDS}) end
end
local function nextAttempt(id, record)
  forgetAttempt(record)
  local attempt = redis.call('INCR', '${keys.counter}')
  redis.call('HSET', record, 'attempt', attempt)
  redis.call('SET', '${keys.attempt('')}' .. attempt, id)
  return attempt
end
local function tell(id, event, state)
  fillOutbox({ ingressId = id, event = event, info = redis.call('HGET', recordOf(id), 'info'), state = state })
end
local function finish(id, state)
  local record = recordOf(id)
  forgetAttempt(record)
  redis.call('HSET', record, 'state', state)
  redis.call('HDEL', record, 'session', 'resourceId', 'attempt', 'published', 'lapsedAt')
  redis.call('ZREM', '${keys.leases}', id)
  redis.call('SREM', '${keys.live}', id)
  tell(id, 'ingress_ended', state)
end
local function lease(id, ms)
  redis.call('HDEL', recordOf(id), 'lapsedAt')
  if tonumber(ms) > 0 then redis.call('ZADD', '${keys.leases}', nowMs() + tonumber(ms), id)
  else redis.call('ZREM', '${keys.leases}', id) end
end
local function lapsed(id)
  local untilMs = redis.call('ZSCORE', '${keys.leases}', id)
  return untilMs and tonumber(untilMs) <= nowMs()
end
local function attemptOf(id) return redis.call('HGET', recordOf(id), 'attempt') or '' end
`;

/** ARGV: id, created (ms), stream key or '', then the hash's fields and values. 1, or 0 when id or key is taken. */
export const CREATE = `
local id, createdMs, streamKey = ARGV[1], ARGV[2], ARGV[3]
local record = '${keys.ingress('')}' .. id
if redis.call('EXISTS', record) == 1 then return 0 end
if streamKey ~= '' and redis.call('HSETNX', '${keys.streamKeys}', streamKey, id) == 0 then return 0 end
redis.call('HSET', record, unpack(ARGV, 4))
redis.call('ZADD', '${keys.all}', createdMs, id)
return 1`;

/**
 * ARGV: id, the info and state as they were read, what they become. The new revision, 0 when they had changed
 * meanwhile. A state that stays as it is may have changed.
 */
export const UPDATE = `
local id, info, state, newInfo, newState = unpack(ARGV)
local record = '${keys.ingress('')}' .. id
if redis.call('HGET', record, 'info') ~= info then return 0 end
if state ~= newState then
  if redis.call('HGET', record, 'state') ~= state then return 0 end
  redis.call('HSET', record, 'state', newState)
end
redis.call('HSET', record, 'info', newInfo)
local revision = redis.call('HINCRBY', record, 'revision', 1)
redis.call('PUBLISH', '${channels.ingress('')}' .. id, '')
return revision`;

/** ARGV: id, attempt as it was read ('' without a session), the last state. 1, or 0 when the session is another. */
export const DELETE = `${SESSIONS}
local id, attempt, state = unpack(ARGV)
local record = recordOf(id)
if attemptOf(id) ~= attempt then return 0 end
if attempt ~= '' then finish(id, state) end
local streamKey = redis.call('HGET', record, 'streamKey')
if streamKey and streamKey ~= '' then redis.call('HDEL', '${keys.streamKeys}', streamKey) end
redis.call('DEL', record)
redis.call('ZREM', '${keys.all}', id)
redis.call('PUBLISH', '${channels.ingress('')}' .. id, '')
return 1`;

/**
 * ARGV: id, info as it was read (it says whether the ingress is enabled), attempt as it was read, last state of that
 * session, resource id, session, its first state, lease (ms). The new attempt, `busy`, or `changed`.
 */
export const BEGIN_SESSION = `${SESSIONS}
local id, info, attempt, lastState, resourceId, session, state, leaseMs = unpack(ARGV)
local record = recordOf(id)
if redis.call('HGET', record, 'info') ~= info or attemptOf(id) ~= attempt then return 'changed' end
if attempt ~= '' then
  if not lapsed(id) then return 'busy' end
  finish(id, lastState)
end
redis.call('HSET', record, 'resourceId', resourceId, 'session', session, 'state', state)
redis.call('SADD', '${keys.live}', id)
lease(id, leaseMs)
return nextAttempt(id, record)`;

/** ARGV: id, resource id, lease (ms). 1, or 0 when the session is over. */
export const RENEW_LEASE = `${SESSIONS}
local id, resourceId, leaseMs = unpack(ARGV)
if redis.call('HGET', recordOf(id), 'resourceId') ~= resourceId then return 0 end
lease(id, leaseMs)
return 1`;

/**
 * ARGV: id, attempt as it was read, the last state, how long it must have been seen without a lease (ms). 1 when ended.
 * Seen, not been: while Redis is away nobody can renew a lease, and after that whoever holds a source comes first.
 */
export const END_LAPSED = `${SESSIONS}
local id, attempt, state, seenMs = unpack(ARGV)
if attempt == '' or attemptOf(id) ~= attempt or not lapsed(id) then return 0 end
redis.call('HSETNX', recordOf(id), 'lapsedAt', nowMs())
if nowMs() - tonumber(redis.call('HGET', recordOf(id), 'lapsedAt')) < tonumber(seenMs) then return 0 end
finish(id, state)
return 1`;

/** ARGV: how many at most. Ids whose lease has run out, longest ago first. */
export const FIND_LAPSED = `${CLOCK}
return redis.call('ZRANGEBYSCORE', '${keys.leases}', '-inf', nowMs(), 'LIMIT', 0, ARGV[1])`;

/** ARGV: id, attempt, state, publishing (1 or 0). 1 when written. */
export const SAVE_STATE = `${SESSIONS}
local id, attempt, state, publishing = unpack(ARGV)
local record = recordOf(id)
if attemptOf(id) ~= attempt then return 0 end
redis.call('HSET', record, 'state', state)
if publishing == '1' and redis.call('HSETNX', record, 'published', '1') == 1 then
  tell(id, 'ingress_started', state)
end
return 1`;

/** ARGV: id, attempt, the state as it was read, what it becomes. 1 when written. */
export const REPLACE_STATE = `
local id, attempt, from, state = unpack(ARGV)
local record = '${keys.ingress('')}' .. id
if redis.call('HGET', record, 'attempt') ~= attempt then return 0 end
if redis.call('HGET', record, 'state') ~= from then return 0 end
redis.call('HSET', record, 'state', state)
return 1`;

/** ARGV: id, attempt, the last state. 1 when the session is over now, 0 when it was another. */
export const END_SESSION = `${SESSIONS}
local id, attempt, state = unpack(ARGV)
if attemptOf(id) ~= attempt then return 0 end
finish(id, state)
return 1`;

/** ARGV: id, from. The new attempt, or nil. */
export const RAISE_ATTEMPT = `${SESSIONS}
local id, from = unpack(ARGV)
if attemptOf(id) ~= from then return nil end
return nextAttempt(id, recordOf(id))`;
