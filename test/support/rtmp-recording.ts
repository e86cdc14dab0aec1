/** What real encoders say in a short session, recorded between them and our server. */
import { createConnection, createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { once } from 'node:events';
import { runTool } from '../../src/demo/content/tool.ts';
import { startRtmpReceiver } from './rtmp-receiver.ts';

export const RECORDED_KEY = 'RECORDED-stream-key';

const FFMPEG = (url: string) => [
  'ffmpeg',
  ...[
    '-v',
    'error',
    '-nostdin',
    '-f',
    'lavfi',
    '-i',
    'testsrc=s=96x64:r=15',
    '-f',
    'lavfi',
    '-i',
    'sine',
    '-t',
    '0.7',
  ],
  ...[
    '-c:v',
    'libx264',
    '-preset',
    'veryfast',
    '-bf',
    '2',
    '-pix_fmt',
    'yuv420p',
    '-c:a',
    'aac',
    '-b:a',
    '32k',
    '-f',
    'flv',
    url,
  ],
];
const GSTREAMER = (sink: string, url: string) => [
  'gst-launch-1.0',
  ...[
    '-q',
    'videotestsrc',
    'num-buffers=10',
    '!',
    'video/x-raw,width=96,height=64,framerate=15/1',
    '!',
    'x264enc',
    'bitrate=60',
  ],
  ...[
    '!',
    'h264parse',
    '!',
    'flvmux',
    'name=m',
    'streamable=true',
    '!',
    sink,
    'sync=false',
    `location=${url}`,
  ],
  ...['audiotestsrc', 'num-buffers=16', '!', 'avenc_aac', 'bitrate=32000', '!', 'm.'],
];

export interface Recording {
  name: string;
  bytes: Buffer;
}

/** Client's bytes of FFmpeg, GStreamer's rtmp2sink, and librtmp (rtmpsink). */
export async function recordSessions(): Promise<Recording[]> {
  const receiver = await startRtmpReceiver();
  try {
    return await Promise.all([
      record('FFmpeg', receiver.server.port, FFMPEG),
      record('rtmp2sink', receiver.server.port, (url) => GSTREAMER('rtmp2sink', url)),
      record('librtmp', receiver.server.port, (url) => GSTREAMER('rtmpsink', url)),
    ]);
  } finally {
    await receiver.close();
  }
}

async function record(name: string, port: number, command: (url: string) => string[]): Promise<Recording> {
  const chunks: Buffer[] = [];
  const proxy = createServer((client) => {
    const server = createConnection(port, '127.0.0.1');
    client.on('data', (chunk: Buffer) => chunks.push(chunk));
    for (const each of [client, server]) each.on('error', () => server.destroy());
    client.pipe(server).pipe(client);
  });
  proxy.listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  try {
    const [tool = '', ...args] = command(
      `rtmp://127.0.0.1:${(proxy.address() as AddressInfo).port}/live/${RECORDED_KEY}`,
    );
    await runTool(tool, args, { timeoutMs: 15_000 });
  } finally {
    proxy.close();
  }
  return { name, bytes: Buffer.concat(chunks) };
}
