/** The tries of one upload: while its egress waits, and afterwards. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { Storage, StoragePlan } from '../storage/types.ts';
import { hasEnded } from '../store/record.ts';
import type { EgressStore } from '../store/types.ts';
import { retryDelay } from '../webhooks/backoff.ts';
import { isRefusal, tryUpload } from './attempt.ts';
import { givenUp, storedLate } from './late.ts';
import { leased } from './lease.ts';
import { isThere } from './leftovers.ts';
import type { Claim, UploadList } from './list.ts';
import { removeNote } from './notes.ts';
import type { Stored, UploadTiming, UploadWork } from './types.ts';
import { Waiting } from './waiting.ts';

/** Until the egress of a found upload has ended, it belongs to the egress's attempt. */
const RUNNING_MS = 3000;
/** A storage that is away has at least this long before the backup storage takes its turn, ms. */
export const TURN_MS = 2000;

export interface TriesOptions {
  list: UploadList;
  store: Pick<EgressStore, 'get' | 'amendEnded'>;
  /** Holds a folder an egress. */
  spoolDir: string;
  open: (plan: StoragePlan) => Storage;
  openBackup: (() => Storage) | undefined;
  work: UploadWork;
  timing: UploadTiming;
  /** Everything is broken off and given back. */
  closing: AbortSignal;
}

/** What a try needs to know of the egress that waits. */
export interface Foreground {
  plan: StoragePlan;
  waiting: Waiting;
  /** Resolves when it is in the list. */
  added: Promise<void>;
}

export class Tries {
  readonly #options: TriesOptions;

  constructor(options: TriesOptions) {
    this.#options = options;
  }

  /** While the egress waits, and on from there when it does not any more. */
  async inForeground(claim: Claim, { plan, waiting, added }: Foreground, logger: Logger): Promise<void> {
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
            await this.#options.list.remove(claim);
            await removeNote(this.#options.spoolDir, claim.upload);
            waiting.answer({ state: 'stored', stored });
            return;
          } catch (error) {
            signal.throwIfAborted();
            if (isRefusal(error) && error instanceof Error) refusal = error;
            if (refusal || waiting.over || waiting.nextStorage.aborted) throw error;
            const pause = AbortSignal.any([signal, waiting.nextStorage]);
            await sleep(this.pause(tries, false), undefined, { signal: pause }).catch(() => undefined);
          }
        }
      });
    } catch (error) {
      logger.warn({ err: error }, 'not uploaded yet');
      await added;
      await this.#options.list.release(
        claim,
        this.#options.closing.aborted ? 0 : this.pause(0, refusal !== undefined),
        true,
      );
    } finally {
      if (waiting.take())
        waiting.answer(refusal ? { state: 'refused', error: refusal } : { state: 'pending' });
    }
  }

  /** One more try in the background. */
  async inBackground(claim: Claim, logger: Logger): Promise<void> {
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
        await this.#options.list.remove(claim);
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
        // Nobody waits, but the first storage has no more time for its turn than when somebody does.
        const turn = new Waiting(
          Math.max(this.#options.timing.wait, TURN_MS),
          this.#options.openBackup !== undefined,
        );
        try {
          const stored = await this.#once(claim, plan, turn, signal, logger, true);
          await this.#late(claim, stored, logger);
        } finally {
          turn.take();
        }
      });
    } catch (error) {
      pause = this.#options.closing.aborted ? 0 : this.pause(tries, isRefusal(error));
      if (!this.#options.closing.aborted)
        logger.warn({ err: error, tries: tries + 1, retryMs: pause }, 'not uploaded yet');
    } finally {
      await this.#options.list.release(claim, pause, pause > 0 && pause !== RUNNING_MS);
    }
  }

  /** Until the next try, ms. @param tries so far */
  pause(tries: number, refused: boolean): number {
    const { timing } = this.#options;
    const { refusedRetry } = timing;
    return retryDelay(tries + 1, refused ? { firstRetry: refusedRetry, maxRetry: refusedRetry } : timing);
  }

  #once(
    { upload }: Claim,
    plan: StoragePlan | undefined,
    waiting: Waiting,
    signal: AbortSignal,
    logger: Logger,
    inBackground = false,
  ): Promise<Stored> {
    const { spoolDir, open, openBackup, work } = this.#options;
    return tryUpload({
      ...{ upload, spoolDir, plan, open, openBackup, work, logger, signal },
      nextStorage: waiting.nextStorage,
      // In the background the media has waited long enough.
      mayReplaceAway: () => inBackground || waiting.over || waiting.nextStorage.aborted,
      onStorage: (storage) => waiting.watch(storage),
    });
  }

  #leased(claim: Claim, work: (signal: AbortSignal) => Promise<void>): Promise<void> {
    const leaseMs = this.#options.timing.lease;
    return leased({ list: this.#options.list, claim, leaseMs, closing: this.#options.closing }, work);
  }

  async #late(claim: Claim, stored: Stored | undefined, logger: Logger): Promise<void> {
    const options = { ...this.#options, signal: this.#options.closing };
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
