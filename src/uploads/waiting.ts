/** An egress that waits at its end for one upload, and what it is told. */
import type { Storage } from '../storage/types.ts';
import type { Stored } from './types.ts';

/** `pending` and `refused`: it is tried on in the background. */
export type UploadOutcome =
  { state: 'stored'; stored: Stored } | { state: 'pending' } | { state: 'refused'; error: Error };

export class Waiting {
  readonly #answer = Promise.withResolvers<UploadOutcome>();
  readonly #nextStorage = new AbortController();
  readonly #hasBackup: boolean;
  readonly #waitMs: number;
  #timer: NodeJS.Timeout | undefined;
  #storage: Storage | undefined;
  #over = false;

  /** @param waitMs for each of the two storages */
  constructor(waitMs: number, hasBackup: boolean) {
    this.#waitMs = waitMs;
    this.#hasBackup = hasBackup;
    this.hurry(waitMs);
  }

  /** What became of it within the time. */
  get outcome(): Promise<UploadOutcome> {
    return this.#answer.promise;
  }

  /** Ends the first storage's turn. */
  get nextStorage(): AbortSignal {
    return this.#nextStorage.signal;
  }

  get over(): boolean {
    return this.#over;
  }

  /** Whose turn it is. */
  watch(storage: Storage): void {
    this.#storage = storage;
  }

  /** The time that is left becomes this, ms. */
  hurry(ms: number): void {
    clearTimeout(this.#timer);
    if (this.#over) return;
    this.#timer = setTimeout(() => this.#expired(), ms);
  }

  /** True for the one who may {@link answer}: nobody waits for another one from then on. */
  take(): boolean {
    if (this.#over) return false;
    this.#over = true;
    clearTimeout(this.#timer);
    return true;
  }

  answer(outcome: UploadOutcome): void {
    this.#answer.resolve(outcome);
  }

  #expired(): void {
    // A slow storage that takes something is worth more than a second beginning elsewhere.
    if (this.#hasBackup && !this.nextStorage.aborted && this.#storage?.away !== false) {
      this.#nextStorage.abort(new Error('the storage was away for too long'));
      this.hurry(this.#waitMs);
    } else if (this.take()) this.answer({ state: 'pending' });
  }
}
