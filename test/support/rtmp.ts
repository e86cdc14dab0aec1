/**
 * RTMP receivers for tests: nginx with its RTMP module, FFmpeg as a server, and ports that misbehave. Each
 * has a `close` that ends what was started and removes its folder, `sluice-rtmp-*` in the temp folder.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { freePort } from './ports.ts';

const START_TIMEOUT_MS = 10_000;
const STOP_TIMEOUT_MS = 5000;
const APP = 'live';

export interface NginxStream {
  name: string;
  publishing: boolean;
  /** Since the publisher connected. */
  bytesIn: number;
  /** ms since the publisher connected. */
  time: number;
}

export interface NginxRtmp {
  readonly pid: number;
  readonly port: number;
  /** `rtmp://127.0.0.1:…/live/<key>`, to publish to and to play from. */
  url(key: string): string;
  /** Streams that have a publisher or players now. */
  streams(): Promise<NginxStream[]>;
  /** FLV files recorded of a stream, one for each time it was published, oldest first. */
  recordings(key: string): Promise<string[]>;
  /** For SIGSTOP and SIGCONT. */
  signal(signal: 'SIGSTOP' | 'SIGCONT'): void;
  close(): Promise<void>;
}

/** Starts nginx on free ports; every stream published to it is recorded. */
export async function startNginxRtmp(): Promise<NginxRtmp> {
  const folder = await mkdtemp(join(tmpdir(), 'sluice-rtmp-'));
  const [port, statPort] = [await freePort(), await freePort()];
  const recordings = join(folder, 'recordings');
  await mkdir(recordings);
  await writeFile(join(folder, 'nginx.conf'), nginxConfig(folder, recordings, port, statPort));
  const child = spawn(
    'nginx',
    ['-p', folder, '-c', join(folder, 'nginx.conf'), '-e', join(folder, 'error.log')],
    {
      stdio: 'ignore',
    },
  );
  const close = closer(child, folder, 'SIGQUIT');
  try {
    await listening(child, [port, statPort], async () => readFile(join(folder, 'error.log'), 'utf8'));
  } catch (error) {
    await close();
    throw error;
  }
  return {
    pid: child.pid!,
    port,
    url: (key) => `rtmp://127.0.0.1:${port}/${APP}/${key}`,
    streams: async () => parseStat(await (await fetch(`http://127.0.0.1:${statPort}/stat`)).text()),
    recordings: async (key) => {
      const files = await readdir(recordings);
      // The name ends in the second it began, of equal length for centuries.
      return files
        .filter((file) => new RegExp(`^${key}-\\d+\\.flv$`).test(file))
        .sort()
        .map((file) => join(recordings, file));
    },
    signal: (signal) => void child.kill(signal),
    close,
  };
}

function nginxConfig(folder: string, recordings: string, port: number, statPort: number): string {
  return `
load_module /usr/lib/nginx/modules/ngx_rtmp_module.so;
daemon off;
master_process off;
pid ${folder}/nginx.pid;
events { worker_connections 64; }
rtmp {
  server {
    listen 127.0.0.1:${port};
    application ${APP} {
      live on;
      record all;
      record_path ${recordings};
      record_unique on;
    }
  }
}
http {
  access_log off;
  client_body_temp_path ${folder}/body;
  proxy_temp_path ${folder}/proxy;
  fastcgi_temp_path ${folder}/fastcgi;
  uwsgi_temp_path ${folder}/uwsgi;
  scgi_temp_path ${folder}/scgi;
  server {
    listen 127.0.0.1:${statPort};
    location /stat { rtmp_stat all; }
  }
}
`;
}

/** Streams in nginx-rtmp's statistics (XML). Pure. */
export function parseStat(xml: string): NginxStream[] {
  return [...xml.matchAll(/<stream>(.*?)<\/stream>/gs)].map(([, stream = '']) => {
    // What stands before the clients is the stream's own.
    const [own = ''] = stream.split('<client>');
    const text = (tag: string) => new RegExp(`<${tag}>(.*?)</${tag}>`, 's').exec(own)?.[1] ?? '';
    return {
      name: text('name'),
      publishing: /<publishing\s*\/>/.test(stream),
      bytesIn: Number(text('bytes_in')),
      time: Number(text('time')),
    };
  });
}

export interface FfmpegReceiver {
  readonly pid: number;
  readonly url: string;
  /** Everything received, copied as it came. */
  readonly file: string;
  /** Settles when the publisher has gone and the file is finished, or FFmpeg has ended otherwise. */
  readonly done: Promise<void>;
  signal(signal: 'SIGSTOP' | 'SIGCONT'): void;
  /** Ends FFmpeg and removes the file. */
  close(): Promise<void>;
}

