/** Destinations of one stream each, that keep what they are sent: RTMP (FFmpeg), SRT (srt-live-transmit), WebSocket. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { finished } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { WebSocketServer } from 'ws';
import { startRtmpReceiver } from '../../src/demo/rtmp-receiver.ts';
import { quiet } from './callers.ts';
import { freePort } from './ports.ts';
import { wavHeader } from './wav.ts';

export interface Destination {
  readonly url: string;
  /** What came, playable once {@link stop} has resolved. */
  readonly file: string;
  stop(): Promise<void>;
}

export function rtmpDestination(folder: string): Promise<Destination> {
  return startRtmpReceiver(folder, quiet);
}

/** @param folder must exist */
export async function srtDestination(folder: string): Promise<Destination> {
  const file = join(folder, 'received.ts');
  const port = await freePort();
  const child = spawn(
    'srt-live-transmit',
    ['-chunk:1316', '-loglevel:fatal', `srt://127.0.0.1:${port}?mode=listener`, 'file://con'],
    { stdio: ['ignore', 'pipe', 'ignore'] },
  );
  const received = createWriteStream(file);
  child.stdout.pipe(received);
  // It says nothing when it listens.
  await sleep(200);
  return {
    url: `srt://127.0.0.1:${port}`,
    file,
    stop: async () => {
      if (child.exitCode === null && child.signalCode === null) {
        const exited = once(child, 'exit');
        child.kill('SIGINT');
        await exited;
      }
      received.end();
      await finished(received);
    },
  };
}

/** Keeps raw samples (s16le, 48 kHz, mono) as a WAV file. @param folder must exist */
export async function webSocketDestination(folder: string): Promise<Destination> {
  const file = join(folder, 'received.wav');
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0 });
  await once(server, 'listening');
  const samples: Buffer[] = [];
  server.on('connection', (socket) => {
    socket.on('message', (data: Buffer, binary) => {
      if (binary) samples.push(data);
    });
    socket.on('error', () => undefined);
  });
  return {
    url: `ws://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    file,
    stop: async () => {
      for (const socket of server.clients) socket.terminate();
      await new Promise((resolve) => server.close(resolve));
      const written = createWriteStream(file);
      written.write(wavHeader(samples.reduce((sum, { length }) => sum + length, 0)));
      for (const each of samples) written.write(each);
      written.end();
      await finished(written);
    },
  };
}
