import { describe, expect, test } from 'vitest';

import { BARCODE_MAX, checksum, decodeBarcode, encodeBarcode } from '../../pipelines/publisher/barcode.ts';
import { Painter, rgbToYuv, yuvToRgb } from '../../pipelines/publisher/picture.ts';
import { COLORS, flashLit } from '../../pipelines/publisher/signal.ts';
import { closestColor, fitPicture, readTile } from '../../src/demo/content/tile.ts';

const luma = (cells: boolean[][], black = 16, white = 235) =>
  cells.map((row) => row.map((cell) => (cell ? white : black)));

describe('barcode', () => {
  test.for([0, 1, 255, 256, 1799, 0x555555, 0xaaaaaa, BARCODE_MAX])('%i is read back', (counter) => {
    expect(decodeBarcode(luma(encodeBarcode(counter)))).toEqual({ counter, black: 16, white: 235 });
    // Washed out, as after a bad encoder.
    expect(decodeBarcode(luma(encodeBarcode(counter), 70, 150))?.counter).toBe(counter);
  });

  test('two counters look different', () => {
    const seen = new Set(Array.from({ length: 5000 }, (_, n) => JSON.stringify(encodeBarcode(n))));
    expect(seen.size).toBe(5000);
  });

  test('any single wrong cell is noticed', () => {
    const cells = encodeBarcode(123_456);
    for (const [row, line] of cells.entries())
      for (const column of line.keys()) {
        const damaged = cells.map((other) => [...other]);
        damaged[row]![column] = !damaged[row]![column];
        expect(decodeBarcode(luma(damaged)), `${row},${column}`).toBeNull();
      }
  });

  test('black, white, grey and noise are not a counter', () => {
    const flat = (value: number) => Array.from({ length: 2 }, () => new Array<number>(18).fill(value));
    for (const value of [0, 16, 128, 235, 255]) expect(decodeBarcode(flat(value))).toBeNull();
    // Even with right guards, zeros have a checksum that is not zero.
    expect(checksum(0)).not.toBe(0);
    expect(decodeBarcode([])).toBeNull();
  });

  test.for([-1, 1.5, BARCODE_MAX + 1, NaN])('%d is refused', (counter) => {
    expect(() => encodeBarcode(counter)).toThrow(/does not fit the barcode/);
  });
});

describe('picture', () => {
  test.for([
    [160, 90],
    [320, 180],
    [640, 360],
    [426, 240],
    [1280, 720],
    [360, 640],
  ] as const)('%i × %i is read back from its own pixels', ([width, height]) => {
    const painter = new Painter(width, height, COLORS.blue);
    for (const n of [0, 2, 3, 29, 30, 4321]) {
      const picture = { data: painter.draw(n, 30), width, height };
      const reading = readTile(picture, { x: 0, y: 0, width, height });
      expect(reading.counter).toBe(n);
      expect(reading.flash).toBe(n % 30 < 3);
      expect(closestColor(reading.color)).toBe('blue');
    }
  });

  test('a region that is not the picture is not read', () => {
    const picture = { data: new Painter(640, 360, COLORS.red).draw(77, 30), width: 640, height: 360 };
    expect(readTile(picture, { x: 0, y: 0, width: 320, height: 180 }).counter).toBeNull();
    expect(readTile(picture, { x: 300, y: 0, width: 640, height: 360 }).counter).toBeNull();
  });

  test('frames differ between any two neighbours', () => {
    const painter = new Painter(320, 180, COLORS.red);
    let last = painter.draw(0, 30).slice();
    for (let n = 1; n < 120; n++) {
      const next = painter.draw(n, 30).slice();
      expect(Buffer.compare(last, next)).not.toBe(0);
      last = next;
    }
  });

  test.for([
    [161, 90],
    [640, 89],
    [80, 60],
  ] as const)('%i × %i is refused', ([width, height]) => {
    expect(() => new Painter(width, height, COLORS.red)).toThrow(RangeError);
  });

  test('every colour survives its way to YUV and back, and is itself', () => {
    for (const [name, rgb] of Object.entries(COLORS)) {
      const back = yuvToRgb(...rgbToYuv(rgb));
      for (const i of [0, 1, 2] as const) expect(Math.abs(back[i] - rgb[i])).toBeLessThanOrEqual(3);
      expect(closestColor(back)).toBe(name);
    }
    expect(closestColor([8, 8, 8])).toBe('black');
  });

  test('a flash is a tenth of a second at any rate', () => {
    for (const fps of [10, 15, 24, 25, 30, 60]) {
      const lit = Array.from({ length: fps * 3 }, (_, n) => flashLit(n, fps)).filter(Boolean).length;
      expect(Math.abs(lit / fps / 3 - 0.1)).toBeLessThan(1 / fps);
    }
  });
});

describe('fitPicture', () => {
  const box = { x: 100, y: 50, width: 640, height: 360 };
  test.for([
    ['same aspect ratio', 1280, 720, box],
    ['pillarbox', 640, 480, { x: 180, y: 50, width: 480, height: 360 }],
    ['letterbox', 1280, 360, { x: 100, y: 140, width: 640, height: 180 }],
    ['portrait', 360, 640, { x: 318.75, y: 50, width: 202.5, height: 360 }],
  ] as const)('%s', ([, width, height, expected]) => {
    expect(fitPicture(box, width, height)).toEqual(expected);
  });
});
