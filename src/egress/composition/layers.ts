/** Which simulcast layer is worth receiving for a tile. Pure. */

/**
 * Smallest layer that fills the tile, so that nothing is decoded only to be thrown away. Layers halve the
 * size from one to the next, as every browser's simulcast does.
 *
 * @param tileHeight height of the picture in the canvas, pixels.
 * @param topHeight height of the top layer, pixels.
 * @param layers number of layers; 0 is the smallest.
 * @returns spatial layer, 0 to `layers - 1`.
 */
export function layerForTile(tileHeight: number, topHeight: number, layers: number): number {
  for (let layer = 0; layer < layers - 1; layer++) {
    const height = topHeight / 2 ** (layers - 1 - layer);
    // A tenth too small is not seen, and saves three quarters of the pixels.
    if (height >= tileHeight * 0.9) return layer;
  }
  return layers - 1;
}

/** Which layer is received, and which one was before. */
export interface LayerChange {
  layer: number;
  before: number | undefined;
  /** When it changed. */
  atMs: number;
}

/** For so long after a change pictures of the layer before may come: they were in the pipeline. */
const LATE_MS = 3000;

/**
 * Height of the top layer, from what one layer turned out to be. Only ever upwards: a picture taken for one of a higher
 * layer says too little.
 *
 * @param height height seen, pixels.
 * @param known what the top was taken for until now
 */
export function topLayerHeight(
  height: number,
  { layer, before, atMs }: LayerChange,
  { layers, known, nowMs }: { layers: number; known: number | undefined; nowMs: number },
): number {
  const topOf = (of: number) => height * 2 ** (layers - 1 - of);
  let top = topOf(layer);
  if (before !== undefined && nowMs - atMs < LATE_MS) {
    const other = topOf(before);
    top =
      known === undefined
        ? Math.min(top, other)
        : Math.abs(other - known) < Math.abs(top - known)
          ? other
          : top;
  }
  return Math.max(top, known ?? 0);
}
