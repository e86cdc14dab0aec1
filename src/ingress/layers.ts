/** How simulcast layers fit a source: LiveKit's rule, and what is done when a source changes its size. Pure. */
import type { VideoEncodingChoice, VideoLayerSize } from './presets.ts';

/** Pixels, after rotation; 0 when it is not known yet. */
export interface SourceSize {
  width: number;
  height: number;
}

/** No encoder takes less. */
const LEAST = 16;

/** The largest even number up to `length`, and never less than 2. */
const evenUpTo = (length: number): number => Math.max(2, length & ~1);

/** Even: LiveKit rounds up; so do we, but not above the source. */
const even = (length: number, source: number): number =>
  Math.min(Math.ceil(length / 2) * 2, evenUpTo(source));

/** The source inside the box, with its own shape, never larger than it is. */
function fit(source: SourceSize, box: VideoLayerSize): VideoLayerSize {
  if (source.width === 0 || source.height === 0) return box;
  let [width, height] = [source.width, source.height];
  if (width > box.width) {
    width = box.width;
    height = Math.trunc((width * source.height) / source.width);
  }
  if (height > box.height) {
    height = box.height;
    width = Math.trunc((height * source.width) / source.height);
  }
  return { ...box, width: atLeast(width, source.width), height: atLeast(height, source.height) };
}

/** A side of a layer: even, no smaller than an encoder takes (unless the source is), no larger than the source. */
const atLeast = (length: number, source: number): number => even(Math.max(length, LEAST), source);

/**
 * The layers for a source, smallest first: from the smallest up to the first that is as large as the source. A source
 * of unknown size gets them all.
 */
export function layersFor({ layers }: VideoEncodingChoice, source: SourceSize): VideoLayerSize[] {
  const kept: VideoLayerSize[] = [];
  for (const box of layers) {
    const layer = fit(source, box);
    kept.push(layer);
    if (layer.width >= evenUpTo(source.width) && layer.height >= evenUpTo(source.height) && source.width > 0)
      break;
  }
  return kept;
}

/**
 * The same for a source that changes its size while `count` layers are published, which stay as many: where the source
 * is too small for a layer to be smaller than the one above it, it keeps the distance the choice has between them.
 *
 * @param count from 1; no more than the choice has
 */
export function resizeLayers(
  choice: VideoEncodingChoice,
  source: SourceSize,
  count: number,
): VideoLayerSize[] {
  const boxes = choice.layers.slice(0, count);
  const sizes: VideoLayerSize[] = [];
  let above: { box: VideoLayerSize; size: VideoLayerSize } | undefined;
  for (const box of boxes.toReversed()) {
    let size = fit(source, box);
    if (above && size.width >= above.size.width && size.height >= above.size.height && source.width > 0) {
      const shrunk = {
        ...box,
        width: Math.round((above.size.width * box.width) / above.box.width),
        height: Math.round((above.size.height * box.height) / above.box.height),
      };
      size = fit(source, shrunk);
    }
    sizes.push({ ...size, bitrate: box.bitrate });
    above = { box, size };
  }
  return sizes.reverse();
}
