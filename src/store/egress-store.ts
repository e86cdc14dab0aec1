/** The EgressStore on Redis. */
import type { EgressInfo } from '@livekit/protocol';
import type { Redis } from 'ioredis';
import type { Logger } from 'pino';
import { decodeDesired } from './desired.ts';
import { StoreError } from './errors.ts';
import { ENDED_TTL_SECONDS, channels, keys } from './keys.ts';
import { decodeInfo, decodeRecord, hasEnded } from './record.ts';
import type { RedisConnections } from './redis.ts';
import {
  ABORT_UNTAKEN,
  AMEND_ENDED,
  BEGIN,
  CHANGE_DESIRED,
  CREATE,
  FORGET_ENDED,
  RAISE_ATTEMPT,
  SAVE_INFO,
  SAVE_UNTAKEN,
  SET_EPOCH,
  run,
} from './scripts.ts';
import { Subscriptions } from './subscriptions.ts';
import type { EgressDesired, EgressRecord, EgressStore } from './types.ts';

/** Others change `desired` at the same moment at most this often before we give up. */
const CHANGE_ATTEMPTS = 100;

export interface EgressStoreOptions {
  /** Wall clock, ms; tests set it. */
  now?: () => number;
}

/** @param redis stays the caller's; the store closes only the connection it subscribes with. */
export function createEgressStore(
  redis: Pick<RedisConnections, 'shared' | 'duplicate'>,
  logger: Logger,
  options: EgressStoreOptions = {},
): EgressStore {
  return new RedisEgressStore(redis, logger, options.now ?? Date.now);
}

class RedisEgressStore implements EgressStore {
  readonly #redis: Redis;
  readonly #subscriptions: Subscriptions;
  readonly #logger: Logger;
  readonly #now: () => number;

  constructor(redis: Pick<RedisConnections, 'shared' | 'duplicate'>, logger: Logger, now: () => number) {
    this.#redis = redis.shared;
    this.#subscriptions = new Subscriptions(redis.duplicate('egress-store'), logger);
    this.#logger = logger;
    this.#now = now;
  }

  async create(record: Omit<EgressRecord, 'attempt' | 'appliedRevision' | 'epochMs'>): Promise<void> {
    const { egressId, roomName, requestType, requestJson, createdAtMs, bridgeUrl } = record;
    const info = record.info.toJsonString();
    const desired = JSON.stringify(record.desired);
    const trackKind = record.trackKind ?? '';
    const trackRoles = record.trackRoles ? JSON.stringify(record.trackRoles) : '';
    const start = { attempt: 0, appliedRevision: 0 };
    const fields = {
      optionsJson: record.optionsJson ?? '',
      roomName,
      requestType,
      requestJson,
      createdAtMs,
      trackKind,
      trackRoles,
      bridgeUrl,
      info,
      desired,
      ...start,
    };
    await this.#forgetEnded();
    const created = await run(
      this.#redis,
      CREATE,
      ...[egressId, roomName, createdAtMs, info],
      ...Object.entries(fields).flat(),
    );
    if (created !== 1) throw new StoreError('already_exists', `egress ${egressId} already exists`);
  }

  async get(egressId: string): Promise<EgressRecord | undefined> {
    const hash = await this.#redis.hgetall(keys.egress(egressId));
    return Object.keys(hash).length === 0 ? undefined : decodeRecord(egressId, hash);
  }

  async list(filter: { roomName?: string; active?: boolean } = {}): Promise<EgressInfo[]> {
    await this.#forgetEnded();
    const index = filter.roomName
      ? keys.room(filter.roomName)
      : filter.active === true
        ? keys.active
        : keys.all;
    const ids = await this.#redis.zrevrange(index, 0, -1);
    if (ids.length === 0) return [];
    const pipeline = this.#redis.pipeline();
    for (const id of ids) pipeline.hget(keys.egress(id), 'info');
    const infos = ((await pipeline.exec()) ?? []).flatMap(([error, json]) => {
      if (error) throw error;
      return typeof json === 'string' ? [decodeInfo(json)] : [];
    });
    return filter.active === undefined
      ? infos
      : infos.filter((info) => hasEnded(info.status) !== filter.active);
  }

  async unfinished(): Promise<{ egressId: string; attempt: number }[]> {
    const ids = await this.#redis.zrevrange(keys.active, 0, -1);
    if (ids.length === 0) return [];
    const pipeline = this.#redis.pipeline();
    for (const id of ids) pipeline.hget(keys.egress(id), 'attempt');
    const answers = (await pipeline.exec()) ?? [];
    return ids.flatMap((egressId, index) => {
      const [error, attempt] = answers[index] ?? [];
      if (error) throw error;
      return typeof attempt === 'string' ? [{ egressId, attempt: Number(attempt) }] : [];
    });
  }

