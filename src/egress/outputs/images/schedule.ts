/**
 * Which pictures of the log become images. Pure, and a function of the log alone: a later attempt that goes through
 * the same chunks finds the same images.
 */
import type { Chunk } from '../../log/types.ts';

/** One image to be made. */
export interface Shot {
  /** From 0. */
  index: number;
  chunk: Chunk;
  /** Egress clock of what it shows, ns. */
  atNs: number;
  /** Wall clock of what it shows, ms since the epoch. */
  wallMs: number;
  /** The picture the chunk begins with, which costs one decoded frame; otherwise decoding goes on up to `atNs`. */
  keyFrame: boolean;
}

type Span = Pick<Chunk, 'startNs' | 'durationNs' | 'wallMs' | 'videoFrames' | 'keyFrames'>;

/**
 * A keyframe this near to an image's moment is taken for it, as a share of the interval: two images are never nearer
 * to each other than half an interval, and never further apart than one and a half.
 */
const NEAR = 0.25;

export class ImageSchedule {
  readonly #intervalNs: number;
  #originNs: number | undefined;
  /** Number of the next moment; moments that nothing was recorded at have no image. */
  #moment = 0;
  #index = 0;
  /** A moment near a chunk's end: the next chunk's keyframe may be its image. */
  #waiting: { chunk: Chunk; atNs: number } | undefined;

  /** @param interval seconds between two images */
  constructor(interval: number) {
    this.#intervalNs = interval * 1e9;
  }

  /**
   * Takes the log's next chunk.
   * @param pictureNs its first picture, egress clock, where sound comes before it
   * @returns the images that are decided by it, in order
   */
  push(chunk: Chunk, pictureNs: number = chunk.startNs): Shot[] {
    if (chunk.videoFrames === 0) return this.finish();
    const shots: Shot[] = [];
    const near = this.#intervalNs * NEAR;
    const hasKey = chunk.keyFrames > 0;
    this.#originNs ??= pictureNs;
    let keyUsed = false;
    if (this.#waiting) {
      keyUsed = hasKey && pictureNs - this.#waiting.atNs <= near;
      shots.push(keyUsed ? this.#shot(chunk, pictureNs, true) : this.#decoded());
      this.#waiting = undefined;
    }
    const endNs = chunk.startNs + chunk.durationNs;
    for (; this.#momentNs() < endNs; this.#moment++) {
      const atNs = this.#momentNs();
      if (hasKey && !keyUsed && Math.abs(atNs - pictureNs) <= near) {
        shots.push(this.#shot(chunk, pictureNs, true));
        keyUsed = true;
      } else if (atNs < pictureNs) continue;
      else if (endNs - atNs <= near) this.#waiting = { chunk, atNs };
      else shots.push(this.#shot(chunk, atNs, false));
    }
    return shots;
  }

  /** No further chunk comes, or none that goes on where the last one ended. */
  finish(): Shot[] {
    if (!this.#waiting) return [];
    const shot = this.#decoded();
    this.#waiting = undefined;
    return [shot];
  }

  #momentNs(): number {
    return (this.#originNs ?? 0) + this.#moment * this.#intervalNs;
  }

  #decoded(): Shot {
    if (!this.#waiting) throw new Error('no image waits');
    return this.#shot(this.#waiting.chunk, this.#waiting.atNs, false);
  }

  #shot(chunk: Chunk, atNs: number, keyFrame: boolean): Shot {
    return { index: this.#index++, chunk, atNs, wallMs: wallOf(chunk, atNs), keyFrame };
  }
}

function wallOf(chunk: Span, atNs: number): number {
  return chunk.wallMs + Math.round((atNs - chunk.startNs) / 1e6);
}
