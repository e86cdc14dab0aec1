/** Layouts: which picture goes where on the canvas. Pure: the same pictures give the same tiles. */
import type { Tile } from '../../pipelines/shared/protocol.ts';

/** Most pictures a grid shows; later ones wait for a place. */
export const MAX_TILES = 25;

export interface Canvas {
  /** Pixels, even. */
  width: number;
  height: number;
}

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

/** The whole canvas for one picture: a transcode. */
export function singleLayout(trackIds: readonly string[], canvas: Canvas): Tile[] {
  const first = trackIds[0];
  return first === undefined ? [] : [{ trackId: first, x: 0, y: 0, ...canvas, z: 1 }];
}
