/** What is stored while an egress runs: follows the log, and changes to the backup storage when its own fails. */
import { setTimeout as sleep } from 'node:timers/promises';
import { StorageError } from '../../storage/types.ts';
import type { Storage } from '../../storage/types.ts';
import { backupPrefix, isRefusal } from '../../uploads/index.ts';
import type { Upload } from '../../uploads/index.ts';
import type { SegmentLog } from '../log/reader.ts';
import type { Chunk } from '../log/types.ts';
import { spanOfLog, uploadNote } from './late.ts';
import type { SinkContext, SinkUploads } from './types.ts';

/** What makes something of chunks and stores it. */
export interface Following {
  push(chunk: Chunk): void;
  /** Makes and stores what is left. */
  finish(): Promise<unknown>;
  close(): Promise<void>;
}

export interface FollowerOptions<T extends Following> {
  /** For people: `broadcast`. */
  what: string;
  /** What it is called in the storage, for the log. */
  name: string;
  storage: Storage;
  context: SinkContext;
  uploads: SinkUploads;
  /** What is left to the background when the storage is away at the end. */
  upload: Upload;
  /** @param prefix stands before every key: the backup storage has a folder an egress */
  open: (storage: Storage, prefix: string, how: FollowingOptions) => T;
  /** It cannot go on. */
  onFailure: (error: Error) => void;
}

export interface FollowingOptions {
  /** When there is another storage to go to: how long this one is waited for, ms. */
  giveUpMs?: number;
  onFailure: (error: Error) => void;
}

export class Follower<T extends Following> {
  readonly #options: FollowerOptions<T>;
  /** Chunks of this attempt: the backup storage gets what is made of them from the first on. */
  readonly #pushed: Chunk[] = [];
  #following: T;
  #backup: Storage | undefined;

  constructor(options: FollowerOptions<T>) {
    this.#options = options;
    this.#following = this.#open(options.storage, '');
  }

  /** Changes when its storage does. */
  get following(): T {
    return this.#following;
  }

  /** Where it is stored now. */
  get storage(): Storage {
    return this.#backup ?? this.#options.storage;
  }

  push(chunk: Chunk): void {
    this.#pushed.push(chunk);
    this.#following.push(chunk);
  }

  /** @throws what kept it from being stored, unless that is done in the background */
  async finish(log: SegmentLog): Promise<'done' | 'pending'> {
    const before = this.#following;
    let failure = await this.#end();
    if (failure instanceof StorageError && !this.#backup) await this.#useBackup(failure);
    // It may also have gone there on its own, while it was waited for.
    if (failure && this.#following !== before) failure = (await this.#end()) && failure;
    if (!failure) return 'done';
    if (!(failure instanceof StorageError)) throw failure;
    await this.#following.close();
    await this.#leave(failure, log);
    return 'pending';
  }

  async close(): Promise<void> {
    await this.#following.close();
    await this.#backup?.close();
  }

  /** Within the time uploads have; answers what kept it from it. */
  async #end(): Promise<Error | undefined> {
    const { waitMs } = this.#options.uploads;
    const timer = new AbortController();
    const late = sleep(waitMs, undefined, { signal: timer.signal }).then(
      () =>
        new StorageError('destination', 504, `the storage did not take everything within ${waitMs / 1000} s`),
      () => undefined,
    );
    const finished = this.#following.finish().then(
      () => undefined,
      (error: unknown) => (error instanceof Error ? error : new Error(String(error))),
    );
    try {
      return await Promise.race([finished, late]);
    } finally {
      timer.abort();
    }
  }

  /** What is missing is made of the log, in the background. @throws the failure when it is a refusal */
  async #leave(failure: StorageError, log: SegmentLog): Promise<void> {
    const { context, uploads, upload, what, name } = this.#options;
    const refused = isRefusal(failure);
    await context.assertCurrent();
    await uploads.queue({ ...upload, ...spanOfLog(log) }, refused);
    context.logger.warn({ err: failure, [what]: name }, `${what} not stored whole yet`);
    context.status.remark(uploadNote(upload, context.logDir, refused ? 'kept' : 'pending'));
    if (refused) throw failure;
  }

  async #useBackup(failure: Error): Promise<void> {
    const { context, uploads, what, name } = this.#options;
    const storage = uploads.openBackup?.();
    if (!storage) return;
    context.logger.warn({ err: failure, [what]: name }, `${what}: on in the backup storage`);
    this.#backup = storage;
    const before = this.#following;
    this.#following = this.#open(storage, backupPrefix(context.record.egressId));
    for (const chunk of this.#pushed) this.#following.push(chunk);
    context.status.update((info) => {
      info.backupStorageUsed = true;
    });
    await before.close();
  }

  #open(storage: Storage, prefix: string): T {
    const { uploads, open, onFailure } = this.#options;
    const mayChange = uploads.openBackup !== undefined && this.#backup === undefined;
    return open(storage, prefix, {
      ...(mayChange && { giveUpMs: Math.max(uploads.waitMs, 1) }),
      onFailure: (error) => {
        if (mayChange && error instanceof StorageError) this.#useBackup(error).catch(() => onFailure(error));
        else onFailure(error);
      },
    });
  }
}
