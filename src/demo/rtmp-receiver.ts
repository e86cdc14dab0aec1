/** The demo's own RTMP destination: FFmpeg listens, and keeps what it receives. */
import { mkdir } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { FfmpegProcess } from '../pipeline/ffmpeg.ts';

const STOP_MS = 5000;

export interface RtmpReceiver {
  /** Where to push to; it takes one publisher. */
  readonly url: string;
  /** What was received, FLV. */
  readonly file: string;
  stop(): Promise<void>;
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** @param folder where the file goes; made when it does not exist. */
export async function startRtmpReceiver(folder: string, logger: Logger): Promise<RtmpReceiver> {
  await mkdir(folder, { recursive: true });
  const url = `rtmp://127.0.0.1:${await freePort()}/live/demo`;
  const file = join(folder, 'restream.flv');
  const child = new FfmpegProcess({
    args: [
      '-hide_banner',
      '-loglevel',
      'error',
      '-nostdin',
      '-y',
      '-protocol_whitelist',
      'rtmp,tcp',
      '-listen',
      '1',
      '-i',
      url,
      '-c',
      'copy',
      '-protocol_whitelist',
      'file',
      '-f',
      'flv',
      `file:${file}`,
    ],
    stdin: 'none',
    logger,
  });
  return { url, file, stop: () => child.stop(STOP_MS).then(() => undefined) };
}
