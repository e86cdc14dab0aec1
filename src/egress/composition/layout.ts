/** Layouts: which picture goes where on the canvas. Pure: the same pictures give the same tiles. */
import type { Tile } from '../../../pipelines/shared/protocol.ts';

/** Most pictures a layout shows; later ones wait for a place. */
export const MAX_TILES = 25;

/** LiveKit's layouts; each has a twin `…-light` on white. */
export const ARRANGEMENTS = ['grid', 'speaker', 'single-speaker'] as const;
export type Arrangement = (typeof ARRANGEMENTS)[number];

export interface Canvas {
  /** Pixels, even. */
  width: number;
  height: number;
}

/** What the carousel of `speaker` takes of the canvas's longer side. */
const CAROUSEL_SHARE = 1 / 6;

/** Space between the carousel's pictures, and between it and the large one, of the canvas's longer side. */
const GAP_SHARE = 1 / 160;

/** Largest even number that is not above `value`. */
function even(value: number): number {
  return Math.floor(value / 2) * 2;
}

/**
 * Columns and rows that give a 16:9 picture the most room. Among equals: fewest empty cells, then side by side on
 * a wide canvas and one above the other on a tall one.
 */
export function gridShape(count: number, canvas: Canvas): { columns: number; rows: number } {
  let best = { columns: 1, rows: Math.max(1, count), area: -1, empty: Infinity };
  for (let columns = 1; columns <= Math.max(1, count); columns++) {
    const rows = Math.ceil(count / columns) || 1;
    const cellWidth = canvas.width / columns;
    const cellHeight = canvas.height / rows;
    const scale = Math.min(cellWidth / 16, cellHeight / 9);
    const area = 16 * 9 * scale * scale;
    const empty = columns * rows - count;
    const equal = Math.abs(area - best.area) <= 1e-6;
    const wide = canvas.width >= canvas.height;
    if ((!equal && area > best.area) || (equal && (empty < best.empty || (empty === best.empty && wide)))) {
      best = { columns, rows, area, empty };
    }
  }
  return { columns: best.columns, rows: best.rows };
}

/**
 * Equal cells in reading order; a last row that is not full is centred. Every coordinate is even, as 4:2:0
 * chroma wants it, and the cells never overlap or leave the canvas.
 *
 * @param trackIds pictures in the order they are to be shown; those after {@link MAX_TILES} are left out.
 */
export function gridLayout(trackIds: readonly string[], canvas: Canvas): Tile[] {
  const shown = trackIds.slice(0, MAX_TILES);
  if (shown.length === 0) return [];
  const { columns, rows } = gridShape(shown.length, canvas);
  const edgeX = (column: number) => even((canvas.width * column) / columns);
  const edgeY = (row: number) => even((canvas.height * row) / rows);
  return shown.map((trackId, index) => {
    const row = Math.floor(index / columns);
    const inRow = Math.min(columns, shown.length - row * columns);
    const column = index % columns;
    const shift = even(((columns - inRow) * (canvas.width / columns)) / 2);
    const x = edgeX(column) + shift;
    const y = edgeY(row);
    return {
      trackId,
      x,
      y,
      width: Math.min(edgeX(column + 1) - edgeX(column), canvas.width - x),
      height: edgeY(row + 1) - y,
      z: 1,
    };
  });
}

/** The whole canvas for the first picture; also a transcode. */
export function singleLayout(trackIds: readonly string[], canvas: Canvas): Tile[] {
  const first = trackIds[0];
  return first === undefined ? [] : [{ trackId: first, x: 0, y: 0, ...canvas, z: 1 }];
}

/**
 * The first picture large, the others in a carousel: at the left of a wide canvas, below on a tall one. They are 16:9,
 * begin at the top (left), and become smaller when there are too many for one line, so that everybody is seen.
 * Coordinates are even and disjoint as those of {@link gridLayout}. One picture alone has the whole canvas.
 */
