/**
 * Uploads: tried while the egress that made them waits, and for as long as it takes afterwards, whatever is restarted
 * meanwhile. What is on this machine goes only when a storage has confirmed it.
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import type { Logger } from 'pino';
import type { Storage, StoragePlan } from '../storage/types.ts';
import { UploadList } from './list.ts';
import type { Claim } from './list.ts';
import { spoolId, writeNote } from './notes.ts';
import { findLeftovers } from './leftovers.ts';
import { TURN_MS, Tries } from './tries.ts';
import type { TriesOptions } from './tries.ts';
import type { Upload } from './types.ts';
import { uploadId, uploadName } from './types.ts';
import { Waiting } from './waiting.ts';
import type { UploadOutcome } from './waiting.ts';

export type { UploadOutcome } from './waiting.ts';

/** Uploads at once in the background; those that an egress waits for come on top. */
const AT_ONCE = 4;
const POLL_MS = 1000;
/** What an egress waits for while this process ends has no longer than this, ms. */
const HURRY_MS = 15_000;
const CLOSE_MS = 5000;

export interface UploadsOptions extends Omit<TriesOptions, 'list' | 'closing'> {
  redis: Redis;
  logger: Logger;
}

export class Uploads {
  /** How long the end of an egress waits for its storage, ms. */
  readonly waitMs: number;
  /** Opens the backup storage; undefined: there is none. */
  readonly openBackup: (() => Storage) | undefined;
  readonly #options: UploadsOptions;
  readonly #list: UploadList;
  readonly #tries: Tries;
  readonly #waiting = new Set<Waiting>();
  readonly #closing = new AbortController();
  readonly #running = new Set<Promise<void>>();
  #background = 0;
  #hurried = false;
  #loop: Promise<void> | undefined;

  private constructor(options: UploadsOptions, spool: string) {
    this.#options = options;
    this.waitMs = options.timing.wait;
    this.openBackup = options.openBackup;
    this.#list = new UploadList(options.redis, spool, options.timing.lease);
    this.#tries = new Tries({ ...options, list: this.#list, closing: this.#closing.signal });
  }

  /** Takes up what earlier processes have left. @throws Error of the file system */
  static async start(options: UploadsOptions): Promise<Uploads> {
    const uploads = new Uploads(options, await spoolId(options.spoolDir));
    uploads.#loop = uploads.#work();
    return uploads;
  }

  /**
   * Uploads, and answers when it is stored, when the storage (and the backup storage) has refused it, or after `waitMs`;
   * whatever the answer, it goes on until it is stored. The caller must be the newest attempt of its egress.
   *
   * @param plan where it goes
   * @throws Error of the file system
   */
  async store(upload: Upload, plan: StoragePlan): Promise<UploadOutcome> {
    await writeNote(this.#options.spoolDir, upload);
    const claim = { id: uploadId(upload), token: randomUUID(), upload, tries: 0, ageMs: 0 };
    const hasBackup = this.openBackup !== undefined;
    // A storage must have had its turn before the backup storage takes what is its.
    const waiting = new Waiting(hasBackup ? Math.max(this.waitMs, TURN_MS) : this.waitMs, hasBackup);
    this.#waiting.add(waiting);
    if (this.#hurried) waiting.hurry(Math.min(HURRY_MS, this.waitMs));
    // Redis may be away: that need not keep it from its storage.
    const added = this.#list.add(upload, claim.token);
    added.catch(() => undefined);
    void this.#track(claim, (logger) => this.#tries.inForeground(claim, { plan, waiting, added }, logger));
    try {
      const outcome = await waiting.outcome;
      // Before the egress may end, what is left of it must be on record.
      await added;
      return outcome;
    } finally {
      this.#waiting.delete(waiting);
    }
  }

  /** Leaves to the background what has been tried already. @throws Error of the file system */
  async queue(upload: Upload, refused: boolean): Promise<void> {
    await writeNote(this.#options.spoolDir, upload);
    const claim = { id: uploadId(upload), token: randomUUID() };
    await this.#list.add(upload, claim.token);
    await this.#list.release(claim, this.#tries.pause(0, refused), true);
  }

  /** Egresses wait for a short time only from now on: this process is to end. */
  hurry(): void {
    this.#hurried = true;
    for (const waiting of this.#waiting) waiting.hurry(Math.min(HURRY_MS, this.waitMs));
  }

  /** Breaks off what is on its way and gives it back. */
  async close(): Promise<void> {
    this.#closing.abort(new Error('this process ends'));
    const all = Promise.allSettled([this.#loop, ...this.#running]);
    // Without Redis nothing can be given back; the leases run out instead.
    await Promise.race([all, sleep(CLOSE_MS, undefined, { ref: false })]);
  }

  #closed(): boolean {
    return this.#closing.signal.aborted;
  }

  async #work(): Promise<void> {
    const { signal } = this.#closing;
    for (let found = false; !this.#closed();) {
      try {
        if (!found) {
          // Who starts anew may have been started with better settings.
          await this.#list.wake();
          await findLeftovers({ ...this.#options, list: this.#list });
          found = true;
        }
        while (this.#background < AT_ONCE && !this.#closed()) {
          const claim = await this.#list.claim(randomUUID());
          if (!claim) break;
          this.#background++;
          void this.#track(claim, (logger) => this.#tries.inBackground(claim, logger)).finally(
            () => this.#background--,
          );
        }
      } catch (error) {
        if (!this.#closed()) this.#options.logger.warn({ err: error }, 'uploads not looked for');
      }
      await sleep(POLL_MS, undefined, { signal }).catch(() => undefined);
    }
  }

  async #track(claim: Claim, work: (logger: Logger) => Promise<void>): Promise<void> {
    const { egressId } = claim.upload;
    const logger = this.#options.logger.child({ egressId, upload: uploadName(claim.upload) });
    const running = work(logger).catch((error: unknown) => {
      if (!this.#closed()) logger.warn({ err: error }, 'upload interrupted; it is taken up again');
    });
    this.#running.add(running);
    await running;
    this.#running.delete(running);
  }
}
