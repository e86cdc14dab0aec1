/** Makes one clock of a publisher's timestamps, which may jump, wrap and begin anew. Pure. */

/** ms media may come before its time; more is a jump. */
const JUMP_MS = 1000;
/** ms a timestamp may go back without being a jump: rounding, and pieces out of order. */
const BACK_MS = 250;
/** ms the first of a kind may lie before the other kind. */
const APART_MS = 5000;
/** ms one piece is taken to last, at most, where a jump hides how long it did. */
const MAX_STEP_MS = 100;
const WRAP = 2 ** 32;

type Kind = 'audio' | 'video';

interface Clock {
  /** As the publisher said last. */
  raw: number;
  out: number;
  /** What is added to the publisher's time; shared by both kinds, unless they jump apart. */
  offset: number;
  epoch: number;
  step: number;
  /** The publisher is a new one: whatever comes is a jump. */
  stale: boolean;
}

/**
 * Times that come out count ms from the first, never go back within a kind, and go on with the wall clock over a gap.
 * The distance of sound and picture stays the publisher's: both get the same offset.
 */
export class Timeline {
  readonly #clocks = new Map<Kind, Clock>();
  #offset = 0;
  #epoch = 0;
  #lastOut = 0;
  #lastAtMs: number | undefined;
  #startMs = 0;
  /** How far media has been ahead of the wall clock at most, ms: delays only make it less. */
  #lead = -Infinity;

  /** @param nowMs when it arrived, of a clock that does not jump */
  tidy(kind: Kind, timestamp: number, nowMs: number): number {
    if (this.#lastAtMs === undefined) {
      this.#startMs = nowMs;
      this.#offset = -timestamp;
      this.#lead = 0;
    }
    const clock = this.#clocks.get(kind);
    // Wraps of 32 bits are taken out by the nearest time to the last.
    const raw = clock ? clock.raw + nearest(timestamp - clock.raw) : timestamp;
    const offset = this.#choose(clock, raw, nowMs);
    let out = raw + offset;
    this.#lead = Math.max(this.#lead, out - (nowMs - this.#startMs));
    if (clock) out = Math.max(out, clock.out + 1);
    out = Math.max(0, Math.round(out));
    const step =
      clock && !clock.stale ? Math.min(Math.max(1, out - clock.out), MAX_STEP_MS) : (clock?.step ?? 1);
    // Who is still on the time before a jump of the other kind is known by its epoch.
    const epoch = clock && offset !== this.#offset ? clock.epoch : this.#epoch;
    this.#clocks.set(kind, { raw, out, offset, epoch, step, stale: false });
    this.#lastOut = Math.max(this.#lastOut, out);
    this.#lastAtMs = nowMs;
    return out;
  }

  /** Another publisher goes on: its time has nothing to do with the one before. */
  resume(): void {
    for (const clock of this.#clocks.values()) clock.stale = true;
  }

  /** For what has no time of its own: headers, metadata. */
  get now(): number {
    return this.#lastOut;
  }

  #choose(clock: Clock | undefined, raw: number, nowMs: number): number {
    if (clock && !clock.stale && this.#fits(clock, raw + clock.offset, nowMs)) return clock.offset;
    // The other kind has jumped already: where it went, this one goes too.
    const moved = clock?.epoch !== this.#epoch;
    if (moved && this.#fits(clock, raw + this.#offset, nowMs)) return this.#offset;
    const gapMs = nowMs - (this.#lastAtMs ?? nowMs);
    const out = this.#lastOut + Math.max(gapMs, clock?.step ?? 0);
    this.#offset = out - raw;
    this.#epoch++;
    this.#lead = out - (nowMs - this.#startMs);
    return this.#offset;
  }

  #fits(clock: Clock | undefined, out: number, nowMs: number): boolean {
    if (out - (nowMs - this.#startMs) > this.#lead + JUMP_MS) return false;
    if (clock && !clock.stale) return out >= clock.out - BACK_MS;
    return out >= this.#lastOut - APART_MS;
  }
}

function nearest(step: number): number {
  const within = ((step % WRAP) + WRAP) % WRAP;
  return within >= WRAP / 2 ? within - WRAP : within;
}
