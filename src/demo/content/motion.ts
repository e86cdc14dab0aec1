/** Black and frozen pictures, and stretches of them. Pure. */
import type { Picture } from './tile.ts';
import type { Stretch } from './types.ts';

/** Every nth pixel of every nth line is looked at. */
const STEP = 4;
/** Luma: brighter than this is not black. */
const BLACK_LUMA = 32;
/** Share of pixels that may be brighter in a black picture (noise of the encoder). */
const BLACK_REST = 0.002;
/** Luma: a smaller change is the encoder's. */
const CHANGED_LUMA = 40;
/** Looked-at pixels that must change for a picture to have moved. */
const MOVED_PIXELS = 3;

/** Compares each picture with the one before. */
export class MotionDetector {
  #previous: Uint8Array | null = null;

  look(picture: Picture): { black: boolean; moved: boolean } {
    const { data, width, height } = picture;
    const columns = Math.ceil(width / STEP);
    const rows = Math.ceil(height / STEP);
    const current = new Uint8Array(columns * rows);
    const previous = this.#previous;
    let bright = 0;
    let changed = 0;
    let i = 0;
    for (let y = 0; y < height; y += STEP) {
      for (let x = 0; x < width; x += STEP, i++) {
        const luma = data[y * width + x]!;
        current[i] = luma;
        if (luma > BLACK_LUMA) bright++;
        if (previous && Math.abs(luma - previous[i]!) > CHANGED_LUMA) changed++;
      }
    }
    this.#previous = current;
    return { black: bright <= current.length * BLACK_REST, moved: !previous || changed >= MOVED_PIXELS };
  }
}

/**
 * Stretches in which `holds` is true, at least `shortest` seconds long. A piece lasts until the next one's
 * time, the last one until `end`.
 */
export function stretches(
  times: readonly number[],
  holds: readonly boolean[],
  end: number,
  shortest: number,
): Stretch[] {
  const found: Stretch[] = [];
  for (let i = 0; i < times.length; i++) {
    if (!holds[i]) continue;
    const from = times[i]!;
    while (i + 1 < times.length && holds[i + 1]) i++;
    const to = times[i + 1] ?? end;
    if (to - from >= shortest - 1e-6) found.push({ from, to });
  }
  return found;
}
