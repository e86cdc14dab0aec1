import { describe, expect, it } from 'vitest';
import {
  arrange,
  ARRANGEMENTS,
  gridLayout,
  gridShape,
  MAX_TILES,
  namePlace,
  singleLayout,
  speakerLayout,
  takeSeats,
} from '../../src/egress/composition/layout.ts';

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

describe.each(ARRANGEMENTS)('arrange %s', (arrangement) => {
  it.each([
    HD,
    PORTRAIT,
    { width: 1920, height: 1080 },
    { width: 854, height: 480 },
    { width: 720, height: 720 },
    { width: 100, height: 100 },
  ])('keeps even, disjoint cells inside %o for 1 to 30 pictures', (canvas) => {
    for (let count = 1; count <= 30; count++) {
      const tiles = arrange(arrangement, ids(count), canvas);
      expect(tiles).toHaveLength(arrangement === 'single-speaker' ? 1 : Math.min(count, MAX_TILES));
      for (const [index, tile] of tiles.entries()) {
        for (const value of [tile.x, tile.y, tile.width, tile.height]) expect(value % 2).toBe(0);
        expect(Math.min(tile.x, tile.y)).toBeGreaterThanOrEqual(0);
        expect(Math.min(tile.width, tile.height)).toBeGreaterThan(0);
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

  it('shows nothing for nobody', () => {
    expect(arrange(arrangement, [], HD)).toEqual([]);
  });
});

describe('speakerLayout', () => {
  it('gives a picture alone the whole canvas', () => {
    expect(speakerLayout(['a'], HD)).toEqual([{ trackId: 'a', x: 0, y: 0, width: 1280, height: 720, z: 1 }]);
  });

  it('puts the others into a carousel at the left, from the top', () => {
    expect(speakerLayout(['a', 'b', 'c'], HD)).toEqual([
      { trackId: 'a', x: 220, y: 0, width: 1060, height: 720, z: 1 },
      { trackId: 'b', x: 0, y: 0, width: 212, height: 118, z: 1 },
      { trackId: 'c', x: 0, y: 126, width: 212, height: 118, z: 1 },
    ]);
  });

  it('puts the carousel below on a tall canvas', () => {
    const [large, second, third] = speakerLayout(['a', 'b', 'c'], PORTRAIT);
    expect(large).toMatchObject({ x: 0, y: 0, width: 720, height: 1060 });
    expect(second).toMatchObject({ x: 0, y: 1068 });
    expect(third).toMatchObject({ x: (second?.width ?? 0) + 8, y: 1068 });
  });

  it('takes a second line when one is full, and leaves the large picture as it is', () => {
    const tiles = speakerLayout(ids(25), HD);
    expect(tiles[0]).toMatchObject({ x: 220, width: 1060 });
    expect(new Set(tiles.slice(1).map(({ x }) => x)).size).toBeGreaterThan(1);
    expect(tiles[1]?.width).toBeGreaterThanOrEqual(80);
  });
});

describe('takeSeats', () => {
  it.each<[string, string[], string[], string | undefined, number, string[]]>([
    ['seats whoever comes last', ['a', 'b'], ['a', 'b', 'c'], undefined, 0, ['a', 'b', 'c']],
    ['closes up when somebody leaves', ['a', 'b', 'c'], ['a', 'c'], undefined, 0, ['a', 'c']],
    ['swaps the focus with the first', ['a', 'b', 'c'], ['a', 'b', 'c'], 'c', 0, ['c', 'b', 'a']],
    ['keeps seats when the focus sits well', ['c', 'b', 'a'], ['a', 'b', 'c'], 'c', 0, ['c', 'b', 'a']],
    ['lets a grid be when the focus is seen', ['a', 'b', 'c'], ['a', 'b', 'c'], 'b', 1, ['a', 'b', 'c']],
    ['brings the focus into a full grid', ['a', 'b', 'c'], ['a', 'b', 'c'], 'c', 1, ['a', 'c', 'b']],
    ['ignores a focus that is not there', ['a', 'b'], ['a', 'b'], 'z', 0, ['a', 'b']],
  ])('%s', (_, before, present, focus, seat, seats) => {
    expect(takeSeats(before, present, focus, seat)).toEqual(seats);
  });
});

describe('namePlace', () => {
  const cell = { trackId: 'a', z: 1, x: 640, y: 0, width: 640, height: 720 };

  it.each([
    ['a letterboxed picture', cell, 16 / 9, { x: 652, y: 492, height: 36, maxWidth: 616 }],
    ['an upright picture', cell, 9 / 16, { x: 770, y: 662, height: 44, maxWidth: 376 }],
    ['a large picture', { ...cell, x: 0, ...HD }, 16 / 9, { x: 14, y: 662, height: 44, maxWidth: 1252 }],
    [
      'one of twenty-five',
      { ...cell, width: 256, height: 144 },
      16 / 9,
      { x: 644, y: 124, height: 16, maxWidth: 248 },
    ],
  ])('is the lower left corner of %s', (_, tile, aspect, place) => {
    expect(namePlace(tile, aspect)).toEqual(place);
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
