/** A name as a small still picture: the text of an SVG (pure). */

/** Width of a character by the size of its font, for fonts without serifs; a little more than most need. */
const WIDTHS: readonly (readonly [RegExp, number])[] = [
  [/\p{M}|[\u200b-\u200f\u2060]/u, 0],
  [/[ijlI|.,:;'!()[\]ft ]/u, 0.42],
  [/[mwMW@%]/u, 1],
  [/[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\uff00-\uff60\p{Extended_Pictographic}]/u, 1.3],
  [/[\p{Lu}0-9_&]/u, 0.74],
];
const OTHER_WIDTH = 0.63;

/** Font size and space at either side, of the plate's height. */
const FONT_SHARE = 0.6;
const MARGIN_SHARE = 0.35;

export interface NamePlate {
  svg: string;
  /** Pixels, even. */
  width: number;
  height: number;
}

/**
 * White on dark grey, as wide as the text needs; what is too long ends in an ellipsis. The text is whatever a
 * participant calls itself: control characters and what XML does not allow are left out, the rest is escaped.
 *
 * @param height pixels, even.
 * @param maxWidth pixels, even.
 */
export function namePlate(text: string, height: number, maxWidth: number): NamePlate {
  const size = height * FONT_SHARE;
  const margin = height * MARGIN_SHARE;
  const clean = text
    .replace(/\p{Cc}|\p{Cs}|[\ufffe\uffff]/gu, ' ')
    .replace(/\s+/g, ' ')
    .trim();
  const shown = shorten(clean, (maxWidth - 2 * margin) / size);
  const needed = 2 * Math.ceil((shown.width * size + 2 * margin) / 2);
  const width = Math.max(2, Math.min(needed, maxWidth));
  const svg = [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}">`,
    `<rect width="${width}" height="${height}" fill="#202020"/>`,
    `<text x="${width / 2}" y="${(height * 0.71).toFixed(2)}" font-family="sans-serif" font-size="${size.toFixed(2)}"`,
    ` text-anchor="middle" fill="#ffffff">${escapeXml(shown.text)}</text></svg>`,
  ].join('');
  return { svg, width, height };
}

/** @param room in units of the font's size. */
function shorten(text: string, room: number): { text: string; width: number } {
  const characters = Array.from(text, (character) => ({ character, width: widthOf(character) }));
  const whole = characters.reduce((sum, { width }) => sum + width, 0);
  if (whole <= room) return { text, width: whole };
  const ellipsis = 1;
  let width = ellipsis;
  let kept = '';
  for (const each of characters) {
    if (width + each.width > room) break;
    kept += each.character;
    width += each.width;
  }
  return { text: `${kept.trimEnd()}…`, width };
}

function widthOf(character: string): number {
  return WIDTHS.find(([pattern]) => pattern.test(character))?.[1] ?? OTHER_WIDTH;
}

function escapeXml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
