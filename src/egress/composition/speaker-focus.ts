/** Who is seen large, from who is speaking: with patience, so that the picture does not flicker. Pure but for its state. */

/** Nobody is replaced sooner, ms. */
export const MIN_STAY_MS = 2000;
/**
 * Whoever speaks while the one in focus is silent takes over after this, ms. Longer than a single cough counts as
 * speaking (the SFU holds everybody for a second), so that a cough does not move the picture.
 */
export const TURN_MS = 1200;
/** Whoever is louder than the one in focus, who goes on speaking, takes over after this, ms. */
export const INTERRUPT_MS = 3000;

export class SpeakerFocus {
  #focus: string | undefined;
  #sinceMs = -Infinity;
  /** Who is speaking, since when. */
  #speaking = new Map<string, number>();

  /**
   * @param speakers identities, loudest first.
   * @param candidates identities that have a picture, in the order they came.
   * @param nowMs any clock that does not go back.
   * @returns who is to be seen large, and when to look again although nothing has been heard.
   */
  update(
    speakers: readonly string[],
    candidates: readonly string[],
    nowMs: number,
  ): { focus: string | undefined; againAtMs: number | undefined } {
    this.#speaking = new Map(speakers.map((each) => [each, this.#speaking.get(each) ?? nowMs]));
    const visible = speakers.filter((each) => candidates.includes(each));
    const focus = this.#focus;
    if (focus === undefined || !candidates.includes(focus)) {
      return this.#change(visible[0] ?? candidates[0], nowMs);
    }
    const challenger = visible[0];
    if (challenger === undefined || challenger === focus) return { focus, againAtMs: undefined };
    const patience = visible.includes(focus) ? INTERRUPT_MS : TURN_MS;
    const spokenSinceMs = this.#speaking.get(challenger) ?? nowMs;
    const dueMs = Math.max(spokenSinceMs + patience, this.#sinceMs + MIN_STAY_MS);
    return nowMs >= dueMs ? this.#change(challenger, nowMs) : { focus, againAtMs: dueMs };
  }

  #change(focus: string | undefined, nowMs: number): { focus: string | undefined; againAtMs: undefined } {
    // Whoever only happened to be first has no claim to stay.
    this.#sinceMs = focus !== undefined && this.#speaking.has(focus) ? nowMs : -Infinity;
    this.#focus = focus;
    return { focus, againAtMs: undefined };
  }
}