  async begin(egressId: string, attempt: number): Promise<boolean> {
    return (await run(this.#redis, BEGIN, egressId, attempt)) === 1;
  }

  async saveInfo(
    egressId: string,
    attempt: number,
    info: EgressInfo,
    appliedRevision: number,
  ): Promise<boolean> {
    const ended = hasEnded(info.status) ? 1 : 0;
    const json = info.toJsonString();
    return (
      (await run(this.#redis, SAVE_INFO, egressId, attempt, json, appliedRevision, ended, this.#now())) === 1
    );
  }

  async setEpoch(egressId: string, attempt: number, epochMs: number): Promise<number | undefined> {
    const inForce = await run(this.#redis, SET_EPOCH, egressId, attempt, epochMs);
    return inForce === null ? undefined : Number(inForce);
  }

  async raiseAttempt(egressId: string, from: number): Promise<number | undefined> {
    const attempt = await run(this.#redis, RAISE_ATTEMPT, egressId, from);
    return attempt === null ? undefined : Number(attempt);
  }

  async changeDesired(
    egressId: string,
    change: (desired: EgressDesired) => EgressDesired,
  ): Promise<EgressRecord | undefined> {
    for (let tries = 0; tries < CHANGE_ATTEMPTS; tries++) {
      const hash = await this.#redis.hgetall(keys.egress(egressId));
      if (Object.keys(hash).length === 0) return undefined;
      const record = decodeRecord(egressId, hash);
      const changed = change(record.desired);
      if (changed === record.desired) return record;
      const desired = { ...changed, revision: record.desired.revision + 1 };
      const written = await run(
        this.#redis,
        CHANGE_DESIRED,
        ...[egressId, hash.desired ?? '', JSON.stringify(desired)],
      );
      if (written === 1) return { ...record, desired };
    }
    throw new StoreError('aborted', `egress ${egressId} is being changed by too many at once`);
  }

  async amendEnded(
    egressId: string,
    change: (info: EgressInfo) => void,
  ): Promise<'amended' | 'running' | 'unknown'> {
    for (let tries = 0; tries < CHANGE_ATTEMPTS; tries++) {
      const [before, ended] = await this.#redis.hmget(keys.egress(egressId), 'info', 'ended');
      if (before === null || before === undefined) return 'unknown';
      if (ended !== '1') return 'running';
      const info = decodeInfo(before);
      change(info);
      const after = info.toJsonString();
      if (after === before) return 'amended';
      if ((await run(this.#redis, AMEND_ENDED, egressId, before, after)) === 1) return 'amended';
    }
    throw new StoreError('aborted', `the info of ${egressId} is being changed by too many at once`);
  }

  async saveUntaken(egressId: string, info: EgressInfo): Promise<boolean> {
    return (await run(this.#redis, SAVE_UNTAKEN, egressId, info.toJsonString())) === 1;
  }

  async abortUntaken(egressId: string, info: EgressInfo): Promise<boolean> {
    return (await run(this.#redis, ABORT_UNTAKEN, egressId, info.toJsonString(), this.#now())) === 1;
  }

  onDesired(egressId: string, listener: (desired: EgressDesired) => void): () => void {
    // What is read after a reconnect may be older than what has been published since: only newer revisions count.
    let told = -1;
    let ended = false;
    const tell = (json: string, again: boolean): void => {
      const desired = decodeDesired(json);
      if (ended || desired.revision < told || (desired.revision === told && !again)) return;
      told = desired.revision;
      listener(desired);
    };
    const remove = this.#subscriptions.add(channels.desired(egressId), {
      onMessage: (message) => tell(message, false),
      onSubscribed: () => {
        this.#redis.hget(keys.egress(egressId), 'desired').then(
          (json) => {
            if (json !== null) tell(json, true);
          },
          (error: unknown) => this.#logger.warn({ err: error, egressId }, 'desired state not read'),
        );
      },
    });
    return () => {
      ended = true;
      remove();
    };
  }

  onInfo(listener: (info: EgressInfo) => void): () => void {
    return this.#subscriptions.add(channels.info, { onMessage: (message) => listener(decodeInfo(message)) });
  }

  async close(): Promise<void> {
    await this.#subscriptions.close();
  }

  /** Redis forgets the records by itself; this takes them out of the indexes. */
  async #forgetEnded(): Promise<void> {
    await run(this.#redis, FORGET_ENDED, this.#now() - ENDED_TTL_SECONDS * 1000);
  }
}
