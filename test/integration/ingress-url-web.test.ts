/** Files and HLS, of nginx and of this machine: what is played, and what is refused wherever it is named. */
import { execFile, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createGuard, GuardError } from '../../src/outbound/index.ts';
import type { Guard } from '../../src/outbound/index.ts';
import { InputError } from '../../src/ingress/inputs/types.ts';
import type { InputConnection } from '../../src/ingress/inputs/types.ts';
import { urlInput } from '../../src/ingress/inputs/url/index.ts';
import { pull } from '../support/pulled.ts';
import { startWeb } from '../support/web.ts';
import type { Web } from '../support/web.ts';

const run = promisify(execFile);
const ffmpeg = (...args: string[]) => run('ffmpeg', ['-v', 'error', '-nostdin', '-y', ...args]);
const lines: string[] = [];
const logger = pino({ level: 'debug' }, { write: (line: string) => void lines.push(line) });
const SECRET = 'pass word/1';
const CREDENTIALS = `user:${encodeURIComponent(SECRET)}@`;

let folder = '';
let web: Web;
let guard: Guard;
/** On 127.0.0.2, which is not listed: counts who comes. */
let forbidden: Server;
let forbiddenUrl = '';
let visits = 0;

const connect = (url: string, by: Guard = guard): Promise<InputConnection> =>
  urlInput({ url, guard: by, logger }).connect(AbortSignal.timeout(20_000));
const failure = async (url: string, by: Guard = guard): Promise<InputError> => {
  const error: unknown = await connect(url, by).then(
    (connection) => connection.close(),
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(InputError);
  return error as InputError;
};
const out = (name: string): string => join(folder, `${name}.mkv`);
const playlist = (...more: string[]): string =>
  ['#EXTM3U', '#EXT-X-VERSION:3', '#EXT-X-TARGETDURATION:2', ...more, ''].join('\n');

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sluice-url-web-'));
  const root = join(folder, 'www');
  await mkdir(root);
  const clip = join(root, 'clip.mp4');
  await ffmpeg(
    ...[
      '-f',
      'lavfi',
      '-i',
      'testsrc2=size=320x180:rate=30',
      '-f',
      'lavfi',
      '-i',
      'sine=440:r=44100',
      '-t',
      '4',
    ],
    ...[
      '-c:v',
      'libx264',
      '-preset',
      'ultrafast',
      '-bf',
      '0',
      '-g',
      '30',
      '-pix_fmt',
      'yuv420p',
      '-c:a',
      'aac',
      '-ac',
      '2',
    ],
    ...['-movflags', '+faststart', clip],
  );
  const cut = ['-i', clip, '-c', 'copy', '-f', 'hls', '-hls_time', '1', '-hls_playlist_type', 'vod'];
  await Promise.all([
    ffmpeg(...cut, join(root, 'vod.m3u8')),
    ffmpeg(
      ...cut,
      '-hls_segment_type',
      'fmp4',
      '-hls_fmp4_init_filename',
      'init.mp4',
      join(root, 'fmp4.m3u8'),
    ),
    ffmpeg('-i', clip, '-c', 'copy', '-metadata:s:v', 'rotate=90', join(root, 'turned.mp4')),
    ffmpeg(
      '-i',
      clip,
      '-map',
      '0',
      '-map',
      '0:v',
      '-c',
      'copy',
      '-c:v:1',
      'mjpeg',
      '-frames:v:1',
      '1',
      '-disposition:v:1',
      'attached_pic',
      join(root, 'cover.mp4'),
    ),
    ffmpeg('-i', clip, '-vn', '-c:a', 'pcm_s24le', join(root, 'sound.wav')),
    ffmpeg('-i', clip, '-c', 'copy', '-f', 'mpegts', join(root, 'clip.ts')),
  ]);
  const entries = [320, 640, 1920].map(
    (width) =>
      `#EXT-X-STREAM-INF:BANDWIDTH=${width * 1000},RESOLUTION=${width}x${(width * 9) / 16}\n${width === 640 ? 'vod.m3u8' : `http://127.0.0.2:1/${width}.m3u8`}`,
  );
  await writeFile(join(root, 'master.m3u8'), `#EXTM3U\n${entries.slice(0, 2).join('\n')}\n`);
  await writeFile(join(root, 'text.mp4'), 'this is not media\n'.repeat(1000));
  forbidden = createServer((_request, response) => {
    visits += 1;
    response.end();
  });
  forbidden.listen(0, '127.0.0.2');
  await once(forbidden, 'listening');
  forbiddenUrl = `http://127.0.0.2:${(forbidden.address() as AddressInfo).port}`;
  const key = (uri: string): string =>
    playlist(`#EXT-X-KEY:METHOD=AES-128,URI="${uri}"`, '#EXTINF:1,', 'vod0.ts', '#EXT-X-ENDLIST');
  const segment = (uri: string): string => playlist('#EXTINF:1,', uri, '#EXT-X-ENDLIST');
  for (const [name, text] of Object.entries({
    'segment.m3u8': segment(`${forbiddenUrl}/a.ts`),
    'segment-file.m3u8': segment('file:///etc/passwd'),
    'segment-proxy.m3u8': segment(forbiddenUrl.replace('http:', 'httpproxy:')),
    'segment-tcp.m3u8': segment(forbiddenUrl.replace('http:', 'tcp:')),
    'segment-concat.m3u8': segment('concat:/etc/passwd|/etc/hosts'),
    'segment-relative.m3u8': segment(`${forbiddenUrl.replace('http:', '')}/a.ts`),
    'key.m3u8': key(`${forbiddenUrl}/key`),
    'key-file.m3u8': key('file:///etc/passwd'),
    'master-evil.m3u8': `#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1000\n${forbiddenUrl}/media.m3u8\n`,
    'segment-redirect.m3u8': segment('/evil.ts'),
  })) {
    await writeFile(join(root, name), text);
  }
  web = await startWeb({
    root,
    redirects: {
      '/moved': '/clip.mp4',
      '/evil.ts': `${forbiddenUrl}/x.ts`,
      '/evil': `${forbiddenUrl}/x.mp4`,
      '/evil-name': 'http://[::ffff:127.0.0.2]/x',
      '/evil-file': 'file:///etc/passwd',
      '/round': '/round',
    },
    ...{ user: 'user', password: SECRET },
  });
  guard = createGuard({ allowNetworks: ['127.0.0.1'], fileRoots: [root], logger });
});

