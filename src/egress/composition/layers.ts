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

/**
 * Height of the top layer, from what one layer turned out to be.
 *
 * @param height height seen, pixels.
 * @param layer the layer it was seen on.
 */
export function topLayerHeight(height: number, layer: number, layers: number): number {
  return height * 2 ** (layers - 1 - layer);
}
