/** Cameras: gst-rtsp-server with the codecs, transports and passwords that cameras have. */
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { AddressInfo, Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createGuard } from '../../src/outbound/index.ts';
import { InputError } from '../../src/ingress/inputs/types.ts';
import type { InputConnection } from '../../src/ingress/inputs/types.ts';
import { urlInput } from '../../src/ingress/inputs/url/index.ts';
import { pull } from '../support/pulled.ts';
import { startRtspCamera } from '../support/rtsp-camera.ts';
import type { RtspCameraOptions } from '../support/rtsp-camera.ts';

const lines: string[] = [];
const logger = pino({ level: 'debug' }, { write: (line: string) => void lines.push(line) });
const guard = createGuard({ allowNetworks: ['127.0.0.0/8'], fileRoots: [], logger });
const connect = (url: string): Promise<InputConnection> =>
  urlInput({ url, guard, logger }).connect(AbortSignal.timeout(20_000));
const failure = async (url: string): Promise<InputError> => {
  const error: unknown = await connect(url).then(
    (connection) => connection.close(),
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(InputError);
  return error as InputError;
};

async function listen(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sluice-rtsp-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

interface Case {
  camera: RtspCameraOptions;
  fragment?: string;
  video?: string;
  audio?: string;
}

const SECRET = 'camera pass 1';
const cases: Case[] = [
  { camera: { user: 'admin', password: SECRET, auth: 'digest' }, video: 'h264', audio: 'aac' },
  {
    camera: { codec: 'h265', audio: 'pcmu', user: 'admin', password: SECRET, auth: 'basic' },
    video: 'hevc',
    audio: 'pcm_mulaw',
  },
  {
    camera: { user: 'admin', password: SECRET, transport: 'udp' },
    fragment: '#transport=udp',
    video: 'h264',
    audio: 'aac',
  },
  { camera: { codec: 'mjpeg', audio: 'none' }, video: 'mjpeg' },
  { camera: { codec: 'none', audio: 'pcma' }, audio: 'pcm_alaw' },
];

describe.concurrent('cameras', () => {
  test('a camera that falls silent is noticed within 6 s, one that goes at once; both can be pulled again', async () => {
    const camera = await startRtspCamera();
    try {
      const silent = await connect(camera.url);
      silent.data.resume();
      camera.pause();
      const from = performance.now();
      expect(await silent.ended).toEqual({ type: 'lost', reason: 'no media came for 5 s' });
      expect(performance.now() - from).toBeLessThan(6000);
      camera.resume();
      const again = await connect(camera.url);
      again.data.resume();
      const stopped = performance.now();
      await camera.stop();
      expect((await again.ended).type).toBe('lost');
      expect(performance.now() - stopped).toBeLessThan(2000);
      await camera.restart();
      await (await connect(camera.url)).close();
    } finally {
      await camera.stop();
    }
  });

  test.each(cases)('%j', async ({ camera: options, fragment = '', video, audio }) => {
    const camera = await startRtspCamera(options);
    try {
      const connection = await connect(camera.url + fragment);
      expect(connection.container).toBe('matroska');
      expect(connection.pacing).toBe('arrival');
      expect(connection.video?.codec).toBe(video);
      expect(connection.audio?.codec).toBe(audio);
      if (video !== undefined) expect(connection.video).toMatchObject({ width: 320, height: 240 });
      if (video === 'h264') expect(connection.video?.bFrames).toBe(false);
      const kinds = [...(video === undefined ? [] : ['video']), ...(audio === undefined ? [] : ['audio'])];
      const pulled = await pull(
        connection,
        join(folder, `${cases.findIndex((each) => each.camera === options)}.mkv`),
        3,
      );
      expect(pulled.streams.map(({ type }) => type)).toEqual(kinds);
      expect(pulled.streams.map(({ codec }) => codec)).toEqual(
        [video, audio].filter((codec) => codec !== undefined),
      );
      expect(pulled.seconds).toBeGreaterThan(2);
      if (video !== undefined) expect(pulled.streams[0]?.rate).toBeGreaterThan(27);
    } finally {
      await camera.stop();
    }
  });
});

describe.concurrent('what is refused', () => {
  test('what a camera says is told: wrong password, wrong path, wrong transport, nobody there', async () => {
    const camera = await startRtspCamera({
      user: 'admin',
      password: SECRET,
      transport: 'udp',
      codec: 'mjpeg',
      audio: 'none',
    });
    try {
      expect((await failure(camera.url.replace('camera%20pass', 'other'))).message).toMatch(
        /user name or password/,
      );
      expect((await failure(camera.url.replace('/stream', '/other'))).message).toMatch(
        /nothing at this path/,
      );
      expect((await failure(camera.url)).message).toMatch(/#transport=udp/);
      await camera.stop();
      const gone = await failure(camera.url);
      expect(gone.message).toMatch(/refused/);
      expect(gone.retry).toBe(true);
    } finally {
      await camera.stop();
    }
  });

  test('rtsps: a certificate nobody vouches for is taken only when told to', async () => {
    const [cert, key] = [join(folder, 'cert.pem'), join(folder, 'key.pem')];
    execFileSync(
      'openssl',
      [
        ...[
          'req',
          '-x509',
          '-newkey',
          'ec',
          '-pkeyopt',
          'ec_paramgen_curve:prime256v1',
          '-nodes',
          '-days',
          '1',
        ],
        ...['-subj', '/CN=camera', '-keyout', key, '-out', cert],
      ],
      { stdio: 'ignore' },
    );
    const camera = await startRtspCamera({ tls: { cert, key }, audio: 'none' });
    try {
      const refused = await failure(camera.url);
      expect(refused.message).toMatch(/certificate is not trusted.*#certificate=any/);
      const connection = await connect(`${camera.url}#certificate=any`);
      expect(connection.video?.codec).toBe('h264');
      await connection.close();
    } finally {
      await camera.stop();
    }
  });

  test('a redirect is not followed', async () => {
    let reached = 0;
    const inner = createServer((socket) => {
      reached += 1;
      socket.destroy();
    });
    const innerPort = await listen(inner);
    const answer = (): string =>
      `RTSP/1.0 302 Moved\r\nCSeq: 1\r\nLocation: rtsp://127.0.0.1:${innerPort}/x\r\n\r\n`;
    const outer = createServer((socket) => {
      socket.on('error', () => undefined);
      socket.once('data', () => socket.write(answer()));
    });
    const outerPort = await listen(outer);
    try {
      const error = await failure(`rtsp://127.0.0.1:${outerPort}/stream`);
      expect(error.message).toMatch(/redirects \(302\)/);
      expect(error.retry).toBe(false);
      expect(reached).toBe(0);
    } finally {
      inner.close();
      outer.close();
    }
  });

  test('a network that is not listed is refused before anything is started', async () => {
    const strict = createGuard({ allowNetworks: [], fileRoots: [], logger });
    const pulling = urlInput({ url: 'rtsp://admin:pw-secret@127.0.0.1/x', guard: strict, logger }).connect(
      AbortSignal.timeout(5000),
    );
    await expect(pulling).rejects.toThrow(/127\.0\.0\.0\/8.*ingress\.allow_networks/);
    await expect(pulling).rejects.not.toThrow(/pw-secret/);
  });

  test('an aborted connect leaves with its reason', async () => {
    const server = createServer();
    const port = await listen(server);
    try {
      const abort = new AbortController();
      const pulling = urlInput({
        url: `rtsp://127.0.0.1:${port}/`,
        guard,
        logger,
      }).connect(abort.signal);
      setTimeout(() => abort.abort(new Error('enough')), 300);
      await expect(pulling).rejects.toThrow('enough');
    } finally {
      server.close();
    }
  });
});

test('no log line showed the password', () => {
  const said = lines.join('\n');
  expect(said.length).toBeGreaterThan(1000);
  expect(said).not.toContain(SECRET);
  expect(said).not.toContain(encodeURIComponent(SECRET));
});
