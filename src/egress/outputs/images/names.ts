/** What images are called. Pure. */

/** `none`: one file that always shows the newest picture. */
export type ImageSuffix = 'index' | 'timestamp' | 'none';

/** Key of an image, as LiveKit names it: `<prefix>_00042.jpeg`, `<prefix>_20260131120000123.jpeg` (UTC) or `<prefix>.jpeg`. */
export function imageKey(prefix: string, suffix: ImageSuffix, index: number, wallMs: number): string {
  switch (suffix) {
    case 'index':
      return `${prefix}_${String(index).padStart(5, '0')}.jpeg`;
    case 'timestamp':
      return `${prefix}_${new Date(wallMs).toISOString().replace(/\D/g, '').slice(0, 17)}.jpeg`;
    case 'none':
      return `${prefix}.jpeg`;
  }
}