/** An FFmpeg that waits for one publisher and writes what it sends into a file, Matroska by default. */
export async function startFfmpegReceiver(
  key = 'stream',
  extension: 'mkv' | 'flv' = 'mkv',
): Promise<FfmpegReceiver> {
  const folder = await mkdtemp(join(tmpdir(), 'sluice-rtmp-'));
  const port = await freePort();
  const url = `rtmp://127.0.0.1:${port}/${APP}/${key}`;
  const file = join(folder, `received.${extension}`);
  const child = spawn(
    'ffmpeg',
    ['-v', 'error', '-nostdin', '-listen', '1', '-i', url, '-c', 'copy', '-y', file],
    {
      stdio: ['ignore', 'ignore', 'pipe'],
    },
  );
  let words = '';
  child.stderr.on('data', (chunk: Buffer) => (words = (words + chunk.toString('utf8')).slice(-4000)));
  const done = new Promise<void>((resolve) => {
    child.once('close', () => resolve());
    child.once('error', () => resolve());
  });
  const close = closer(child, folder, 'SIGINT');
  try {
    await listening(child, [port], async () => words);
  } catch (error) {
    await close();
    throw error;
  }
  return { pid: child.pid!, url, file, done, signal: (signal) => void child.kill(signal), close };
}

export interface BadPort {
  readonly url: string;
  /** Connections that were tried (not known of a port that refuses). */
  readonly attempts: number;
  close(): Promise<void>;
}

/**
 * A destination that does not work: `refuse` has nobody listening, `hang-up` accepts and closes at once,
 * `never-read` accepts and then neither reads nor writes.
 */
export async function startBadPort(
  behaviour: 'refuse' | 'hang-up' | 'never-read',
  key = 'stream',
): Promise<BadPort> {
  let attempts = 0;
  const sockets = new Set<Socket>();
  const server = createServer({ pauseOnConnect: true }, (socket) => {
    attempts++;
    socket.on('error', () => undefined);
    if (behaviour === 'hang-up') {
      socket.destroy();
      return;
    }
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  const port = await freePort();
  if (behaviour !== 'refuse')
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(port, '127.0.0.1', resolve);
    });
  return {
    url: `rtmp://127.0.0.1:${port}/${APP}/${key}`,
    get attempts() {
      return attempts;
    },
    close: () =>
      new Promise<void>((resolve) => {
        for (const socket of sockets) socket.destroy();
        server.close(() => resolve());
      }),
  };
}

/** Ends the process, however it takes it, and removes the folder. Safe to call twice. */
function closer(child: ChildProcess, folder: string, signal: NodeJS.Signals): () => Promise<void> {
  const ended = new Promise<void>((resolve) => {
    child.once('close', () => resolve());
    child.once('error', () => resolve());
  });
  let closing: Promise<void> | undefined;
  return () =>
    (closing ??= (async () => {
      if (child.exitCode === null && child.signalCode === null && child.pid !== undefined) {
        // A stopped process would not notice.
        child.kill('SIGCONT');
        child.kill(signal);
        const timer = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS);
        await ended;
        clearTimeout(timer);
      }
      await rm(folder, { recursive: true, force: true });
    })());
}

/** Waits until the ports are listened on, without connecting: that would be a publisher already. */
async function listening(child: ChildProcess, ports: number[], words: () => Promise<string>): Promise<void> {
  let failure: Error | undefined;
  child.once('error', (error) => (failure = error));
  for (const deadline = Date.now() + START_TIMEOUT_MS; Date.now() < deadline;) {
    if (failure) throw failure;
    if (child.exitCode !== null) throw new Error(`${child.spawnfile} ended at once: ${await words()}`);
    const open = await listeningPorts();
    if (ports.every((port) => open.has(port))) return;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  throw new Error(`${child.spawnfile} does not listen on ${ports.join(', ')} after ${START_TIMEOUT_MS} ms`);
}

/** TCP ports somebody listens on (IPv4), from the kernel's own table. */
async function listeningPorts(): Promise<Set<number>> {
  const table = await readFile('/proc/net/tcp', 'utf8');
  const ports = new Set<number>();
  for (const line of table.split('\n')) {
    const [, local, , state] = line.trim().split(/\s+/);
    if (state === '0A' && local) ports.add(parseInt(local.split(':')[1] ?? '', 16));
  }
  return ports;
}
