/**
 * When multifilesink cuts (pure). In its key-frame mode it starts a new file at the first keyframe at or after
 * its "next segment", which begins at the first buffer's time and moves by `min-keyframe-distance` at every cut:
 * a grid, not a distance. This keeps the same book and answers the property value that makes a distance of it,
 * and it stretches the distance while a stream is nothing but keyframes.
 */

/** Keyframes further apart than this are ordinary; closer ones are counted. */
const INTRA_SPACING_NS = 250e6;
/** Close keyframes in a row after which the stream is taken for intra-only. */
const INTRA_COUNT = 8;
/** Chunk duration of an intra-only stream. */
const INTRA_CHUNK_NS = 1e9;
/**
 * The first cut comes no sooner than this: sound starts with the pipeline, the first keyframe a little later,
 * and both belong into the first chunk.
 */
export const FIRST_CHUNK_NS = 700e6;

export class ChunkPacing {
  #minDurationNs: number;
  /** The distance multifilesink will add at the next cut. */
  #distanceNs = FIRST_CHUNK_NS;
  /** multifilesink's next segment; unknown until the first cut. */
  #nextNs: number | undefined;
  #lastCutNs: number | undefined;
  #close = 0;

  constructor(minDurationNs: number) {
    this.#minDurationNs = minDurationNs;
  }

  /** Value for `min-keyframe-distance`, ns. */
  get distanceNs(): number {
    return this.#distanceNs;
  }

  setMinDuration(minDurationNs: number): void {
    this.#minDurationNs = minDurationNs;
    this.#plan();
  }

  /**
   * A chunk was cut at `atNs` (the new chunk's first buffer).
   * @param firstNs where the very first chunk began; it counts at the first cut only
   */
  cut(atNs: number, firstNs: number): void {
    this.#nextNs = (this.#nextNs ?? firstNs + FIRST_CHUNK_NS) + this.#distanceNs;
    const spacing = this.#lastCutNs === undefined ? Infinity : atNs - this.#lastCutNs;
    // While stretched, chunks of an intra-only stream are as long as asked for and one frame, no longer.
    const expected = Math.max(INTRA_SPACING_NS, this.#intra ? INTRA_CHUNK_NS + INTRA_SPACING_NS : 0);
    this.#close = spacing < expected ? this.#close + 1 : 0;
    this.#lastCutNs = atNs;
    this.#plan();
  }

  get #intra(): boolean {
    return this.#close >= INTRA_COUNT;
  }

  #plan(): void {
    const wanted = Math.max(this.#minDurationNs, this.#intra ? INTRA_CHUNK_NS : 0);
    if (this.#nextNs === undefined || this.#lastCutNs === undefined) return;
    // Where the grid has fallen behind the stream, the next cut takes it to one distance after now.
    this.#distanceNs = wanted === 0 ? 0 : Math.max(wanted, this.#lastCutNs + wanted - this.#nextNs);
  }
}
