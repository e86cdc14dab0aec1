import { describe, expect, it } from 'vitest';
import { MAX_TILES, gridLayout, gridShape, singleLayout } from '../../src/egress/layout.ts';

const HD = { width: 1280, height: 720 };
const PORTRAIT = { width: 720, height: 1280 };
const ids = (count: number) => Array.from({ length: count }, (_, index) => `TR_${index}`);

describe('gridShape', () => {
  it.each([
    [1, HD, 1, 1],
    [2, HD, 2, 1],
    [3, HD, 2, 2],
    [4, HD, 2, 2],
    [5, HD, 3, 2],
    [6, HD, 3, 2],
    [7, HD, 3, 3],
    [9, HD, 3, 3],
    [10, HD, 4, 3],
    [16, HD, 4, 4],
    [25, HD, 5, 5],
    [2, PORTRAIT, 1, 2],
    [3, PORTRAIT, 1, 3],
  ])('%i pictures on %o: %i x %i', (count, canvas, columns, rows) => {
    expect(gridShape(count, canvas)).toEqual({ columns, rows });
  });
});

describe('gridLayout', () => {
  it('shows nothing for nobody', () => {
    expect(gridLayout([], HD)).toEqual([]);
  });

  it('puts two side by side', () => {
    expect(gridLayout(['a', 'b'], HD)).toEqual([
      { trackId: 'a', x: 0, y: 0, width: 640, height: 720, z: 1 },
      { trackId: 'b', x: 640, y: 0, width: 640, height: 720, z: 1 },
    ]);
  });

  it('centres a last row that is not full', () => {
    expect(gridLayout(['a', 'b', 'c'], HD)[2]).toEqual({
      trackId: 'c',
      x: 320,
      y: 360,
      width: 640,
      height: 360,
      z: 1,
    });
  });

  it.each([
    HD,
    PORTRAIT,
    { width: 1920, height: 1080 },
    { width: 854, height: 480 },
    { width: 16, height: 16 },
  ])('keeps even, disjoint cells inside %o for 1 to 25 pictures', (canvas) => {
    for (let count = 1; count <= MAX_TILES; count++) {
      const tiles = gridLayout(ids(count), canvas);
      expect(tiles).toHaveLength(count);
      for (const [index, tile] of tiles.entries()) {
        for (const value of [tile.x, tile.y, tile.width, tile.height]) expect(value % 2).toBe(0);
        expect(tile.x).toBeGreaterThanOrEqual(0);
        expect(tile.x + tile.width).toBeLessThanOrEqual(canvas.width);
        expect(tile.y + tile.height).toBeLessThanOrEqual(canvas.height);
        for (const other of tiles.slice(index + 1)) {
          const apart =
            tile.x + tile.width <= other.x ||
            other.x + other.width <= tile.x ||
            tile.y + tile.height <= other.y ||
            other.y + other.height <= tile.y;
          expect(apart, `tiles ${tile.trackId} and ${other.trackId} of ${count}`).toBe(true);
        }
      }
    }
  });

  it('leaves out what does not fit', () => {
    expect(gridLayout(ids(30), HD)).toHaveLength(MAX_TILES);
  });
});

describe('singleLayout', () => {
  it('gives one picture the whole canvas', () => {
    expect(singleLayout(['a', 'b'], HD)).toEqual([
      { trackId: 'a', x: 0, y: 0, width: 1280, height: 720, z: 1 },
    ]);
    expect(singleLayout([], HD)).toEqual([]);
  });
});
