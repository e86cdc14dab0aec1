/**
 * The fence: of one identity in one room, only the newest attempt may be here. A worker that was stopped, cut off
 * or slow and comes back late finds a newer attempt, and is turned away.
 */

/** Identities are remembered this long after they were last here: longer than any job is retried. */
const MEMORY_MS = 24 * 60 * 60 * 1000;

interface Entry {
  /** The highest attempt seen. */
  attempt: number;
  /** That attempt was given up as lost: its job is being taken by a newer one. */
  lost: boolean;
  touchedAt: number;
}

export class Fence {
  readonly #entries = new Map<string, Entry>();

  /**
   * Lets an attempt in, or not. The highest attempt may come again (its connection broke, and nobody has noticed
   * yet) until it has been {@link lose lost}.
   */
  admit(roomName: string, identity: string, attempt: number): boolean {
    const now = Date.now();
    const key = keyOf(roomName, identity);
    const entry = this.#entries.get(key);
    if (entry && (attempt < entry.attempt || (attempt === entry.attempt && entry.lost))) return false;
    this.#forget(now);
    this.#entries.delete(key);
    this.#entries.set(key, { attempt, lost: false, touchedAt: now });
    return true;
  }

  /** The attempt will not be let in again. */
  lose(roomName: string, identity: string, attempt: number): void {
    const entry = this.#entries.get(keyOf(roomName, identity));
    if (entry?.attempt === attempt) entry.lost = true;
  }

  /** The map is in order of `touchedAt`. */
  #forget(now: number): void {
    for (const [key, { touchedAt }] of this.#entries) {
      if (now - touchedAt < MEMORY_MS) return;
      this.#entries.delete(key);
    }
  }
}

function keyOf(roomName: string, identity: string): string {
  return JSON.stringify([roomName, identity]);
}
