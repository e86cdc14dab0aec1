/**
 * Who speaks, by what the composite itself hears. The SFU's observer reads the level that publishers write into their
 * packets (RFC 6464), and browsers do; encoders that publish by WHIP or RTMP do not.
 */

/** Somebody still counts as speaking after they were last heard, ms; as the SFU has it. */
const HOLD_MS = 1000;
/** Weight of a new level against what was; evens out syllables. */
const SMOOTHING = 0.5;

export class Voices {
  readonly #heard = new Map<string, { level: number; atMs: number }>();

  /** @param level dB of full scale, loud enough for a voice. */
  heard(identity: string, level: number, nowMs: number): void {
    const before = this.#heard.get(identity);
    const smooth = before && nowMs - before.atMs < HOLD_MS;
    this.#heard.set(identity, {
      level: smooth ? before.level + (level - before.level) * SMOOTHING : level,
      atMs: nowMs,
    });
  }

  /**
   * @param told whom the SFU has heard, loudest first. They come first: what they send says how loud they are.
   * @returns identities, loudest first.
   */
  speakers(told: readonly string[], nowMs: number): string[] {
    for (const [identity, { atMs }] of this.#heard) {
      if (nowMs - atMs >= HOLD_MS) this.#heard.delete(identity);
    }
    const own = [...this.#heard].sort(([, a], [, b]) => b.level - a.level).map(([identity]) => identity);
    return [...new Set([...told, ...own])];
  }
}
