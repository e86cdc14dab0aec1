/** A log whose picture tells its time: its brightness grows evenly, so that an image of it can be dated. */
import { join } from 'node:path';
import { readFile, readdir } from 'node:fs/promises';
import { runTool, streamTool } from '../../src/demo/content/tool.ts';
import { SegmentLogWriter } from '../../src/egress/log/writer.ts';
import type { Chunk } from '../../src/egress/log/types.ts';
import { EPOCH_MS, silent } from './log-fixtures.ts';

/** Luma a second, of 219. */
const SLOPE = 16;
const FPS = 25;

export interface FadingOptions {
  dir: string;
  attempt?: number;
  /** Egress-clock second its picture begins at; MPEG-TS. Default: 0. */
  offset?: number;
  /** At most 13. */
  seconds: number;
  /** Between keyframes, and of a chunk. */
  keyFrameInterval?: number;
  container?: 'mpegts' | 'matroska';
  width?: number;
  height?: number;
}

/** One attempt's chunks, closed and in the log; its picture begins black. */
export async function fadingLog(options: FadingOptions): Promise<{ earlier: Chunk[]; chunks: Chunk[] }> {
  const { dir, attempt = 1, seconds, keyFrameInterval = 2, container = 'mpegts' } = options;
  const { width = 160, height = 90, offset = 0 } = options;
  const log = await SegmentLogWriter.open({
    ...{ dir, egressId: 'EG_1', attempt, epochMs: EPOCH_MS, container, logger: silent },
  });
  const chunks: Chunk[] = [];
  log.onChunk((chunk) => chunks.push(chunk));
  const extension = container === 'mpegts' ? 'ts' : 'mkv';
  const picture = `color=black:s=${width}x${height}:r=${FPS}:d=${seconds},geq=lum='16+T*${SLOPE}':cb=128:cr=128`;
  const key = ['-g', '1000', '-force_key_frames', `expr:gte(t,n_forced*${keyFrameInterval})`];
  const codec =
    container === 'mpegts'
      ? ['-c:v', 'libx264', '-preset', 'ultrafast', '-tune', 'zerolatency', '-sc_threshold', '0', ...key]
      : ['-c:v', 'libvpx', '-deadline', 'realtime', '-cpu-used', '8', '-b:v', '500k', ...key];
  const sound =
    container === 'mpegts'
      ? ['-f', 'lavfi', '-i', `sine=440:r=48000:d=${seconds}`, '-c:a', 'aac', '-ac', '2']
      : [];
  await runTool('ffmpeg', [
    ...['-v', 'error', '-f', 'lavfi', '-i', picture, ...sound, ...codec, '-pix_fmt', 'yuv420p'],
    ...['-f', 'segment', '-segment_time', String(keyFrameInterval)],
    ...(container === 'mpegts'
      ? [
          '-segment_format',
          'mpegts',
          '-muxdelay',
          '0',
          '-muxpreload',
          '0',
          '-output_ts_offset',
          String(3600 + offset),
        ]
      : ['-segment_format', 'matroska']),
    join(log.folder, `r0-%06d.${extension}`),
  ]);
  const files = (await readdir(log.folder)).filter((name) => name.endsWith(`.${extension}`)).sort();
  for (const [i, file] of files.entries()) {
    await log.addChunk({ file, startNs: (offset + i * keyFrameInterval) * 1e9, durationNs: 0 });
  }
  await log.close();
  return { earlier: log.earlier.chunks, chunks };
}

/** Mean brightness of an image's middle, 0 to 255, and its size in pixels. */
export async function lookAt(path: string): Promise<{ grey: number; width: number; height: number }> {
  let grey = 0;
  await streamTool(
    'ffmpeg',
    [
      ...['-v', 'error', '-i', path, '-vf', 'crop=iw/4:ih/4,scale=1:1:flags=area,format=rgb24'],
      ...['-f', 'rawvideo', '-'],
    ],
    { 1: (bytes) => (grey = bytes[0] ?? 0) },
  );
  return { grey, ...jpegSize(await readFile(path)) };
}

/** An image's size, from its frame header (ITU-T T.81, B.2.2). @throws Error when it is no JPEG */
export function jpegSize(bytes: Buffer): { width: number; height: number } {
  for (let at = 2; at + 9 < bytes.length; at += 2 + bytes.readUInt16BE(at + 2)) {
    const marker = bytes.readUInt16BE(at);
    if (marker === 0xffc0 || marker === 0xffc2)
      return { height: bytes.readUInt16BE(at + 5), width: bytes.readUInt16BE(at + 7) };
  }
  throw new Error('not a JPEG: it has no frame header');
}

/** The second of the fading log that an image shows. */
export function secondOf(grey: number): number {
  return ((grey / 255) * 219) / SLOPE;
}
