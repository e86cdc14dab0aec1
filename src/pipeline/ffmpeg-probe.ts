/** What FFprobe says about a finished file. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type { Logger } from 'pino';
import { z } from 'zod';
import { redactText } from '../redact.ts';
import { childEnvironment } from '../child-environment.ts';
import { FFMPEG_LIMITS, confine, findConfiners } from './confine.ts';

const run = promisify(execFile);

const numeric = z.coerce.number();
const probeSchema = z.object({
  format: z.object({ duration: numeric.optional(), start_time: numeric.optional() }).optional(),
  streams: z.array(
    z.object({
      codec_type: z.string(),
      codec_name: z.string().optional(),
      width: z.number().optional(),
      height: z.number().optional(),
      nb_read_packets: numeric.optional(),
    }),
  ),
});

export interface ProbedStream {
  type: string;
  codec: string;
  width: number | undefined;
  height: number | undefined;
  packets: number;
}

export interface Probe {
  /** Seconds. */
  duration: number;
  streams: ProbedStream[];
}

/** Reads the whole file and counts its packets. @throws Error when FFprobe cannot read it */
export async function countPackets(path: string, logger: Logger, signal?: AbortSignal): Promise<Probe> {
  const options = ['-v', 'error', '-protocol_whitelist', 'file', '-count_packets'];
  const shown = ['-show_streams', '-show_format', '-of', 'json'];
  const [command, args] = confine(
    ['ffprobe', ...options, ...shown, '-i', `file:${path}`],
    { ...FFMPEG_LIMITS, network: false, endsWithUs: true },
    findConfiners(logger),
  );
  try {
    const { stdout } = await run(command, args, {
      maxBuffer: 4 * 1024 * 1024,
      env: childEnvironment(),
      ...(signal ? { signal } : {}),
    });
    const probed = probeSchema.parse(JSON.parse(stdout));
    return {
      duration: probed.format?.duration ?? 0,
      streams: probed.streams.map((stream) => ({
        type: stream.codec_type,
        codec: stream.codec_name ?? '',
        width: stream.width,
        height: stream.height,
        packets: stream.nb_read_packets ?? 0,
      })),
    };
  } catch (error) {
    signal?.throwIfAborted();
    throw new Error(`FFprobe cannot read ${path}: ${redactText(String(error))}`, { cause: error });
  }
}
