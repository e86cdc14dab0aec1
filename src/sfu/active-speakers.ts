/** Who is speaking, from the levels mediasoup's AudioLevelObserver reports. */

/** How long somebody still counts as speaking after they were last heard, ms. */
export const SPEAKER_HOLD_MS = 1000;
/** Weight of a new level against what was; evens out syllables. */
const SMOOTHING = 0.5;

interface Speaker {
  /** Smoothed, dBov: -127 (silent) … 0. */
  level: number;
  heardAt: number;
}

export class ActiveSpeakers {
  readonly #onChange: (identities: string[]) => void;
  readonly #holdMs: number;
  readonly #speakers = new Map<string, Speaker>();
  #current: string[] = [];
  #timer: NodeJS.Timeout | undefined;

  /** @param onChange called with everybody who speaks, loudest first, when that list changes */
  constructor(onChange: (identities: string[]) => void, holdMs: number = SPEAKER_HOLD_MS) {
    this.#onChange = onChange;
    this.#holdMs = holdMs;
  }

  /** Loudest first. */
  get current(): string[] {
    return [...this.#current];
  }

  /** Levels (dBov) of those above the threshold just now. */
  heard(levels: ReadonlyMap<string, number>): void {
    const now = performance.now();
    for (const [identity, level] of levels) {
      const before = this.#speakers.get(identity);
      this.#speakers.set(identity, {
        level: before ? before.level + (level - before.level) * SMOOTHING : level,
        heardAt: now,
      });
    }
    this.#update();
  }

  /** Forgets somebody who left or has no sound any more. */
  remove(identity: string): void {
    if (this.#speakers.delete(identity)) this.#update();
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#speakers.clear();
  }

  #update(): void {
    const now = performance.now();
    let nextExpiry = Infinity;
    for (const [identity, speaker] of this.#speakers) {
      const expiry = speaker.heardAt + this.#holdMs;
      if (expiry <= now) this.#speakers.delete(identity);
      else nextExpiry = Math.min(nextExpiry, expiry);
    }
    clearTimeout(this.#timer);
    if (nextExpiry !== Infinity) {
      this.#timer = setTimeout(() => this.#update(), nextExpiry - now).unref();
    }
    const list = [...this.#speakers].sort(([, a], [, b]) => b.level - a.level).map(([identity]) => identity);
    if (list.length === this.#current.length && list.every((id, i) => id === this.#current[i])) return;
    this.#current = list;
    this.#onChange([...list]);
  }
}
