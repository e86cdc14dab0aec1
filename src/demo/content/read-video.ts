/** Decodes a file's video, scaled down, one picture at a time: never more than one in memory. */
import { decode } from './decode.ts';
import type { StreamReader } from './decode.ts';
import { parseFrameTimes } from './frame-times.ts';
import type { Picture } from './tile.ts';

/** Wide enough for a barcode in a tile of a 4 × 4 grid. */
const MAX_WIDTH = 640;

export interface VideoSize {
  width: number;
  height: number;
}

/** The size pictures are looked at, even, aspect ratio kept. */
export function lookingSize(width: number, height: number): VideoSize {
  const scale = Math.min(1, MAX_WIDTH / width);
  const even = (value: number) => Math.max(2, Math.round((value * scale) / 2) * 2);
  return { width: even(width), height: even(height) };
}

/** Calls `see` for each picture in presentation order. The picture's memory is reused for the next one. */
export class VideoReader implements StreamReader {
  readonly #size: VideoSize;
  readonly #see: (picture: Picture) => void;
  readonly #data: Uint8Array;
  #filled = 0;
  #listing = '';

  constructor(size: VideoSize, see: (picture: Picture) => void) {
    this.#size = size;
    this.#see = see;
    this.#data = new Uint8Array((size.width * size.height * 3) / 2);
  }

  readonly outputOf = (media: string, listing: string): string[] => {
    const { width, height } = this.#size;
    const filter = `scale=${width}:${height}:flags=area:out_color_matrix=bt601:out_range=tv,format=yuv420p`;
    // Every decoded picture once, with the time it has in the file; -1 is the stream's own time base.
    return [
      ...['-map', '0:v:0', '-vf', filter, '-fps_mode', 'passthrough', '-enc_time_base', '-1'],
      ...['-c:v', 'rawvideo', '-f', 'tee', `[f=rawvideo]${media}|[f=framecrc]${listing}`],
    ];
  };

  readonly take = (chunk: Buffer): void => {
    const data = this.#data;
    for (let offset = 0; offset < chunk.length;) {
      const count = Math.min(chunk.length - offset, data.length - this.#filled);
      data.set(chunk.subarray(offset, offset + count), this.#filled);
      this.#filled += count;
      offset += count;
      if (this.#filled === data.length) {
        this.#see({ data, ...this.#size });
        this.#filled = 0;
      }
    }
  };

  readonly list = (text: string): void => {
    this.#listing += text;
  };

  /** When the pictures are due, seconds as in the file, in the order they were seen. */
  get times(): number[] {
    return parseFrameTimes(this.#listing).map(({ time }) => time);
  }
}

/** Sees the pictures of a file alone. */
export async function readVideo(
  input: string,
  size: VideoSize,
  see: (picture: Picture) => void,
): Promise<void> {
  await decode(input, [new VideoReader(size, see)]);
}
