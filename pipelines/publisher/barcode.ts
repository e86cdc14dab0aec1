/**
 * The frame counter a test publisher draws into its picture, and its reading back. Pure: the publisher
 * (gjs) and the content analyser (Node) both compile it.
 *
 * Two rows of sixteen cells carry 24 bits of counter and 8 bits of checksum, most significant first;
 * a guard cell at either end of each row (white–black above, black–white below) tells the reader what
 * white and black look like after scaling, range conversion and lossy encoding.
 */

export const BARCODE_ROWS = 2;
/** Cells in a row, guards included. */
export const BARCODE_COLUMNS = 18;
/** Largest counter: 24 bits, 155 hours at 30 frames a second. */
export const BARCODE_MAX = 0xffffff;

/** Least difference between the guards' white and black (0–255) for a reading to be trusted. */
const MIN_CONTRAST = 60;

const GUARDS: readonly (readonly [row: number, column: number, white: boolean])[] = [
  [0, 0, true],
  [0, BARCODE_COLUMNS - 1, false],
  [1, 0, false],
  [1, BARCODE_COLUMNS - 1, true],
];

/** CRC-8 (polynomial 0x07) of the counter's three bytes; starts at 0xff so that black is not a valid zero. */
export function checksum(counter: number): number {
  let crc = 0xff;
  for (const byte of [(counter >>> 16) & 0xff, (counter >>> 8) & 0xff, counter & 0xff]) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 0x80 ? ((crc << 1) ^ 0x07) & 0xff : (crc << 1) & 0xff;
  }
  return crc;
}

/**
 * Cells of a counter, row by row, `true` is white.
 * @throws RangeError when the counter does not fit 24 bits
 */
export function encodeBarcode(counter: number): boolean[][] {
  if (!Number.isInteger(counter) || counter < 0 || counter > BARCODE_MAX)
    throw new RangeError(`frame counter ${counter} does not fit the barcode (0–${BARCODE_MAX})`);
  const perRow = BARCODE_COLUMNS - 2;
  const bits = counter * 256 + checksum(counter);
  return Array.from({ length: BARCODE_ROWS }, (_, row) =>
    Array.from({ length: BARCODE_COLUMNS }, (_, column) => {
      const guard = GUARDS.find(([r, c]) => r === row && c === column);
      if (guard) return guard[2];
      const position = row * perRow + column - 1;
      return Math.floor(bits / 2 ** (perRow * BARCODE_ROWS - 1 - position)) % 2 === 1;
    }),
  );
}

export interface BarcodeReading {
  counter: number;
  /** Luma of the guards, 0–255: what counts as black and white in this picture. */
  black: number;
  white: number;
}

/**
 * Reads the counter from the cells' mean luma (0–255), or answers null when the guards are not there
 * or the checksum does not fit.
 */
export function decodeBarcode(luma: readonly (readonly number[])[]): BarcodeReading | null {
  const at = (row: number, column: number) => luma[row]?.[column] ?? NaN;
  let white = 0;
  let black = 0;
  for (const [row, column, isWhite] of GUARDS) {
    if (isWhite) white += at(row, column) / 2;
    else black += at(row, column) / 2;
  }
  if (!(white - black >= MIN_CONTRAST)) return null;
  const threshold = (white + black) / 2;
  if (GUARDS.some(([row, column, isWhite]) => at(row, column) > threshold !== isWhite)) return null;
  let bits = 0;
  for (let row = 0; row < BARCODE_ROWS; row++)
    for (let column = 1; column < BARCODE_COLUMNS - 1; column++)
      bits = bits * 2 + (at(row, column) > threshold ? 1 : 0);
  const counter = Math.floor(bits / 256);
  return checksum(counter) === bits % 256 ? { counter, black, white } : null;
}
