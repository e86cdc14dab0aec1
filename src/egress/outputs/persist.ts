/** Work at a storage that is tried again for as long as it is the storage that fails. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import { StorageError } from '../../storage/types.ts';

export interface PersistOptions {
  /** Of the storage, for messages. */
  name: string;
  /** A storage that fails for this long without one success is given up, ms; absent: never. */
  giveUpMs: number | undefined;
  /** Ends every try. */
  cancelled: AbortSignal;
  logger: Logger;
}

const RETRY_MS = { first: 500, most: 10_000 };

/** @throws StorageError of a refusal, or after `giveUpMs`; what `work` throws otherwise; the signal's reason */
export async function persist<T>(
  { name, giveUpMs, cancelled, logger }: PersistOptions,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  // Also a storage that hangs has only so long.
  const late = giveUpMs === undefined ? undefined : AbortSignal.timeout(giveUpMs);
  const signal = late ? AbortSignal.any([cancelled, late]) : cancelled;
  let failure: StorageError | undefined;
  for (let pause = RETRY_MS.first; ; pause = Math.min(pause * 2, RETRY_MS.most)) {
    try {
      return await work(signal);
    } catch (error) {
      if (error instanceof StorageError) failure = error;
      // A newer attempt, say: whatever the storage's fault was before.
      else if (!late?.aborted) throw error;
      if (cancelled.aborted || (!late?.aborted && failure?.blame !== 'destination')) throw error;
      if (!late?.aborted) {
        logger.warn({ err: error, retryMs: pause }, 'the storage failed: trying again');
        await delay(pause, undefined, { signal }).catch(() => undefined);
      }
      cancelled.throwIfAborted();
      if (late?.aborted) {
        const what = `the storage ${name} has not answered for ${(giveUpMs ?? 0) / 1000} s`;
        throw failure ?? new StorageError('destination', 504, what);
      }
    }
  }
}
