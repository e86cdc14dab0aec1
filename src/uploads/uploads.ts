/**
 * Uploads: tried while the egress that made them waits, and for as long as it takes afterwards, whatever is restarted
 * meanwhile. What is on this machine goes only when a storage has confirmed it.
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import type { Logger } from 'pino';
import type { Storage, StoragePlan } from '../storage/types.ts';
import { hasEnded } from '../store/record.ts';
import type { EgressStore } from '../store/types.ts';
import { retryDelay } from '../webhooks/backoff.ts';
import { isRefusal, tryUpload } from './attempt.ts';
import { UploadList } from './list.ts';
import type { Claim } from './list.ts';
import { storedLate, givenUp } from './late.ts';
import { leased } from './lease.ts';
import { removeNote, spoolId, writeNote } from './notes.ts';
import { findLeftovers, isThere } from './leftovers.ts';
import type { Stored, Upload, UploadTiming, UploadWork } from './types.ts';
import { uploadId, uploadName } from './types.ts';
import { Waiting } from './waiting.ts';
import type { UploadOutcome } from './waiting.ts';

export type { UploadOutcome } from './waiting.ts';

/** Uploads at once in the background; those that an egress waits for come on top. */
const AT_ONCE = 4;
const POLL_MS = 1000;
/** Until the egress of a found upload has ended, it belongs to the egress's attempt. */
const RUNNING_MS = 3000;
/** At close, what is on its way and is waited for still has this long, ms. */
const HURRY_MS = 15_000;
const CLOSE_MS = 5000;

export interface UploadsOptions {
  redis: Redis;
  store: Pick<EgressStore, 'get' | 'amendEnded'>;
  /** Holds a folder an egress. */
  spoolDir: string;
  open: (plan: StoragePlan) => Storage;
  openBackup: (() => Storage) | undefined;
  work: UploadWork;
  timing: UploadTiming;
  logger: Logger;
}

export class Uploads {
  /** How long the end of an egress waits for its storage, ms. */
  readonly waitMs: number;
  /** Opens the backup storage; undefined: there is none. */
  readonly openBackup: (() => Storage) | undefined;
  readonly #options: UploadsOptions;
  readonly #list: UploadList;
  readonly #waiting = new Set<Waiting>();
  readonly #closing = new AbortController();
  readonly #running = new Set<Promise<void>>();
  #background = 0;
  #loop: Promise<void> | undefined;

  private constructor(options: UploadsOptions, spool: string) {
    this.#options = options;
    this.waitMs = options.timing.wait;
    this.openBackup = options.openBackup;
    this.#list = new UploadList(options.redis, spool, options.timing.lease);
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
    const waiting = new Waiting(this.waitMs, this.openBackup !== undefined);
    this.#waiting.add(waiting);
    // Redis may be away: that need not keep it from its storage.
    const added = this.#list.add(upload, claim.token);
    added.catch(() => undefined);
    void this.#track(claim, (logger) => this.#foreground(claim, { plan, waiting, added }, logger));
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
    await this.#list.release(claim, this.#pause(0, refused), true);
  }

