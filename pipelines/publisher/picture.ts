/**
 * The picture of a test publisher: where its parts are, and drawing them. Pure. Places are shares of the
 * picture's width and height, so that they hold at every size the picture is scaled to.
 *
 *     ┌──────────────────────────┐
 *     │ ▙▚▞▙▚▞ barcode ▞▚▙▞▚▞▙▚▞ │
 *     │ ┌ flash ┐      colour    │
 *     │ ░▒░▒▒░▒░ texture ▒░▒▒░▒░ │
 *     │ ═══════ moving bar ══█══ │
 *     └──────────────────────────┘
 */
import { BARCODE_COLUMNS, BARCODE_ROWS, encodeBarcode } from './barcode.ts';
import { flashLit, type Rgb } from './signal.ts';

/** A rectangle in shares of the picture (0–1), or in pixels where said. */
export interface Rect {
  x: number;
  y: number;
  width: number;
  height: number;
}

export const BARCODE_AREA: Rect = { x: 0.05, y: 0.05, width: 0.9, height: 0.26 };
export const FLASH_AREA: Rect = { x: 0.05, y: 0.4, width: 0.4, height: 0.28 };
/** Background only, for reading the colour. */
export const COLOR_AREA: Rect = { x: 0.55, y: 0.4, width: 0.4, height: 0.28 };
/** Grain that changes with every frame, so that frames cost as much as a camera's and fill several packets. */
export const TEXTURE_AREA: Rect = { x: 0, y: 0.7, width: 1, height: 0.07 };
export const BAR_AREA: Rect = { x: 0, y: 0.78, width: 1, height: 0.14 };

const BAR_WIDTH = 0.08;
/** Seconds the bar takes from left to right. */
const BAR_PERIOD = 2;
const BLACK = 16;
const WHITE = 235;
const BAR_TRACK = 60;
const NEUTRAL = 128;
const TEXTURE_LUMA = 100;
/** Largest distance from {@link TEXTURE_LUMA}: below what counts as a picture that moved. */
const TEXTURE_DEPTH = 18;

/** Limited-range BT.601 of a full-range colour. */
export function rgbToYuv([r, g, b]: Rgb): [y: number, u: number, v: number] {
  return [
    Math.round(16 + 0.257 * r + 0.504 * g + 0.098 * b),
    Math.round(128 - 0.148 * r - 0.291 * g + 0.439 * b),
    Math.round(128 + 0.439 * r - 0.368 * g - 0.071 * b),
  ];
}

/** Full-range colour of limited-range BT.601. */
export function yuvToRgb(y: number, u: number, v: number): Rgb {
  const clamp = (value: number) => Math.min(255, Math.max(0, Math.round(value)));
  const luma = 1.164 * (y - 16);
  return [
    clamp(luma + 1.596 * (v - 128)),
    clamp(luma - 0.813 * (v - 128) - 0.392 * (u - 128)),
    clamp(luma + 2.017 * (u - 128)),
  ];
}

/** The barcode's cell at `row` and `column`, as a share of the picture. */
export function cellArea(row: number, column: number): Rect {
  const width = BARCODE_AREA.width / BARCODE_COLUMNS;
  const height = BARCODE_AREA.height / BARCODE_ROWS;
  return { x: BARCODE_AREA.x + column * width, y: BARCODE_AREA.y + row * height, width, height };
}

/** Draws frames of one size into one buffer that it keeps. */
export class Painter {
  /** Planar 4:2:0 (I420) of the last frame drawn, without padding. */
  readonly frame: Uint8Array;
  readonly #width: number;
  readonly #height: number;
  readonly #grain: Uint8Array;

