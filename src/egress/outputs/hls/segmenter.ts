/**
 * Which pieces make which segment. Pure, and a function of the log alone: a later attempt that goes through the
 * same chunks finds the same segments.
 */
import { gapBetween } from '../../log/fold.ts';
import type { Piece } from './pieces.ts';

export interface Segment {
  /** Media sequence number, from 0. */
  index: number;
  pieces: Piece[];
  startNs: number;
  durationNs: number;
  /** Wall clock of its start, ms since the epoch. */
  wallMs: number;
  discontinuity: boolean;
}

/**
 * A segment whose length is missing no more than this share, and no more than half a chunk, is not kept waiting for
 * another chunk.
 */
const NEAR_ENOUGH = 0.1;

export class Segmenter {
  readonly #wantedNs: number;
  #pieces: Piece[] = [];
  #last: Piece | undefined;
  #next = 0;
  #discontinuity = false;

  /** @param segmentDuration seconds */
  constructor(segmentDuration: number) {
    this.#wantedNs = segmentDuration * 1e9;
  }

  /** @returns the segments that are closed by this piece: none, the one before it, the one it completes, or both */
  push(piece: Piece): Segment[] {
    const closed: Segment[] = [];
    const last = this.#last;
    const breaks = last !== undefined && isBreak(last, piece);
    const length = this.#length();
    if (breaks || (length > 0 && length + piece.durationNs > this.#wantedNs * 1.5))
      closed.push(...this.flush());
    if (this.#pieces.length === 0) this.#discontinuity = breaks;
    this.#pieces.push(piece);
    this.#last = piece;
    const missing = this.#wantedNs - this.#length();
    if (missing <= Math.min(this.#wantedNs * NEAR_ENOUGH, piece.durationNs / 2)) closed.push(...this.flush());
    return closed;
  }

  /** Closes what is open. */
  flush(): Segment[] {
    const [first] = this.#pieces;
    if (!first) return [];
    const segment: Segment = {
      index: this.#next++,
      pieces: this.#pieces,
      startNs: first.startNs,
      durationNs: this.#length(),
      wallMs: first.chunk.wallMs + Math.round((first.startNs - first.chunk.startNs) / 1e6),
      discontinuity: this.#discontinuity,
    };
    this.#pieces = [];
    this.#discontinuity = false;
    return [segment];
  }

  #length(): number {
    const first = this.#pieces[0];
    const last = this.#pieces.at(-1);
    return first && last ? last.startNs + last.durationNs - first.startNs : 0;
  }
}

/** Another process's stream (its counters start anew), another parameter set, or a hole in time. */
function isBreak(before: Piece, after: Piece): boolean {
  return (
    before.chunk.attempt !== after.chunk.attempt ||
    before.chunk.run !== after.chunk.run ||
    before.parametersHash !== after.parametersHash ||
    gapBetween(before.chunk, after.chunk) !== undefined
  );
}
