/** The IngressStore on Redis. */
import { IngressState_Status } from '@livekit/protocol';
import type { IngressInfo, IngressState } from '@livekit/protocol';
import type { Redis } from 'ioredis';
import type { Logger } from 'pino';
import { z } from 'zod';
import { StoreError } from './errors.ts';
import {
  decodeIngress,
  encodeSession,
  firstState,
  joinIngressInfo,
  lastState,
  mendedState,
  splitIngressInfo,
} from './ingress-record.ts';
import type { StoredIngress } from './ingress-record.ts';
import {
  BEGIN_SESSION,
  CREATE,
  DELETE,
  END_LAPSED,
  END_SESSION,
  FIND_LAPSED,
  RAISE_ATTEMPT,
  RENEW_LEASE,
  REPLACE_STATE,
  SAVE_STATE,
  UPDATE,
} from './ingress-scripts.ts';
import type { BeginRefusal, IngressRecord, IngressSession, IngressStore } from './ingress-types.ts';
import { watchIngress } from './ingress-watch.ts';
import { ingressKeys as keys } from './keys.ts';
import type { RedisConnections } from './redis.ts';
import { run } from './scripts.ts';
import { Subscriptions } from './subscriptions.ts';

/** Others change an ingress at the same moment at most this often before we give up. */
const CHANGE_ATTEMPTS = 100;

/** Sessions without their source's holder ended at once. */
const LAPSED_LIMIT = 100;

/** Longer than it takes the holder of a source to renew its lease when Redis is back. */
const LAPSED_MS = 5_000;

const HOLDER_LOST = 'the server that held the source was lost';

export interface IngressStoreOptions {
  /** Wall clock, ms, of the times that are shown; tests set it. Leases go by Redis' clock. */
  now?: () => number;
  /** How long a session must have been seen without its lease before {@link IngressStore.endLapsed} ends it, ms. */
  lapsedMs?: number;
}

/** @param redis stays the caller's; the store closes only the connection it subscribes with. */
export function createIngressStore(
  redis: Pick<RedisConnections, 'shared' | 'duplicate'>,
  logger: Logger,
  options: IngressStoreOptions = {},
): IngressStore {
  return new RedisIngressStore(redis, logger, { now: Date.now, lapsedMs: LAPSED_MS, ...options });
}

class RedisIngressStore implements IngressStore {
  readonly #redis: Redis;
  readonly #subscriptions: Subscriptions;
  readonly #logger: Logger;
  readonly #now: () => number;
  readonly #lapsedMs: number;

  constructor(
    redis: Pick<RedisConnections, 'shared' | 'duplicate'>,
    logger: Logger,
    { now, lapsedMs }: Required<IngressStoreOptions>,
  ) {
    this.#redis = redis.shared;
    this.#subscriptions = new Subscriptions(redis.duplicate('ingress-store'), logger);
    this.#logger = logger;
    this.#now = now;
    this.#lapsedMs = lapsedMs;
  }

  async create(record: Omit<IngressRecord, 'revision' | 'session'>): Promise<void> {
    const { ingressId, streamKey, sourceUrl, createdAtMs } = record;
    const { infoJson, stateJson } = splitIngressInfo(record.info);
    const fields = { info: infoJson, state: stateJson, streamKey, sourceUrl, createdAtMs, revision: 0 };
    const created = await run(
      this.#redis,
      CREATE,
      ...[ingressId, createdAtMs, streamKey],
      ...Object.entries(fields).flat(),
    );
    if (created !== 1) throw new StoreError('already_exists', `ingress ${ingressId} already exists`);
  }

