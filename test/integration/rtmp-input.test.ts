/** Our RTMP server with senders nobody here wrote: FFmpeg, GStreamer's own RTMP, and librtmp (as OBS has it). */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, type TestContext } from 'vitest';
import { analyse } from '../../src/demo/content/analyse.ts';
import { ffprobe, ffprobePackets } from '../../src/demo/content/ffprobe.ts';
import { runTool } from '../../src/demo/content/tool.ts';
import { createRtmpServer, flvTag } from '../../src/ingress/inputs/rtmp/index.ts';
import { makeClip } from '../support/content/clip.ts';
import { audioMessage, messageBytes, publishBytes, videoMessage } from '../support/rtmp-bytes.ts';
import { startRtmpReceiver } from '../support/rtmp-receiver.ts';
import type { RtmpReceiver } from '../support/rtmp-receiver.ts';
import { statuses } from '../support/rtmp-session.ts';
import { silentLogger } from '../support/sfu.ts';

const KEY = 'SECRET-stream-key';
const SECONDS = 5;
const FRAMES = SECONDS * 30;
/** What OBS encodes with when nothing was changed, as far as a short clip can tell. */
const OBS = [
  ...[
    '-c:v',
    'libx264',
    '-preset',
    'veryfast',
    '-profile:v',
    'high',
    '-bf',
    '2',
    '-g',
    '60',
    '-pix_fmt',
    'yuv420p',
  ],
  ...['-b:v', '1M', '-maxrate', '1M', '-bufsize', '1M', '-c:a', 'aac', '-b:a', '160k', '-ac', '2'],
];
const tiles = [{ name: 'one', color: 'red' as const }];

let folder: string;
let clip: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sluice-rtmp-input-'));
  clip = join(folder, 'clip.mp4');
  await makeClip(clip, { seconds: SECONDS, encode: OBS });
});
afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
});

type Context = Pick<TestContext, 'expect' | 'onTestFinished'>;

async function start(
  { onTestFinished }: Context,
  options: Parameters<typeof startRtmpReceiver>[0] = {},
): Promise<RtmpReceiver> {
  const receiver = await startRtmpReceiver(options);
  onTestFinished(async () => {
    await receiver.close();
    expect(JSON.stringify(receiver.log)).not.toContain(KEY);
  });
  return receiver;
}

const ffmpeg = (url: string, ...more: string[]) =>
  runTool('ffmpeg', ['-v', 'error', '-nostdin', '-i', clip, '-c', 'copy', ...more, '-f', 'flv', url], {
    timeoutMs: 30_000,
  });

const gstreamer = (sink: string, url: string) =>
  runTool(
    'gst-launch-1.0',
    [
      ...[
        '-q',
        'filesrc',
        `location=${clip}`,
        '!',
        'qtdemux',
        'name=d',
        'flvmux',
        'name=m',
        'streamable=true',
        '!',
        sink,
      ],
      ...[`location=${url}`, 'd.video_0', '!', 'queue', '!', 'h264parse', '!', 'm.'],
      ...['d.audio_0', '!', 'queue', '!', 'aacparse', '!', 'm.'],
    ],
    { timeoutMs: 30_000 },
  );

/** Every frame of the clip, in order, with the times it has. */
async function expectWhole(context: Context, receiver: RtmpReceiver, index = 0): Promise<string> {
  const published = receiver.published[index]!;
  await context.expect.poll(() => published.ends.length, { timeout: 5000 }).toBe(1);
  const file = await receiver.write(published);
  const { tiles: seen } = await analyse(file, { tiles });
  expect(seen[0]).toMatchObject({ first: 0, last: FRAMES - 1, read: FRAMES, share: 1, inOrder: true });
  const { audio } = await ffprobe(file);
  expect(audio).toMatchObject({ codec: 'aac', sampleRate: 48_000, channels: 2 });
  const [sent, received] = await Promise.all([ffprobePackets(clip, 'v:0'), ffprobePackets(file, 'v:0')]);
  const offset = received[0]!.pts! - sent[0]!.pts!;
  received.forEach(({ pts }, place) => expect(pts! - offset).toBeCloseTo(sent[place]!.pts!, 2));
  return file;
}