afterAll(async () => {
  forbidden?.close();
  await web?.stop();
  await rm(folder, { recursive: true, force: true });
});

// At once, the longest first: a live stream lasts as long as it does.
describe.concurrent('what is played', () => {
  test('a live stream from near its edge; it is lost when it stops', async () => {
    const live = join(folder, 'www', 'live');
    await mkdir(live);
    const writer = spawn('ffmpeg', [
      ...[
        '-v',
        'error',
        '-nostdin',
        '-re',
        '-i',
        join(folder, 'www', 'clip.mp4'),
        '-c',
        'copy',
        '-f',
        'hls',
        '-hls_time',
        '1',
      ],
      ...['-hls_list_size', '4', '-hls_flags', 'omit_endlist', join(live, 'index.m3u8')],
    ]);
    const ended = once(writer, 'exit');
    await sleep(3000);
    const connection = await connect(`${web.url}/live/index.m3u8`);
    expect(connection.pacing).toBe('timestamps');
    connection.data.resume();
    await ended;
    // Nothing new comes, and the playlist does not say that it has ended.
    const from = performance.now();
    expect(await connection.ended).toMatchObject({
      type: 'lost',
      reason: expect.stringMatching(/no media came|stopped/) as string,
    });
    expect(performance.now() - from).toBeLessThan(12_000);
  });

  test.each(['clip.mp4', 'moved', 'vod.m3u8', 'fmp4.m3u8', 'master.m3u8', 'clip.ts'])(
    '%s, to its end',
    async (path) => {
      const connection = await connect(`${web.url}/${path}`);
      expect(connection.pacing).toBe('timestamps');
      expect(connection.video).toMatchObject({
        codec: 'h264',
        width: 320,
        height: 180,
        bFrames: false,
        rotation: 0,
      });
      expect(connection.audio).toMatchObject({ codec: 'aac', sampleRate: 44100, channels: 2 });
      const pulled = await pull(connection, out(path));
      expect(pulled.end).toEqual({ type: 'complete' });
      expect(pulled.streams).toMatchObject([{ type: 'video', packets: 120 }, { type: 'audio' }]);
      expect(pulled.seconds).toBeGreaterThan(3.8);
      expect(pulled.seconds).toBeLessThan(4.3);
    },
  );

  test('a file of this machine: turned, with cover art, sound only', async () => {
    const local = (name: string): string => pathToFileURL(join(folder, 'www', name)).href;
    const turned = await connect(local('turned.mp4'));
    expect(turned.video?.rotation).toBe(270);
    expect((await pull(turned, out('turned'))).end).toEqual({ type: 'complete' });
    const cover = await pull(await connect(local('cover.mp4')), out('cover'));
    expect(cover.streams).toMatchObject([{ type: 'video', codec: 'h264', packets: 120 }, { type: 'audio' }]);
    const sound = await connect(local('sound.wav'));
    expect(sound.video).toBeUndefined();
    expect(sound.audio).toMatchObject({ codec: 'pcm_s24le', channels: 2 });
    expect((await pull(sound, out('sound'))).streams).toEqual([
      expect.objectContaining({ codec: 'pcm_s16le' }),
    ]);
  });

  test('a file that is looped goes on, its timestamps too', async () => {
    const connection = await connect(`${web.url}/clip.mp4#loop`);
    let bytes = 0;
    for await (const data of connection.data as AsyncIterable<Buffer>) {
      bytes += data.length;
      if (bytes > 4_000_000) break;
    }
    await connection.close();
    expect(bytes).toBeGreaterThan(4_000_000);
  });

  test('it is read no faster than it is taken', async () => {
    const connection = await connect(`${web.url}/clip.mp4#loop`);
    await sleep(1500);
    const before = connection.measures().video;
    expect(connection.data.readableLength).toBeLessThan(4_000_000);
    expect(before).toBeDefined();
    await connection.close();
    expect(await connection.ended).toMatchObject({ type: 'lost' });
  });

  test('a user and password are given to the source, and to nobody else', async () => {
    const address = web.url.replace('//', `//${CREDENTIALS}`);
    const file = await pull(await connect(`${address}/private/clip.mp4`), out('private'));
    expect(file.streams).toMatchObject([{ packets: 120 }, {}]);
    const hls = await pull(await connect(`${address}/private/vod.m3u8`), out('private-hls'));
    expect(hls.streams).toMatchObject([{ packets: 120 }, {}]);
    expect((await failure(`${web.url}/private/clip.mp4`)).message).toMatch(/user name or password/);
  });

  test('https, with the certificate checked unless told otherwise', async () => {
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
        ...['-subj', '/CN=localhost', '-keyout', key, '-out', cert],
      ],
      { stdio: 'ignore' },
    );
    const secure = await startWeb({ root: join(folder, 'www'), tls: { cert, key } });
    try {
      expect((await failure(`${secure.url}/vod.m3u8`)).message).toMatch(
        /certificate is not trusted.*#certificate=any/,
      );
      const hls = await pull(await connect(`${secure.url}/master.m3u8#certificate=any`), out('https'));
      expect(hls.end).toEqual({ type: 'complete' });
      expect(hls.streams).toMatchObject([{ packets: 120 }, {}]);
    } finally {
      await secure.stop();
    }
  });
});