  async get(ingressId: string): Promise<IngressRecord | undefined> {
    return (await this.#read(ingressId))?.record;
  }

  async byStreamKey(streamKey: string): Promise<IngressRecord | undefined> {
    if (streamKey === '') return undefined;
    const ingressId = await this.#redis.hget(keys.streamKeys, streamKey);
    return ingressId === null ? undefined : this.get(ingressId);
  }

  async byAttempt(attempt: number): Promise<IngressRecord | undefined> {
    const ingressId = await this.#redis.get(keys.attempt(attempt));
    return ingressId === null ? undefined : this.get(ingressId);
  }

  async list(filter: { roomName?: string; ingressId?: string } = {}): Promise<IngressInfo[]> {
    const { roomName, ingressId } = filter;
    const ids = ingressId === undefined ? await this.#redis.zrevrange(keys.all, 0, -1) : [ingressId];
    if (ids.length === 0) return [];
    const pipeline = this.#redis.pipeline();
    for (const id of ids) pipeline.hmget(keys.ingress(id), 'info', 'state');
    const infos = ((await pipeline.exec()) ?? []).flatMap(([error, values]) => {
      if (error) throw error;
      const [info, state] = z.array(z.string().nullable()).parse(values);
      return info && state ? [joinIngressInfo(info, state)] : [];
    });
    return roomName === undefined ? infos : infos.filter((info) => info.roomName === roomName);
  }

  async update(
    ingressId: string,
    change: (info: IngressInfo) => IngressInfo,
  ): Promise<IngressRecord | undefined> {
    return this.#retry(ingressId, async ({ record, infoJson, stateJson }) => {
      const info = change(record.info.clone());
      info.state = mendedState(record);
      const next = splitIngressInfo(info);
      const newState = info.state === record.info.state ? stateJson : next.stateJson;
      const args = [ingressId, infoJson, stateJson, next.infoJson, newState];
      const revision = Number(await run(this.#redis, UPDATE, ...args));
      return revision === 0 ? undefined : { ...record, info, revision };
    });
  }

  async delete(ingressId: string): Promise<IngressRecord | undefined> {
    return this.#retry(ingressId, async ({ record }) => {
      const state = lastState(record.info.state, this.#now()).toJsonString();
      const done = await run(this.#redis, DELETE, ingressId, attemptText(record), state);
      return done === 1 ? record : undefined;
    });
  }

  async beginSession(
    ingressId: string,
    session: Omit<IngressSession, 'attempt'>,
    leaseMs: number,
  ): Promise<IngressSession | BeginRefusal> {
    const begun = await this.#retry(ingressId, async ({ record, infoJson }) => {
      if (record.info.enabled === false || record.info.roomName === '') return 'disabled';
      const answer = await run(
        this.#redis,
        BEGIN_SESSION,
        ...[ingressId, infoJson, attemptText(record)],
        lastState(record.info.state, this.#now(), HOLDER_LOST).toJsonString(),
        ...[session.resourceId, encodeSession(session)],
        firstState(session, this.#now()).toJsonString(),
        leaseMs,
      );
      if (answer === 'changed') return undefined;
      return answer === 'busy' ? answer : { ...session, attempt: Number(answer) };
    });
    return begun ?? 'not_found';
  }

  async renewLease(ingressId: string, resourceId: string, leaseMs: number): Promise<boolean> {
    return (await run(this.#redis, RENEW_LEASE, ingressId, resourceId, leaseMs)) === 1;
  }

  async live(): Promise<IngressRecord[]> {
    const ids = await this.#redis.smembers(keys.live);
    return (await Promise.all(ids.map((id) => this.get(id)))).filter((record) => record !== undefined);
  }

  async begin(ingressId: string, attempt: number): Promise<boolean> {
    return (await this.#redis.hget(keys.ingress(ingressId), 'attempt')) === String(attempt);
  }

  async saveState(ingressId: string, attempt: number, state: IngressState): Promise<boolean> {
    const publishing = state.status === IngressState_Status.ENDPOINT_PUBLISHING ? 1 : 0;
    const args = [ingressId, attempt, state.toJsonString(), publishing];
    return (await run(this.#redis, SAVE_STATE, ...args)) === 1;
  }

  async replaceState(
    ingressId: string,
    attempt: number,
    from: IngressState,
    state: IngressState,
  ): Promise<boolean> {
    const args = [ingressId, attempt, from.toJsonString(), state.toJsonString()];
    return (await run(this.#redis, REPLACE_STATE, ...args)) === 1;
  }

  async endSession(ingressId: string, attempt: number, state: IngressState): Promise<boolean> {
    return (await run(this.#redis, END_SESSION, ingressId, attempt, state.toJsonString())) === 1;
  }

  async endLapsed(): Promise<string[]> {
    const ids = z.array(z.string()).parse(await run(this.#redis, FIND_LAPSED, LAPSED_LIMIT));
    const ended: string[] = [];
    for (const ingressId of ids) {
      const record = await this.get(ingressId);
      if (!record) continue;
      const state = lastState(record.info.state, this.#now(), HOLDER_LOST).toJsonString();
      const args = [ingressId, attemptText(record), state, this.#lapsedMs];
      if ((await run(this.#redis, END_LAPSED, ...args)) === 1) ended.push(ingressId);
    }
    return ended;
  }

  async raiseAttempt(ingressId: string, from: number): Promise<number | undefined> {
    const attempt = await run(this.#redis, RAISE_ATTEMPT, ingressId, from);
    return attempt === null ? undefined : Number(attempt);
  }

  async liveSessions(): Promise<number> {
    return this.#redis.scard(keys.live);
  }

  onChange(ingressId: string, listener: (record: IngressRecord | undefined) => void): () => void {
    return watchIngress(ingressId, listener, {
      subscriptions: this.#subscriptions,
      read: () => this.get(ingressId),
      logger: this.#logger,
    });
  }

  async close(): Promise<void> {
    await this.#subscriptions.close();
  }

  async #read(ingressId: string): Promise<StoredIngress | undefined> {
    const hash = await this.#redis.hgetall(keys.ingress(ingressId));
    return Object.keys(hash).length === 0 ? undefined : decodeIngress(ingressId, hash);
  }

  /** Reads and writes until nobody has written in between. `write` answers undefined when somebody had. */
  async #retry<T>(
    ingressId: string,
    write: (stored: StoredIngress) => Promise<T | undefined>,
  ): Promise<T | undefined> {
    for (let tries = 0; tries < CHANGE_ATTEMPTS; tries++) {
      const stored = await this.#read(ingressId);
      if (!stored) return undefined;
      const written = await write(stored);
      if (written !== undefined) return written;
    }
    throw new StoreError('aborted', `ingress ${ingressId} is being changed by too many at once`);
  }
}

/** As the scripts have it: empty without a session. */
function attemptText({ session }: IngressRecord): string {
  return session === undefined ? '' : String(session.attempt);
}