  /**
   * @param width pixels, even and at least 160 (below that a barcode cell is lost in the encoder)
   * @param height pixels, even and at least 90
   * @throws RangeError on an odd or too small size
   */
  constructor(width: number, height: number, background: Rgb) {
    if (width % 2 || height % 2 || width < 160 || height < 90)
      throw new RangeError(`picture size ${width}x${height} is not even and at least 160x90`);
    this.#width = width;
    this.#height = height;
    const [y, u, v] = rgbToYuv(background);
    const luma = width * height;
    this.frame = new Uint8Array((luma * 3) / 2);
    this.frame.fill(y, 0, luma);
    this.frame.fill(u, luma, luma * 1.25);
    this.frame.fill(v, luma * 1.25);
    this.#grain = grain(width * 4);
    for (const area of [BARCODE_AREA, FLASH_AREA, TEXTURE_AREA, BAR_AREA]) this.#neutralChroma(area);
  }

  /** Draws frame `n` of a publisher with `fps` and answers {@link frame}. */
  draw(n: number, fps: number): Uint8Array {
    encodeBarcode(n).forEach((cells, row) => {
      cells.forEach((white, column) => this.#fillTopLine(cellArea(row, column), white ? WHITE : BLACK));
      this.#repeatTopLine(cellArea(row, 0));
    });
    this.#fill(FLASH_AREA, flashLit(n, fps) ? WHITE : BLACK);
    this.#drawTexture(n);
    this.#fill(BAR_AREA, BAR_TRACK);
    const position = ((n / fps) % BAR_PERIOD) / BAR_PERIOD;
    this.#fill({ ...BAR_AREA, x: position * (1 - BAR_WIDTH), width: BAR_WIDTH }, WHITE);
    return this.frame;
  }

  #drawTexture(n: number): void {
    const { top, bottom } = this.#pixels(TEXTURE_AREA);
    for (let y = top; y < bottom; y++) {
      // Another piece of the grain in each line of each frame: nothing to predict it from.
      const offset = (n * 7919 + y * 104_729) % (this.#grain.length - this.#width);
      this.frame.set(this.#grain.subarray(offset, offset + this.#width), y * this.#width);
    }
  }

  #fill(area: Rect, luma: number): void {
    const { left, right, top, bottom } = this.#pixels(area);
    for (let y = top; y < bottom; y++) this.frame.fill(luma, y * this.#width + left, y * this.#width + right);
  }

  #fillTopLine(area: Rect, luma: number): void {
    const { left, right, top } = this.#pixels(area);
    this.frame.fill(luma, top * this.#width + left, top * this.#width + right);
  }

  /** Copies the barcode's first line of the row that holds `cell` into the row's other lines. */
  #repeatTopLine(cell: Rect): void {
    const { left, right, top, bottom } = this.#pixels({
      ...cell,
      x: BARCODE_AREA.x,
      width: BARCODE_AREA.width,
    });
    const start = top * this.#width;
    for (let y = top + 1; y < bottom; y++)
      this.frame.copyWithin(y * this.#width + left, start + left, start + right);
  }

  #neutralChroma(area: Rect): void {
    const { left, right, top, bottom } = this.#pixels(area);
    const half = this.#width / 2;
    const luma = this.#width * this.#height;
    for (const plane of [luma, luma * 1.25])
      for (let y = Math.floor(top / 2); y < Math.ceil(bottom / 2); y++)
        this.frame.fill(
          NEUTRAL,
          plane + y * half + Math.floor(left / 2),
          plane + y * half + Math.ceil(right / 2),
        );
  }

  #pixels(area: Rect): { left: number; right: number; top: number; bottom: number } {
    return {
      left: Math.round(area.x * this.#width),
      right: Math.round((area.x + area.width) * this.#width),
      top: Math.round(area.y * this.#height),
      bottom: Math.round((area.y + area.height) * this.#height),
    };
  }
}

/** The same grain every time. */
function grain(length: number): Uint8Array {
  let seed = 12_345;
  return Uint8Array.from({ length }, () => {
    seed = (seed * 48_271) % 2_147_483_647;
    return TEXTURE_LUMA + (seed % (2 * TEXTURE_DEPTH + 1)) - TEXTURE_DEPTH;
  });
}