describe('what is refused', () => {
  test.each([
    ['/evil', /127\.0\.0\.2 is in 127\.0\.0\.0\/8/],
    ['/evil-name', /127\.0\.0\.2, which is in 127\.0\.0\.0\/8/],
    ['/evil-file', /only http and https/],
    ['/segment.m3u8', /127\.0\.0\.2 is in/],
    ['/segment-relative.m3u8', /127\.0\.0\.2 is in/],
    ['/segment-redirect.m3u8', /127\.0\.0\.2 is in/],
    ['/segment-file.m3u8', /names a file: URL/],
    ['/segment-proxy.m3u8', /names a httpproxy: URL/],
    ['/segment-tcp.m3u8', /names a tcp: URL/],
    ['/segment-concat.m3u8', /names a concat: URL/],
    ['/key.m3u8', /127\.0\.0\.2 is in/],
    ['/key-file.m3u8', /names a file: URL/],
    ['/master-evil.m3u8', /127\.0\.0\.2 is in/],
  ])('%s', async (path, reason) => {
    const error = await failure(web.url + path);
    expect(error.message).toMatch(reason);
    expect(error.retry).toBe(false);
    expect(visits).toBe(0);
  });

  test('a playlist among the files of this machine, and what is no media', async () => {
    const local = await failure(pathToFileURL(join(folder, 'www', 'segment-file.m3u8')).href);
    expect(local.message).toMatch(/may not be read/);
    expect((await failure(`${web.url}/text.mp4`)).message).toMatch(/no media/);
    expect((await failure(`${web.url}/nothing.mp4`)).message).toMatch(/404/);
    expect((await failure(`${web.url}/round`)).retry).toBe(true);
  });

  test('a name that changes its mind: every request is checked, and connected to where it was checked', async () => {
    const requested = async (): Promise<number> =>
      (await web.requests()).filter((line) => line.includes('vod3.ts')).length;
    const before = await requested();
    let asked = 0;
    const rebinding: Guard = {
      ...{ check: () => Promise.resolve(), openFile: (url) => guard.openFile(url) },
      resolve(host) {
        expect(host).toBe('changing.test');
        asked += 1;
        if (asked > 4) return Promise.reject(new GuardError('changing.test is 10.0.0.1 now'));
        return Promise.resolve('127.0.0.1');
      },
    };
    const connection = await connect(`http://changing.test:${web.port}/vod.m3u8`, rebinding);
    connection.data.resume();
    await connection.ended;
    expect(asked).toBeGreaterThan(4);
    expect(await requested()).toBe(before);
  });
});

test('no log line showed the password', () => {
  const said = lines.join('\n');
  expect(said.length).toBeGreaterThan(1000);
  for (const secret of [
    SECRET,
    encodeURIComponent(SECRET),
    Buffer.from(`user:${SECRET}`).toString('base64'),
  ]) {
    expect(said).not.toContain(secret);
  }
});
