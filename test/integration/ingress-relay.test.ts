/** RTMP publishers through the relay: FFmpeg publishes to the real server, the worker's client reads over HTTP. */
import { execFile, spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { finished } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { IngressInfo, IngressInput, IngressState, IngressState_Status } from '@livekit/protocol';
import { fastify } from 'fastify';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, it, type TestContext } from 'vitest';
import { createAccessToken } from '../../src/auth/token.ts';
import { TokenVerifier } from '../../src/auth/verify.ts';
import { createRtmpServer } from '../../src/ingress/inputs/rtmp/index.ts';
import type { RtmpServer } from '../../src/ingress/inputs/rtmp/index.ts';
import type { InputConnection } from '../../src/ingress/inputs/types.ts';
import { relayInput, relayPlugin, RtmpRelay } from '../../src/ingress/relay/index.ts';
import { connectRedis, createIngressStore } from '../../src/store/index.ts';
import type { IngressStore } from '../../src/store/index.ts';
import { startRedis } from '../support/redis.ts';
import type { TestRedis } from '../support/redis.ts';

const run = promisify(execFile);
const KEY = 'devkey';
const SECRET = 'a-secret-of-at-least-32-characters!';
const GRACE_MS = 3000;
const logger = pino({ level: 'silent' });
/** As the worker's of that session. */
const token = (url: string) =>
  createAccessToken({
    ...{ key: KEY, secret: SECRET, ttl: 60, grants: {} },
    job: { door: 'relay', id: url.slice(url.lastIndexOf('/') + 1), attempt: 1 },
  });

let folder: string;
let server: TestRedis;
/** Pictures with B-frames and a keyframe each second, and sound. */
const clip = (name: string, args: string): Promise<unknown> =>
  run('ffmpeg', [
    ...'-v error -y -f lavfi -i testsrc2=s=320x180:r=25 -f lavfi -i sine=r=44100'.split(' '),
    ...'-t 12 -c:v libx264 -preset veryfast -pix_fmt yuv420p -g 25 -b:v 300k'.split(' '),
    ...args.split(' '),
    join(folder, name),
  ]);

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sluice-relay-'));
  server = await startRedis();
  await Promise.all([
    clip('b.flv', '-bf 2 -c:a aac -ac 2'),
    clip('plain.flv', '-bf 0 -c:a aac -ac 2'),
    clip('silent.flv', '-bf 2 -an'),
  ]);
});
afterAll(async () => {
  await server.stop();
  await rm(folder, { recursive: true, force: true });
});

interface Rig {
  relay: RtmpRelay;
  rtmp: RtmpServer;
  store: IngressStore;
  queued: { ingressId: string; attempt: number }[];
  publish: (file: string, key?: string) => ChildProcess;
  /** The session's URL, when it has begun. */
  sessionUrl: () => Promise<string>;
  read: (url: string) => Promise<InputConnection>;
  status: () => Promise<IngressState_Status | undefined>;
}

let databases = 0;

