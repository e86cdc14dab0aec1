/**
 * Which pictures are received: those that are seen, and those that may be seen in a moment. The others are let go of,
 * so that nothing is decoded only to be thrown away; they come back with the next keyframe. Pure but for its state.
 */

/** A picture that is not needed any more is received for this long yet, ms: people speak in turns. */
export const COOL_AFTER_MS = 5000;

export class Warmth {
  /** By track: when it was needed last. */
  readonly #neededAt = new Map<string, number>();
  readonly #cold = new Set<string>();

  /**
   * @param present every picture there is; one that has just come is warm.
   * @param needed those that are seen, or may be soon.
   * @param nowMs any clock that does not go back.
   * @returns tracks to receive again, tracks to let go of, and when to look again although nothing has changed.
   */
  update(
    present: readonly string[],
    needed: ReadonlySet<string>,
    nowMs: number,
  ): { warm: string[]; cold: string[]; againAtMs: number | undefined } {
    const here = new Set(present);
    for (const trackId of this.#neededAt.keys()) if (!here.has(trackId)) this.forget(trackId);
    const warm: string[] = [];
    const cold: string[] = [];
    let againAtMs: number | undefined;
    for (const trackId of present) {
      const neededAt = needed.has(trackId) ? nowMs : (this.#neededAt.get(trackId) ?? nowMs);
      this.#neededAt.set(trackId, neededAt);
      const coolAtMs = neededAt + COOL_AFTER_MS;
      if (coolAtMs > nowMs) {
        if (this.#cold.delete(trackId)) warm.push(trackId);
        if (!needed.has(trackId)) againAtMs = Math.min(againAtMs ?? Infinity, coolAtMs);
      } else if (!this.#cold.has(trackId)) {
        this.#cold.add(trackId);
        cold.push(trackId);
      }
    }
    return { warm, cold, againAtMs };
  }

  /** The track is connected anew: it is received until it is told otherwise. */
  forget(trackId: string): void {
    this.#neededAt.delete(trackId);
    this.#cold.delete(trackId);
  }
}
