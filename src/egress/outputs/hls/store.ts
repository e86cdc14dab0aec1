/** Puts a broadcast's objects into its storage: again while it is the storage that fails, and never as an old attempt. */
import type { Logger } from 'pino';
import type { Storage, StoredObject } from '../../../storage/types.ts';
import { persist } from '../persist.ts';

export interface BroadcastStoreOptions {
  storage: Storage;
  /** Asked before each write; what it throws ends the output. */
  assertCurrent?: () => Promise<void>;
  logger: Logger;
  /** A store that fails for this long without one success is given up, ms; default: never. The log keeps everything. */
  giveUpMs?: number;
}

const PLAYLIST_TYPE = 'application/vnd.apple.mpegurl';

export class BroadcastStore {
  readonly #options: BroadcastStoreOptions;
  readonly #cancelled: AbortSignal;

  /** @param cancelled ends every attempt to store something. */
  constructor(options: BroadcastStoreOptions, cancelled: AbortSignal) {
    this.#options = options;
    this.#cancelled = cancelled;
  }

  /**
   * @param there what an earlier attempt has stored under this key, if it is as long, stays.
   * @throws StorageError, and what `assertCurrent` throws
   */
  async putMedia(key: string, data: Buffer, contentType: string, there = false): Promise<void> {
    if (there && (await this.size(key)) === data.length) return;
    await this.#put((signal) =>
      this.#options.storage.putBytes(key, data, { contentType, size: data.length, signal }),
    );
  }

  /** What is of use for seconds only: it need not outlive the machine. @throws StorageError */
  async putFleeting(key: string, data: Buffer, contentType: string): Promise<void> {
    await this.#put((signal) =>
      this.#options.storage.putBytes(key, data, { contentType, size: data.length, fleeting: true, signal }),
    );
  }

  /** @param fleeting the next one follows at once. @throws StorageError */
  async putPlaylist(key: string, text: string, fleeting = false): Promise<StoredObject> {
    const bytes = Buffer.from(text);
    return this.#put((signal) =>
      this.#options.storage.putBytes(key, bytes, {
        contentType: PLAYLIST_TYPE,
        size: bytes.length,
        cacheControl: 'no-cache',
        fleeting,
        signal,
      }),
    );
  }

  /** Bytes of the object, or undefined. @throws StorageError */
  async size(key: string): Promise<number | undefined> {
    return this.#persist(() => this.#options.storage.size(key));
  }

  /** Takes away what nobody needs any more; what cannot be stays. */
  async discard(key: string): Promise<void> {
    await this.#options.storage
      .delete(key)
      .catch((error: unknown) => this.#options.logger.debug({ err: error, key }, 'part not removed'));
  }

  /** A write: only while this is the newest attempt, also when it is tried again. */
  async #put(work: (signal: AbortSignal) => Promise<StoredObject>): Promise<StoredObject> {
    return this.#persist(async (signal) => {
      await this.#options.assertCurrent?.();
      return work(signal);
    });
  }

  #persist<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const { storage, giveUpMs, logger } = this.#options;
    return persist({ name: storage.name, giveUpMs, cancelled: this.#cancelled, logger }, work);
  }
}