  /** Egresses need not wait for long any more: this process is to end. */
  hurry(): void {
    for (const waiting of this.#waiting) waiting.hurry(HURRY_MS);
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
          void this.#track(claim, (logger) => this.#takeUp(claim, logger)).finally(() => this.#background--);
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

  /** While the egress waits, and on from there when it does not any more. */
  async #foreground(claim: Claim, { plan, waiting, added }: Foreground, logger: Logger): Promise<void> {
    let refusal: Error | undefined;
    try {
      await this.#leased(claim, async (signal) => {
        for (let tries = 0; ; tries++) {
          try {
            const stored = await this.#once(claim, plan, waiting, signal, logger);
            await added;
            if (!waiting.take()) {
              await this.#late(claim, stored, logger);
              return;
            }
            await this.#list.remove(claim);
            await removeNote(this.#options.spoolDir, claim.upload);
            waiting.answer({ state: 'stored', stored });
            return;
          } catch (error) {
            signal.throwIfAborted();
            if (isRefusal(error) && error instanceof Error) refusal = error;
            if (refusal || waiting.over || waiting.nextStorage.aborted) throw error;
            const pause = AbortSignal.any([signal, waiting.nextStorage]);
            await sleep(this.#pause(tries, false), undefined, { signal: pause }).catch(() => undefined);
          }
        }
      });
    } catch (error) {
      logger.warn({ err: error }, 'not uploaded yet');
      await added;
      await this.#list.release(claim, this.#closed() ? 0 : this.#pause(0, refusal !== undefined), true);
    } finally {
      if (waiting.take())
        waiting.answer(refusal ? { state: 'refused', error: refusal } : { state: 'pending' });
    }
  }

  /** One more try in the background. */
  async #takeUp(claim: Claim, logger: Logger): Promise<void> {
    const { store, timing, work, spoolDir } = this.#options;
    const { upload, tries } = claim;
    let pause = 0;
    try {
      const record = await store.get(upload.egressId);
      if (record && !hasEnded(record.info.status)) {
        // The egress's attempt waits for it, or the next one will make it anew.
        pause = RUNNING_MS;
        return;
      }
      if (!(await isThere(spoolDir, upload))) {
        logger.error('the media of an upload is gone');
        await this.#list.remove(claim);
        return;
      }
      if (claim.ageMs > timing.giveUp) {
        await this.#late(claim, undefined, logger);
        return;
      }
      const plan = record
        ? work.planOf(record, upload)
        : upload.own
          ? { type: 'default' as const }
          : undefined;
      await this.#leased(claim, async (signal) => {
        const stored = await this.#once(claim, plan, undefined, signal, logger);
        await this.#late(claim, stored, logger);
      });
    } catch (error) {
      pause = this.#closed() ? 0 : this.#pause(tries, isRefusal(error));
      if (!this.#closed()) logger.warn({ err: error, tries: tries + 1, retryMs: pause }, 'not uploaded yet');
    } finally {
      await this.#list.release(claim, pause, pause > 0 && pause !== RUNNING_MS);
    }
  }

  #pause(tries: number, refused: boolean): number {
    const { timing } = this.#options;
    return retryDelay(tries + 1, refused ? { ...timing, firstRetry: timing.maxRetry } : timing);
  }

  #once(
    { upload }: Claim,
    plan: StoragePlan | undefined,
    waiting: Waiting | undefined,
    signal: AbortSignal,
    logger: Logger,
  ): Promise<Stored> {
    const { spoolDir, open, openBackup, work } = this.#options;
    return tryUpload({
      ...{ upload, spoolDir, plan, open, openBackup, work, logger, signal },
      nextStorage: waiting?.nextStorage ?? new AbortController().signal,
      // In the background the media has waited long enough.
      mayReplaceAway: () => !waiting || waiting.over || waiting.nextStorage.aborted,
      onStorage: (storage) => waiting?.watch(storage),
    });
  }

  #leased(claim: Claim, work: (signal: AbortSignal) => Promise<void>): Promise<void> {
    const leaseMs = this.#options.timing.lease;
    return leased({ list: this.#list, claim, leaseMs, closing: this.#closing.signal }, work);
  }

  async #late(claim: Claim, stored: Stored | undefined, logger: Logger): Promise<void> {
    const options = { ...this.#options, list: this.#list, signal: this.#closing.signal };
    if (stored) {
      const { location, bytes, backup } = stored;
      logger.info({ location, bytes, backup }, 'uploaded after the end of its egress');
      await storedLate(claim, stored, options);
    } else {
      logger.error({ days: claim.ageMs / 86_400_000 }, 'upload given up; the media stays where it is');
      await givenUp(claim, options);
    }
  }
}

interface Foreground {
  plan: StoragePlan;
  waiting: Waiting;
  /** Resolves when it is in the list. */
  added: Promise<void>;
}