// At once: half of the senders send as it plays.
describe.concurrent('what OBS encodes, sent by', () => {
  test('FFmpeg: every packet, to the bit', async (context) => {
    const receiver = await start(context);
    await ffmpeg(receiver.url(KEY));
    const file = await expectWhole(context, receiver);
    expect(receiver.published[0]).toMatchObject({
      request: { app: 'live', streamKey: KEY, remoteAddress: '127.0.0.1', secure: false },
      ends: [{ reason: 'the sender ended its stream', orderly: true }],
    });
    const digest = async (from: string, stream: string) =>
      (await runTool('ffmpeg', ['-v', 'error', '-i', from, '-map', stream, '-c', 'copy', '-f', 'md5', '-']))
        .stdout;
    for (const stream of ['0:v', '0:a']) expect(await digest(file, stream)).toBe(await digest(clip, stream));
    const { video } = await ffprobe(file);
    expect(video).toMatchObject({ codec: 'h264', width: 320, height: 180 });
    expect(video!.bFrames).toBeGreaterThan(0);
    expect(receiver.closings()).toMatchObject([
      { reason: 'the sender ended its stream and hung up', level: 30 },
    ]);
  });

  test('GStreamer (rtmp2sink)', async (context) => {
    const receiver = await start(context);
    await gstreamer('rtmp2sink', receiver.url(KEY));
    await expectWhole(context, receiver);
    expect(receiver.published[0]!.ends[0]).toMatchObject({ orderly: true });
  });

  test('librtmp (rtmpsink)', async (context) => {
    const receiver = await start(context);
    await gstreamer('rtmpsink', receiver.url(KEY));
    await expectWhole(context, receiver);
    expect(receiver.published[0]!.ends[0]).toMatchObject({ orderly: true });
  });

  test('FFmpeg over RTMPS', async (context) => {
    const [cert, key] = [join(folder, 'cert.pem'), join(folder, 'key.pem')];
    await runTool('openssl', [
      ...['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '1', '-keyout', key, '-out', cert],
      ...['-subj', '/CN=localhost'],
    ]);
    const receiver = await start(context, { tls: { cert: await readFile(cert), key: await readFile(key) } });
    await ffmpeg(receiver.url(KEY), '-tls_verify', '0');
    await expectWhole(context, receiver);
    expect(receiver.published[0]!.request.secure).toBe(true);

    const plain = await receiver.connect();
    plain.write(publishBytes(KEY));
    await once(plain.resume(), 'close');
    await context.expect.poll(() => receiver.closings().at(-1)?.reason).toMatch(/^no TLS: /);
    expect(receiver.server.connections).toBe(0);
  });
});

test('the key where encoders put it, with a query and behind an instance', async (context) => {
  const receiver = await start(context);
  for (const url of [
    receiver.url(`${KEY}?token=1`),
    receiver.url(KEY, 'live/instance'),
    `${receiver.url(KEY)}/`,
  ]) {
    await ffmpeg(url, '-t', '0.2');
  }
  for (const { request } of receiver.published)
    expect(request).toMatchObject({ app: 'live', streamKey: KEY });
  expect(receiver.published).toHaveLength(3);
});

test('MP3 passes', async (context) => {
  const receiver = await start(context);
  const lame = ['-t', '1', '-c:a', 'libmp3lame', '-ar', '44100'];
  await ffmpeg(receiver.url(KEY), ...lame);
  await context.expect.poll(() => receiver.published[0]?.ends.length).toBe(1);
  const { audio } = await ffprobe(await receiver.write(receiver.published[0]!));
  expect(audio).toMatchObject({ codec: 'mp3', sampleRate: 44_100 });
});

describe('refused', () => {
  test('an unknown key: FFmpeg and librtmp see it before they send media', async (context) => {
    const receiver = await start(context, { refuse: () => 'no ingress has this stream key' });
    await expect(ffmpeg(receiver.url(KEY))).rejects.toThrow(/Server error: no ingress has this stream key/);
    await expect(gstreamer('rtmpsink', receiver.url(KEY))).rejects.toThrow(/Could not connect|BadName/);
    await expect(gstreamer('rtmp2sink', receiver.url(KEY))).rejects.toThrow(/publish/i);
    expect(receiver.published).toEqual([]);
    for (const { reason, level } of receiver.closings()) {
      expect(reason).toBe('refused: no ingress has this stream key');
      expect(level).toBe(40);
    }
    expect(receiver.closings()).toHaveLength(3);
  });

  test('a codec we do not take', async (context) => {
    const receiver = await start(context);
    const sorenson = ['-c:v', 'flv1', '-re'];
    await expect(ffmpeg(receiver.url(KEY), ...sorenson.slice(0, 2), '-an')).rejects.toThrow(
      /Server error: Sorenson H.263 in RTMP is not supported; send H.264|Broken pipe|Connection reset/,
    );
    expect(receiver.published[0]!.ends).toHaveLength(1);
    expect(receiver.published[0]!.tags.filter(({ type }) => type === 'video')).toEqual([]);
    expect(receiver.closings()[0]!.reason).toBe(
      'refused: Sorenson H.263 in RTMP is not supported; send H.264',
    );
  });

  test('HEVC of enhanced RTMP', async (context) => {
    const receiver = await start(context);
    const socket = await receiver.connect();
    const received: Buffer[] = [];
    socket.on('data', (bytes: Buffer) => received.push(bytes));
    const hevc = Buffer.from('9068766331000000', 'hex');
    socket.write(
      Buffer.concat([
        publishBytes(KEY),
        messageBytes(4, { type: 9, streamId: 1, timestamp: 0, payload: hevc }),
      ]),
    );
    await once(socket, 'close');
    expect(statuses(received).at(-1)).toBe(
      'NetStream.Publish.Rejected: HEVC in RTMP is not supported; send H.264',
    );
  });

  test('a player', async (context) => {
    const receiver = await start(context);
    await expect(
      runTool('ffprobe', ['-v', 'error', receiver.url(KEY)], { timeoutMs: 10_000 }),
    ).rejects.toThrow(/play is not supported: streams are taken here, not played/);
  });

  test('more connections than are allowed, told in the protocol', async (context) => {
    const receiver = await start(context, { limits: { maxConnectionsPerAddress: 1 } });
    const first = await receiver.connect();
    await expect(ffmpeg(receiver.url(KEY))).rejects.toThrow(
      /Server error: too many connections from this address/,
    );
    first.destroy();
    await context.expect.poll(() => receiver.server.connections).toBe(0);
    await ffmpeg(receiver.url(KEY), '-t', '0.2');
    const flood = await Promise.all(
      Array.from({ length: 30 }, () => receiver.connect().catch(() => undefined)),
    );
    await context.expect.poll(() => receiver.server.connections).toBeLessThanOrEqual(1 + 16);
    for (const socket of flood) socket?.on('error', () => undefined).destroy();
    await context.expect.poll(() => receiver.server.connections).toBe(0);
  });
});

test('a sender that is killed, and one that is closed by us', async (context) => {
  const receiver = await start(context);
  const send = (key: string) =>
    spawn('ffmpeg', ['-v', 'error', '-re', '-i', clip, '-c', 'copy', '-f', 'flv', receiver.url(key)], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
  const media = (index: number) =>
    receiver.published[index]?.tags.filter(({ type }) => type !== 'data').length ?? 0;
  const killed = send(`${KEY}-1`);
  await context.expect.poll(() => media(0), { timeout: 5000 }).toBeGreaterThan(20);
  killed.kill('SIGKILL');
  await context.expect
    .poll(() => receiver.published[0]!.ends, { timeout: 5000 })
    .toMatchObject([{ orderly: false }]);

  const closed = send(`${KEY}-2`);
  let words = '';
  closed.stderr.on('data', (text: Buffer) => (words += text.toString()));
  await context.expect.poll(() => media(1), { timeout: 5000 }).toBeGreaterThan(20);
  const { publisher, ends } = receiver.published[1]!;
  expect(publisher.silentMs).toBeLessThan(2000);
  publisher.close('the ingress was deleted');
  expect(ends).toEqual([{ reason: 'closed: the ingress was deleted', orderly: false }]);
  await once(closed, 'close');
  expect(words).toContain('Server error: the ingress was deleted');
  await context.expect.poll(() => receiver.server.connections).toBe(0);
});

test('a second stream, in aggregates, of hand-made bytes', async (context) => {
  const receiver = await start(context);
  const socket = await receiver.connect();
  const tags = Array.from({ length: 10 }, (_, i) => [
    flvTag({ type: 'video', timestamp: 400 + i * 33, payload: videoMessage(0, 300).payload }),
    flvTag({ type: 'audio', timestamp: 400 + i * 33 + 5, payload: audioMessage(0).payload }),
  ]).flat();
  const aggregate = (timestamp: number) =>
    messageBytes(6, { type: 22, streamId: 1, timestamp, payload: Buffer.concat(tags) });
  socket.write(Buffer.concat([publishBytes('first'), aggregate(0xffffff00), aggregate(0x50)]));
  await context.expect.poll(() => receiver.published[0]?.tags.length).toBe(40);
  const times = receiver.published[0]!.tags.map(({ timestamp }) => timestamp - 0xffffff00);
  const expected = Array.from({ length: 10 }, (_, i) => [i * 33, i * 33 + 5]).flat();
  expect(times).toEqual([...expected, ...expected.map((time) => time + 0x150)]);
  socket.end();
  await once(socket.resume(), 'close');
  expect(receiver.published[0]!.ends).toMatchObject([{ orderly: false }]);
});

test('closing ends every stream; a port that is taken is named', async (context) => {
  const receiver = await start(context);
  const socket = await receiver.connect();
  socket
    .on('error', () => undefined)
    .resume()
    .write(publishBytes(KEY));
  await context.expect.poll(() => receiver.published.length).toBe(1);
  const { port } = receiver.server;
  const again = createRtmpServer({
    host: '127.0.0.1',
    port,
    logger: silentLogger,
    authorise: async () => ({ refuse: 'no' }),
  });
  await expect(again).rejects.toThrow(
    new RegExp(`^cannot listen for RTMP on 127.0.0.1:${port}: .*EADDRINUSE`),
  );
  const broken = { cert: Buffer.from('none'), key: Buffer.from('none') };
  await expect(
    createRtmpServer({
      host: '127.0.0.1',
      port: 0,
      tls: broken,
      logger: silentLogger,
      authorise: async () => ({ refuse: '' }),
    }),
  ).rejects.toThrow(/certificate or key for RTMPS cannot be used/);
  await Promise.all([receiver.server.close(), receiver.server.close(), once(socket, 'close')]);
  expect(receiver.published[0]!.ends).toEqual([{ reason: 'the server is going away', orderly: false }]);
  expect(receiver.server.connections).toBe(0);
});
