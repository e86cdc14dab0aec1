/** What a URL input gave, looked at with FFprobe. */
import { execFile } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { promisify } from 'node:util';
import { z } from 'zod';
import type { InputConnection, InputEnd } from '../../src/ingress/inputs/types.ts';

export interface Pulled {
  end: InputEnd;
  /** `rate`: packets a second, from its first to its last. */
  streams: { type: string; codec: string; packets: number; rate: number }[];
  /** Seconds from the first packet to the last. */
  seconds: number;
}

const probed = z.object({
  streams: z.array(z.object({ codec_type: z.string(), codec_name: z.string() })),
  packets: z.array(z.object({ codec_type: z.string(), pts_time: z.coerce.number().optional() })),
});

/** Reads a connection into a file, to its end or for so many seconds. */
export async function pull(connection: InputConnection, file: string, seconds?: number): Promise<Pulled> {
  const timer = seconds === undefined ? undefined : setTimeout(() => void connection.close(), seconds * 1000);
  await pipeline(connection.data, createWriteStream(file));
  const end = await connection.ended;
  clearTimeout(timer);
  await connection.close();
  return { end, ...(await probe(file)) };
}

async function probe(file: string): Promise<Omit<Pulled, 'end'>> {
  const { stdout } = await promisify(execFile)(
    'ffprobe',
    ['-v', 'error', '-show_streams', '-show_packets', '-of', 'json', file],
    { maxBuffer: 64 * 1024 * 1024 },
  );
  const { streams, packets } = probed.parse(JSON.parse(stdout));
  const times = packets.flatMap(({ codec_type: kind, pts_time: time }) =>
    time === undefined ? [] : [{ kind, time }],
  );
  return {
    streams: streams.map(({ codec_type: type, codec_name: codec }) => {
      const own = times.filter(({ kind }) => kind === type);
      return { type, codec, packets: own.length, rate: (own.length - 1) / spanOf(own) };
    }),
    seconds: spanOf(times),
  };
}

function spanOf(packets: readonly { time: number }[]): number {
  const times = packets.map(({ time }) => time);
  return Math.max(...times) - Math.min(...times);
}
