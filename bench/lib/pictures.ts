/** Counters of pictures, read as FFmpeg writes them: raw yuv420p on a pipe. */
import type { Readable } from 'node:stream';
import { readTile } from '../../src/demo/content/tile.ts';

/** Calls back with each picture not seen before, and the wall clock it was read at. A held one is old on purpose. */
export function readPictures(
  pipe: Readable | null,
  { width, height }: { width: number; height: number },
  onPicture: (counter: number, atMs: number) => void,
): void {
  const data = Buffer.alloc((width * height * 3) / 2);
  const whole = { x: 0, y: 0, width, height };
  let filled = 0;
  let last = -1;
  pipe?.on('data', (chunk: Buffer) => {
    for (let from = 0; from < chunk.length;) {
      const count = chunk.copy(data, filled, from, Math.min(chunk.length, from + data.length - filled));
      filled += count;
      from += count;
      if (filled < data.length) continue;
      filled = 0;
      const { counter } = readTile({ data, width, height }, whole);
      if (counter === null || counter === last) continue;
      last = counter;
      onPicture(counter, Date.now());
    }
  });
}