export function speakerLayout(trackIds: readonly string[], canvas: Canvas): Tile[] {
  const [focus, ...others] = trackIds.slice(0, MAX_TILES);
  if (focus === undefined || others.length === 0) return singleLayout(trackIds, canvas);
  const wide = canvas.width >= canvas.height;
  const long = Math.max(canvas.width, canvas.height);
  const gap = even(long * GAP_SHARE);
  const strip = even(long * CAROUSEL_SHARE);
  const large = long - strip - gap;
  const size = wide ? { width: strip, height: canvas.height } : { width: canvas.width, height: strip };
  const { columns, width, height } = carouselCells(others.length, size, gap, wide);
  const stripY = wide ? 0 : large + gap;
  return [
    wide
      ? { trackId: focus, x: strip + gap, y: 0, width: large, height: canvas.height, z: 1 }
      : { trackId: focus, x: 0, y: 0, width: canvas.width, height: large, z: 1 },
    ...others.map((trackId, index) => ({
      trackId,
      x: (index % columns) * (width + gap),
      y: stripY + Math.floor(index / columns) * (height + gap),
      width,
      height,
      z: 1,
    })),
  ];
}

/** The largest 16:9 cells, as many as are wanted, that fit into the strip; in lines along a row. */
function carouselCells(
  count: number,
  strip: Canvas,
  gap: number,
  wide: boolean,
): { columns: number; width: number; height: number } {
  let best = { columns: 1, width: 0, height: 0 };
  for (let lines = 1; lines <= count; lines++) {
    const columns = wide ? lines : Math.ceil(count / lines);
    const rows = Math.ceil(count / columns);
    const roomX = (strip.width - gap * (columns - 1)) / columns;
    const roomY = (strip.height - gap * (rows - 1)) / rows;
    const width = even(Math.min(roomX, (roomY * 16) / 9));
    const height = even(Math.min(roomY, (width * 9) / 16));
    if (width > best.width) best = { columns, width, height };
  }
  return { columns: best.columns, width: Math.max(2, best.width), height: Math.max(2, best.height) };
}

/** @param trackIds pictures in the order they are to be shown; the first is the large one where there is one. */
export function arrange(arrangement: Arrangement, trackIds: readonly string[], canvas: Canvas): Tile[] {
  if (arrangement === 'grid') return gridLayout(trackIds, canvas);
  return arrangement === 'speaker' ? speakerLayout(trackIds, canvas) : singleLayout(trackIds, canvas);
}

/**
 * Who sits where, so that pictures do not jump: everybody keeps their seat, who comes gets the last one. Who is to be
 * seen and sits too far back (`seat` is the last that is good enough) changes places with whoever sits there.
 *
 * @param before the seats as they were.
 * @param present who is there, in the order they came.
 */
export function takeSeats(
  before: readonly string[],
  present: readonly string[],
  focus: string | undefined,
  seat: number,
): string[] {
  const known = new Set(present);
  const seats = [...new Set([...before.filter((each) => known.has(each)), ...present])];
  const at = focus === undefined ? -1 : seats.indexOf(focus);
  const there = seats[seat];
  if (focus === undefined || at <= seat || there === undefined) return seats;
  seats[seat] = focus;
  seats[at] = there;
  return seats;
}

/** Smallest and largest height of a name, pixels, and its share of the picture's height. */
const NAME_HEIGHT = { least: 16, most: 44, share: 1 / 10 };

/**
 * A name's place: the lower left corner of the picture, which is letterboxed in its tile.
 *
 * @param aspect width of the picture by its height.
 */
export function namePlace(
  tile: Tile,
  aspect: number,
): { x: number; y: number; height: number; maxWidth: number } {
  const width = Math.min(tile.width, tile.height * aspect);
  const pictureHeight = width / aspect;
  const height = even(
    Math.min(
      Math.max(pictureHeight * NAME_HEIGHT.share, NAME_HEIGHT.least),
      NAME_HEIGHT.most,
      Math.max(2, pictureHeight),
    ),
  );
  const margin = even(height / 3);
  return {
    x: even(tile.x + (tile.width - width) / 2) + margin,
    y: even(tile.y + (tile.height + pictureHeight) / 2) - height - margin,
    height,
    maxWidth: Math.max(2, even(width) - 2 * margin),
  };
}
