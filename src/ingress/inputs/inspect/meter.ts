/** Bitrate and frame rate of one stream over the last seconds of its media. */

/** ms of media that count. */
const WINDOW_MS = 2500;
/** ms of media before anything is said. */
const LEAST_MS = 400;
/** Steps of time no stream makes by itself, ms: counting begins anew. */
const MAX_STEP_MS = 10_000;
/** More frames than any window of a real stream has. */
const MAX_FRAMES = 2000;

export class Meter {
  #frames: { atMs: number; bytes: number }[] = [];

  /** @param atMs media time, decoding or presentation; may go back and forth by a few frames */
  frame(atMs: number, bytes: number): void {
    const last = this.#frames.at(-1);
    if (last && Math.abs(atMs - last.atMs) > MAX_STEP_MS) this.#frames = [];
    this.#frames.push({ atMs, bytes });
    const from = atMs - WINDOW_MS;
    while (this.#frames.length > MAX_FRAMES || (this.#frames[0]?.atMs ?? atMs) < from) this.#frames.shift();
  }

  /** bit/s and frames/s; 0 until enough was seen. */
  rates(): { bitrate: number; framerate: number } {
    let first = Infinity;
    let last = -Infinity;
    let bytes = 0;
    for (const frame of this.#frames) {
      first = Math.min(first, frame.atMs);
      last = Math.max(last, frame.atMs);
      bytes += frame.bytes;
    }
    const spanMs = last - first;
    if (this.#frames.length < 2 || spanMs < LEAST_MS) return { bitrate: 0, framerate: 0 };
    const steps = this.#frames.length - 1;
    // One frame more than steps between them is in the sum.
    const bitrate = Math.round((bytes * 8000 * steps) / this.#frames.length / spanMs);
    return { bitrate, framerate: Math.round((steps * 100_000) / spanMs) / 100 };
  }
}