/** A relay with an ingress, and a database of Redis, of a test's own. */
async function start(context: Pick<TestContext, 'expect' | 'onTestFinished'>): Promise<Rig> {
  const redis = connectRedis({ url: `${server.url}/${databases++}`, logger });
  await redis.ready();
  const store = createIngressStore(redis, logger);
  const queued: Rig['queued'] = [];
  const relay = new RtmpRelay({
    ...{ store, logger, graceMs: GRACE_MS, relayUrl: () => httpUrl, bridgeUrl: () => 'ws://host/bridge' },
    queue: { add: async (ingressId, attempt) => void queued.push({ ingressId, attempt }) },
  });
  const rtmp = await createRtmpServer({ host: '127.0.0.1', port: 0, authorise: relay.authorise, logger });
  const http = fastify({ forceCloseConnections: true });
  void http.register(relayPlugin(relay, new TokenVerifier({ [KEY]: SECRET })));
  const httpUrl = await http.listen({ host: '127.0.0.1', port: 0 });
  const children = new Set<ChildProcess>();
  const connections = new Set<InputConnection>();
  context.onTestFinished(async () => {
    for (const connection of connections) await connection.close();
    for (const child of children) child.kill('SIGKILL');
    await rtmp.close();
    await relay.close();
    await http.close();
    await store.close();
    await redis.close();
    expect(relay.size).toBe(0);
  });
  const info = new IngressInfo({
    ...{ ingressId: 'IN_1', streamKey: 'key1', inputType: IngressInput.RTMP_INPUT, reusable: true },
    ...{ roomName: 'demo', participantIdentity: 'obs', state: new IngressState() },
  });
  await store.create({ ingressId: 'IN_1', info, streamKey: 'key1', sourceUrl: '', createdAtMs: Date.now() });
  return {
    ...{ relay, rtmp, store, queued },
    publish(file, key = 'key1') {
      const to = `rtmp://127.0.0.1:${rtmp.port}/live/${key}`;
      const args = ['-v', 'error', '-re', '-i', join(folder, file), '-c', 'copy', '-f', 'flv', to];
      const child = spawn('ffmpeg', args, { stdio: ['ignore', 'ignore', 'pipe'] });
      children.add(child);
      child.once('exit', () => children.delete(child));
      return child;
    },
    async sessionUrl() {
      await context.expect.poll(() => queued.length, { timeout: 10_000 }).toBeGreaterThan(0);
      const source = (await store.get('IN_1'))?.session?.source;
      if (source?.type !== 'relay') throw new Error('no relay session');
      return source.url;
    },
    async read(url) {
      const input = relayInput({ url, token: () => token(url), logger });
      const connection = await input.connect(AbortSignal.timeout(15_000));
      connections.add(connection);
      return connection;
    },
    status: async () => (await store.get('IN_1'))?.info.state?.status,
  };
}

async function kill(child: ChildProcess): Promise<void> {
  const exit = once(child, 'exit');
  child.kill('SIGKILL');
  await exit;
}

interface Packet {
  codec_type: 'audio' | 'video';
  pts_time: string;
  dts_time: string;
  flags: string;
}

/** What an independent demuxer reads in it. */
async function packets(file: string): Promise<Packet[]> {
  const { stdout } = await run('ffprobe', [
    ...['-v', 'error', '-show_entries', 'packet=codec_type,pts_time,dts_time,flags', '-of', 'json', file],
  ]);
  return (JSON.parse(stdout) as { packets: Packet[] }).packets;
}

const INACTIVE = IngressState_Status.ENDPOINT_INACTIVE;

