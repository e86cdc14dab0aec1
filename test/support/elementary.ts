/** What is inside a recording's container, byte for byte. */
import { z } from 'zod';
import { runTool, streamTool } from '../../src/demo/content/tool.ts';
import { annexBNals } from './wire-recorder.ts';
import type { Nal } from './wire-recorder.ts';

/** NAL units of a file's or playlist's H.264, in order. */
export async function recordedNals(input: string): Promise<Nal[]> {
  const parts: Buffer[] = [];
  const copy = ['-map', '0:v:0', '-c', 'copy', '-bsf:v', 'h264_mp4toannexb', '-f', 'h264', 'pipe:1'];
  await streamTool('ffmpeg', ['-v', 'error', '-i', input, ...copy], { 1: (part) => parts.push(part) });
  return annexBNals(Buffer.concat(parts));
}

const Hashes = z.object({ packets: z.array(z.object({ data_hash: z.string() })) });

/** SHA-256 of every packet of a stream (`v:0`, `a:0`), in order. */
export async function packetHashes(input: string, stream: string): Promise<string[]> {
  const what = [
    '-select_streams',
    stream,
    '-show_packets',
    '-show_data_hash',
    'sha256',
    '-show_entries',
    'packet=data_hash',
  ];
  const { stdout } = await runTool('ffprobe', ['-v', 'error', ...what, '-of', 'json', '-i', input]);
  return Hashes.parse(JSON.parse(stdout)).packets.map(({ data_hash }) =>
    data_hash.replace(/^SHA256:/i, '').toLowerCase(),
  );
}
