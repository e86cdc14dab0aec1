/** Decodes a file's video, scaled down, one picture at a time: never more than one in memory. */
import { streamTool } from './tool.ts';
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

/**
 * Calls `see` for each picture in presentation order, and answers their times (seconds, as in the file) in
 * the same order. The picture's memory is reused for the next one.
 */
export async function readVideo(
  input: string,
  { width, height }: VideoSize,
  see: (picture: Picture) => void,
): Promise<{ times: number[]; errors: string[] }> {
  const data = new Uint8Array((width * height * 3) / 2);
  let filled = 0;
  let times = '';
  const take = (chunk: Buffer) => {
    for (let offset = 0; offset < chunk.length;) {
      const count = Math.min(chunk.length - offset, data.length - filled);
      data.set(chunk.subarray(offset, offset + count), filled);
      filled += count;
      offset += count;
      if (filled === data.length) {
        see({ data, width, height });
        filled = 0;
      }
    }
  };
  const filter = `scale=${width}:${height}:flags=area:out_color_matrix=bt601:out_range=tv,format=yuv420p`;
  const { stderr } = await streamTool(
    'ffmpeg',
    [
      ...['-v', 'error', '-nostdin', '-copyts', '-i', input, '-map', '0:v:0', '-an', '-sn', '-dn'],
      // Every decoded picture once, with the time it has in the file; -1 is the stream's own time base.
      ...['-vf', filter, '-fps_mode', 'passthrough', '-enc_time_base', '-1', '-c:v', 'rawvideo'],
      ...['-f', 'tee', '[f=rawvideo]pipe:1|[f=framecrc]pipe:3'],
    ],
    { 1: take, 3: (chunk) => (times += chunk.toString('latin1')) },
  );
  return { times: parseFrameTimes(times).map(({ time }) => time), errors: errorLines(stderr) };
}

export function errorLines(stderr: string): string[] {
  return stderr.split('\n').filter((line) => line.trim() !== '');
}
