/** Reads one participant's picture out of a decoded frame. Pure. */
import { BARCODE_COLUMNS, BARCODE_ROWS, decodeBarcode } from '../../../pipelines/publisher/barcode.ts';
import { cellArea, COLOR_AREA, FLASH_AREA, yuvToRgb } from '../../../pipelines/publisher/picture.ts';
import { COLORS } from '../../../pipelines/publisher/signal.ts';
import type { ColorName, Rect, Rgb, TileFrame } from './types.ts';

/** A decoded picture: planar 4:2:0, limited-range BT.601, even width and height. */
export interface Picture {
  data: Uint8Array;
  width: number;
  height: number;
}

/** Share of an area's width and height left out at each edge: scaling and encoding blur it. */
const EDGE = 0.28;
/** Halfway between limited-range black and white, where no barcode says better. */
const MIDDLE_LUMA = 126;

/**
 * Where a source's picture is inside a box that it was scaled into with its aspect ratio kept (black bars
 * left and right, or above and below).
 */
export function fitPicture(box: Rect, sourceWidth: number, sourceHeight: number): Rect {
  const scale = Math.min(box.width / sourceWidth, box.height / sourceHeight);
  const width = sourceWidth * scale;
  const height = sourceHeight * scale;
  return { x: box.x + (box.width - width) / 2, y: box.y + (box.height - height) / 2, width, height };
}

/** @param region the participant's whole picture, in pixels of `picture` */
export function readTile(picture: Picture, region: Rect): Omit<TileFrame, 'time'> {
  const cells = Array.from({ length: BARCODE_ROWS }, (_, row) =>
    Array.from({ length: BARCODE_COLUMNS }, (_, column) =>
      lumaOf(picture, within(region, cellArea(row, column))),
    ),
  );
  const barcode = decodeBarcode(cells);
  const threshold = barcode ? (barcode.black + barcode.white) / 2 : MIDDLE_LUMA;
  return {
    counter: barcode?.counter ?? null,
    flash: lumaOf(picture, within(region, FLASH_AREA)) > threshold,
    color: colorOf(picture, within(region, COLOR_AREA)),
  };
}

/** The named colour, or black, closest to a measured one. */
export function closestColor(rgb: Rgb): ColorName | 'black' {
  const candidates: [ColorName | 'black', Rgb][] = [
    ...(Object.entries(COLORS) as [ColorName, Rgb][]),
    ['black', [0, 0, 0]],
  ];
  return candidates.reduce((best, next) =>
    distance(next[1], rgb) < distance(best[1], rgb) ? next : best,
  )[0];
}

/** Euclidean, 0–441. */
export function distance(a: Rgb, b: Rgb): number {
  return Math.hypot(a[0] - b[0], a[1] - b[1], a[2] - b[2]);
}

function within(region: Rect, share: Rect): Rect {
  return {
    x: region.x + (share.x + share.width * EDGE) * region.width,
    y: region.y + (share.y + share.height * EDGE) * region.height,
    width: share.width * (1 - 2 * EDGE) * region.width,
    height: share.height * (1 - 2 * EDGE) * region.height,
  };
}

function lumaOf(picture: Picture, area: Rect): number {
  return mean(picture.data, 0, picture.width, picture.height, area);
}

function colorOf(picture: Picture, area: Rect): Rgb {
  const { data, width, height } = picture;
  const half: Rect = { x: area.x / 2, y: area.y / 2, width: area.width / 2, height: area.height / 2 };
  const luma = width * height;
  const u = mean(data, luma, width / 2, height / 2, half);
  const v = mean(data, luma * 1.25, width / 2, height / 2, half);
  return yuvToRgb(lumaOf(picture, area), u, v);
}

/** Mean of an area of one plane; at least one pixel, and only those inside the plane. */
function mean(data: Uint8Array, offset: number, width: number, height: number, area: Rect): number {
  const left = clamp(Math.round(area.x), width - 1);
  const right = Math.max(left + 1, clamp(Math.round(area.x + area.width), width));
  const top = clamp(Math.round(area.y), height - 1);
  const bottom = Math.max(top + 1, clamp(Math.round(area.y + area.height), height));
  let sum = 0;
  for (let y = top; y < bottom; y++) {
    const line = offset + y * width;
    for (let x = left; x < right; x++) sum += data[line + x]!;
  }
  return sum / ((right - left) * (bottom - top));
}

function clamp(value: number, most: number): number {
  return Math.min(most, Math.max(0, value));
}