// At once: they wait for media, and for its absence.
describe.concurrent('a publisher of the relay', () => {
  it('that is killed and returns goes on in the same FLV', async (context) => {
    const { queued, publish, sessionUrl, read, status } = await start(context);
    const first = publish('b.flv');
    const connection = await read(await sessionUrl());
    expect(connection).toMatchObject({
      ...{ container: 'flv', pacing: 'arrival' },
      video: { codec: 'h264', profile: 'High', width: 320, height: 180, bFrames: true, framerate: 25 },
      audio: { codec: 'aac', sampleRate: 44_100, channels: 2 },
    });
    const file = join(folder, 'read.flv');
    const written = createWriteStream(file);
    connection.data.pipe(written);
    await sleep(2000);
    await kill(first);
    await sleep(1500);
    const second = publish('b.flv');
    await sleep(3000);
    expect(connection.measures().video?.framerate).toBeCloseTo(25, -0.5);
    await kill(second);
    const goneAt = Date.now();
    expect(await connection.ended).toEqual({ type: 'complete' });
    expect(Date.now() - goneAt).toBeGreaterThan(GRACE_MS - 500);
    await finished(written);
    // One session, one job; the reader did not end it in the store, so the relay did.
    expect(queued).toHaveLength(1);
    await context.expect.poll(status, { timeout: 8000 }).toBe(INACTIVE);

    const all = await packets(file);
    for (const kind of ['video', 'audio'] as const) {
      const times = all
        .filter((packet) => packet.codec_type === kind)
        .map((packet) => Number(packet.dts_time));
      const steps = times.slice(1).map((time, i) => time - times[i]!);
      expect(Math.min(...steps), kind).toBeGreaterThan(0);
      // One gap, as long as nobody published.
      const gaps = steps.filter((step) => step > 0.5);
      expect(gaps, kind).toHaveLength(1);
      expect(gaps[0]!).toBeGreaterThan(1.2);
      expect(gaps[0]!).toBeLessThan(3.5);
      expect(times.at(-1)! - times[0]!, kind).toBeGreaterThan(5.5);
    }
    const video = all.filter(({ codec_type }) => codec_type === 'video');
    expect(video[0]!.flags).toContain('K');
    expect(video.filter(({ pts_time, dts_time }) => pts_time !== dts_time).length).toBeGreaterThan(50);
    // Sound and picture stay together across the return.
    const end = (kind: string) =>
      Number(all.filter(({ codec_type }) => codec_type === kind).at(-1)!.dts_time);
    expect(Math.abs(end('video') - end('audio'))).toBeLessThan(0.3);
    // Every picture can be decoded.
    const { stderr } = await run('ffmpeg', ['-v', 'error', '-i', file, '-f', 'null', '-']);
    expect(stderr).toBe('');
  });

  it('is read from its newest keyframe by the worker that comes next', async (context) => {
    const { relay, publish, sessionUrl, read } = await start(context);
    publish('plain.flv');
    const url = await sessionUrl();
    await sleep(2500);
    const first = await read(url);
    expect(first.video?.bFrames).toBe(false);
    first.data.resume();
    const second = await read(url);
    expect(await first.ended).toMatchObject({ type: 'lost' });
    const pieces: Buffer[] = [];
    second.data.on('data', (piece: Buffer) => pieces.push(piece));
    await sleep(1000);
    await second.close();
    const whole = Buffer.concat(pieces);
    // Live edge: about a second of one keyframe distance and the second we read, not all since the beginning.
    expect(whole.length).toBeLessThan((2.6 * (300_000 + 130_000)) / 8);
    // The worker is gone, the publisher is not.
    expect(relay.size).toBe(1);
  });

  it('that returns with other settings is read anew', async (context) => {
    const { publish, sessionUrl, read } = await start(context);
    const first = publish('plain.flv');
    const url = await sessionUrl();
    const connection = await read(url);
    connection.data.resume();
    await sleep(1000);
    await kill(first);
    const second = publish('b.flv');
    expect(await connection.ended).toMatchObject({
      type: 'lost',
      reason: expect.stringContaining('codecs') as string,
    });
    const again = await read(url);
    expect(again.video).toMatchObject({ bFrames: true });
    again.data.resume();
    await kill(second);
    publish('silent.flv');
    expect(await again.ended).toMatchObject({ type: 'lost' });
    expect((await read(url)).audio).toBeUndefined();
  });

  it('is refused when somebody publishes, when the key is unknown, and when it is disabled', async (context) => {
    const { relay, rtmp, store, queued, publish, sessionUrl, read } = await start(context);
    publish('plain.flv');
    await sessionUrl();
    await sleep(500);
    const refused = async (key: string): Promise<number | null> => {
      const child = publish('plain.flv', key);
      const [code] = (await once(child, 'exit')) as [number | null];
      return code;
    };
    expect(await refused('key1')).not.toBe(0);
    expect(await refused('nokey')).not.toBe(0);
    expect(relay.size).toBe(1);
    expect(queued).toHaveLength(1);
    const url = await sessionUrl();
    const connection = await read(url);
    connection.data.resume();
    await store.update('IN_1', (info) => {
      info.enabled = false;
      return info;
    });
    expect(await connection.ended).toEqual({ type: 'complete' });
    await context.expect.poll(() => rtmp.connections).toBe(0);
    expect(await refused('key1')).not.toBe(0);
    expect(relay.size).toBe(0);
  });

  it('is hung up on when its ingress is deleted or its session is ended elsewhere', async (context) => {
    const { relay, store, queued, publish, sessionUrl, read, status } = await start(context);
    const child = publish('plain.flv');
    const gone = once(child, 'exit');
    const url = await sessionUrl();
    relay.end('IN_1');
    await gone;
    await context.expect.poll(status).toBe(INACTIVE);
    await expect(read(url)).rejects.toMatchObject({ name: 'InputError', retry: false });
    queued.length = 0;
    const next = once(publish('plain.flv'), 'exit');
    await sessionUrl();
    await store.delete('IN_1');
    await next;
    expect(relay.size).toBe(0);
  });

  it('that has fallen silent makes room for the next connection', async (context) => {
    const { relay, queued, publish, sessionUrl, read } = await start(context);
    const first = publish('plain.flv');
    const connection = await read(await sessionUrl());
    connection.data.resume();
    first.kill('SIGSTOP');
    await sleep(3500);
    const gone = once(first, 'exit');
    const second = publish('plain.flv');
    await sleep(2000);
    first.kill('SIGCONT');
    await Promise.race([gone, sleep(3000).then(() => Promise.reject(new Error('the first goes on')))]);
    await sleep(1000);
    expect(second.exitCode).toBeNull();
    expect(connection.measures().video?.framerate).toBeGreaterThan(5);
    expect(queued).toHaveLength(1);
    expect(relay.size).toBe(1);
  });

  it('is hung up on when the server goes, and its worker is not told that it was done', async (context) => {
    const { relay, publish, sessionUrl, read, status } = await start(context);
    const gone = once(publish('plain.flv'), 'exit');
    const connection = await read(await sessionUrl());
    connection.data.resume();
    await relay.close();
    expect(await connection.ended).toMatchObject({ type: 'lost' });
    await gone;
    expect(await status()).toBe(INACTIVE);
  });

  it('is shown to workers only', async (context) => {
    const { publish, sessionUrl } = await start(context);
    publish('plain.flv');
    const url = await sessionUrl();
    const status = async (headers: Record<string, string>) => (await fetch(url, { headers })).status;
    const other = await createAccessToken({ key: KEY, secret: SECRET, grants: { roomList: true } });
    expect(await status({})).toBeGreaterThanOrEqual(400);
    const admin = await createAccessToken({ key: KEY, secret: SECRET, grants: { ingressAdmin: true } });
    for (const wrong of [other, admin, await token('IR_another')]) {
      expect(await status({ authorization: `Bearer ${wrong}` })).toBeGreaterThanOrEqual(400);
    }
    const unreachable = relayInput({
      url: 'http://127.0.0.1:1/ingress/relay/x',
      token: () => token('x'),
      logger,
    });
    await expect(unreachable.connect(AbortSignal.timeout(5000))).rejects.toMatchObject({ retry: true });
  });
});

// Alone: Redis is shared.
it('a publisher of the relay that returns while Redis is silent goes on: its session is known here', async (context) => {
  const { relay, publish, sessionUrl, read } = await start(context);
  const first = publish('plain.flv');
  const url = await sessionUrl();
  const connection = await read(url);
  connection.data.resume();
  const session = relay.session(url.split('/').at(-1)!)!;
  server.pause();
  try {
    await kill(first);
    await context.expect.poll(() => session.free).toBe(true);
    publish('plain.flv');
    await context.expect.poll(() => session.free, { timeout: GRACE_MS }).toBe(false);
  } finally {
    server.resume();
  }
  expect(session.over).toBe(false);
});
