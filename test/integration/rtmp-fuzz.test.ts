/** Damaged sessions, and strangers who mean harm: nothing breaks, nothing grows, and each is closed with a reason. */
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { runTool } from '../../src/demo/content/tool.ts';
import { DEFAULT_LIMITS } from '../../src/ingress/inputs/rtmp/index.ts';
import { describeReport, memoryInUse, runFuzzer } from '../fuzz/fuzzer.ts';
import { mutations } from '../fuzz/rtmp-mutations.ts';
import { SMALL_LIMITS as LIMITS, recordedSessions, rtmpFuzzer, rtmpTarget } from '../fuzz/rtmp.ts';
import { random } from '../support/mutate.ts';
import {
  chunkHeader,
  clientHandshake,
  command,
  connectCommand,
  control,
  messageBytes,
  publishBytes,
  videoMessage,
} from '../support/rtmp-bytes.ts';
import { startRtmpReceiver } from '../support/rtmp-receiver.ts';
import type { RtmpReceiver } from '../support/rtmp-receiver.ts';
import { RECORDED_KEY } from '../support/rtmp-recording.ts';
import type { Recording } from '../support/rtmp-recording.ts';
import { harness, settle } from '../support/rtmp-session.ts';

const SOCKETS = 400;
const SEED = 1935;
const MIB = 1024 * 1024;
let recordings: Recording[];
beforeAll(async () => {
  recordings = await recordedSessions();
  for (const { name, bytes } of recordings) expect(bytes.length, name).toBeGreaterThan(5000);
});

const receivers: RtmpReceiver[] = [];
afterAll(async () => {
  for (const receiver of receivers) await receiver.close();
});
async function start(options: Parameters<typeof startRtmpReceiver>[0]): Promise<RtmpReceiver> {
  const receiver = await startRtmpReceiver(options);
  receivers.push(receiver);
  return receiver;
}

test('the recordings themselves are taken whole', async () => {
  for (const { name, bytes } of recordings) {
    const seen = harness();
    seen.session.receive(bytes);
    await settle();
    expect(seen.closed, name).toEqual([]);
    expect(seen.ends, name).toMatchObject([{ orderly: true }]);
    expect(seen.tags.filter(({ type }) => type === 'video').length, name).toBeGreaterThan(9);
  }
});

test('damaged sessions', async () => {
  const target = rtmpTarget(recordings);
  const report = await runFuzzer(target, { seed: SEED, count: rtmpFuzzer.count });
  process.stdout.write(`${describeReport('rtmp', SEED, report)}\n${target.coverage()}\n`);
  expect(report.crashes).toEqual([]);
  expect(target.passed.handshake / report.runs).toBeGreaterThan(0.3);
  expect(target.passed.media / report.runs).toBeGreaterThan(0.1);
  expect(report.kinds.size).toBeGreaterThan(15);
  expect(report.grown).toBeLessThan(16 * MIB);
});

test(`${SOCKETS} damaged sessions over sockets, and a sound one after them`, async () => {
  const receiver = await start({
    keep: false,
    limits: { ...LIMITS, handshakeMs: 300, publishMs: 300, idleMs: 300, mediaMs: 600, lingerMs: 200 },
  });
  const next = random(SEED + 1);
  const queue = [...mutations(recordings, SOCKETS, SEED + 1)];
  const before = await memoryInUse();
  const sendAll = async () => {
    for (let session = queue.pop(); session; session = queue.pop()) {
      const socket = await receiver.connect();
      const closed = new Promise((resolve) => socket.once('close', resolve));
      socket.on('error', () => undefined).resume();
      for (const piece of session.pieces.slice(0, 200)) {
        if (socket.destroyed) break;
        if (!socket.write(piece)) await Promise.race([once(socket, 'drain').catch(() => undefined), closed]);
      }
      // Some hang up, some break off, some just stay.
      const fate = next();
      if (fate < 0.5) socket.end();
      else if (fate < 0.7) socket.resetAndDestroy();
      await closed;
    }
  };
  await Promise.all(Array.from({ length: 40 }, sendAll));
  await expect.poll(() => receiver.server.connections, { timeout: 5000 }).toBe(0);
  const closings = receiver.closings();
  expect(closings).toHaveLength(SOCKETS);
  for (const { reason } of closings) expect(reason).toMatch(/^[\x20-\x7e]{8,200}$/);
  expect(JSON.stringify(receiver.log)).not.toContain(RECORDED_KEY);
  expect(receiver.log.filter(({ level }) => level >= 50)).toEqual([]);
  for (const { ends } of receiver.published) expect(ends).toHaveLength(1);
  const grown = (await memoryInUse()) - before;
  process.stdout.write(
    `over sockets: ${SOCKETS}, ${receiver.published.length} published, ` +
      `${new Set(closings.map(({ reason }) => reason)).size} reasons, ${(grown / MIB).toFixed(1)} MiB kept\n`,
  );
  expect(grown).toBeLessThan(16 * MIB);

  const sound = await receiver.connect();
  sound.resume().end(recordings[0]!.bytes);
  await once(sound, 'close');
  await expect.poll(() => receiver.published.at(-1)?.ends).toMatchObject([{ orderly: true }]);
});

/** Writes now and then until it is closed. @returns ms it lived */
async function dribble(socket: Socket, everyMs: number, piece: (count: number) => Buffer): Promise<number> {
  const begun = performance.now();
  let count = 0;
  const timer = setInterval(() => socket.write(piece(count++)), everyMs);
  socket.on('error', () => undefined).resume();
  await once(socket, 'close');
  clearInterval(timer);
  return performance.now() - begun;
}

test('slow loris in the handshake of TLS', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'sluice-rtmp-tls-'));
  try {
    const [cert, key] = [join(folder, 'cert.pem'), join(folder, 'key.pem')];
    await runTool('openssl', [
      ...['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '1', '-keyout', key, '-out', cert],
      ...['-subj', '/CN=localhost'],
    ]);
    const tls = { cert: await readFile(cert), key: await readFile(key) };
    const receiver = await start({ tls, limits: { handshakeMs: 300 } });
    const hello = Buffer.from('160301020001000001fc0303', 'hex');
    const socket = await receiver.connect();
    expect(await dribble(socket, 50, (count) => hello.subarray(count % 12, (count % 12) + 1))).toBeLessThan(
      2500,
    );
    await expect.poll(() => receiver.closings()[0]?.reason).toMatch(/^no TLS: .*timeout/);
    await expect.poll(() => receiver.server.connections).toBe(0);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});

test('slow loris: in the handshake, before publish, and in the middle of a message', async () => {
  const receiver = await start({
    limits: { handshakeMs: 400, publishMs: 400, idleMs: 300, mediaMs: 500, lingerMs: 100 },
  });
  const lived = async (sent: Buffer, piece: (count: number) => Buffer) => {
    const socket = await receiver.connect();
    socket.write(sent);
    return dribble(socket, 40, piece);
  };
  const times = await Promise.all([
    lived(clientHandshake().subarray(0, 1), () => Buffer.from([1])),
    lived(Buffer.concat([clientHandshake(), connectCommand()]), () => command(0, 'noise', 0, null)),
    lived(
      Buffer.concat([
        publishBytes('key-of-loris'),
        messageBytes(4, videoMessage(0, 100_000)).subarray(0, 2000),
      ]),
      () => Buffer.from([0x11]),
    ),
    lived(Buffer.concat([publishBytes('key-of-pings')]), (count) => control(3, count)),
  ]);
  for (const time of times) expect(time).toBeLessThan(2500);
  const reasons = receiver.closings().map(({ reason }) => reason);
  expect(reasons.sort()).toEqual([
    'no RTMP handshake within 400 ms',
    'no audio or video for 500 ms',
    'no audio or video for 500 ms',
    'nothing was published within 400 ms',
  ]);
});

test('bombs by name: each ends its own connection, and takes no memory', async () => {
  const connected = Buffer.concat([clientHandshake(), connectCommand()]);
  const header = (id: number, length: number, type = 9) =>
    chunkHeader({ format: 0, id, length, type, streamId: 1 });
  const deep = Buffer.concat(Array<Buffer>(5000).fill(Buffer.from('0a00000001', 'hex')));
  const amf = (payload: Buffer) => messageBytes(3, { type: 20, streamId: 0, timestamp: 0, payload });
  const published = publishBytes('key-of-bombs');
  const bombs: [string, Buffer, RegExp][] = [
    [
      'a message of 16 MiB',
      Buffer.concat([published, header(4, 0xffffff)]),
      /16777215 bytes; 8388608 are allowed/,
    ],
    [
      'a command of 16 MiB',
      Buffer.concat([connected, header(3, 0xffffff, 20)]),
      /16777215 bytes; 65536 are allowed/,
    ],
    [
      'a picture before publish',
      Buffer.concat([connected, header(4, 65_537)]),
      /65537 bytes; 65536 are allowed/,
    ],
    [
      'memory before publish',
      Buffer.concat([
        connected,
        control(1, 60_000),
        ...Array.from({ length: 17 }, (_, i) => [header(10 + i, 65_536), Buffer.alloc(60_000)]).flat(),
      ]),
      /more than 1048576 bytes of unfinished messages/,
    ],
    [
      'three messages of 8 MiB at once, none of them ended',
      Buffer.concat([
        published,
        control(1, 7 * MIB),
        ...[10, 11, 12].flatMap((id) => [header(id, 8 * MIB), Buffer.alloc(7 * MIB)]),
      ]),
      /more than 16777216 bytes of unfinished messages/,
    ],
    [
      'a chunk stream for each message',
      Buffer.concat([
        connected,
        ...Array.from({ length: 65 }, (_, i) => header(10 + i, 1000)).flatMap((each) => [
          each,
          Buffer.alloc(128),
        ]),
      ]),
      /more than 64 chunk streams/,
    ],
    ['AMF, 5000 deep', Buffer.concat([connected, amf(deep)]), /nested deeper than 16/],
    [
      'an AMF array of 4 billion',
      Buffer.concat([connected, amf(Buffer.from('0affffffff05', 'hex'))]),
      /longer than its message/,
    ],
    [
      'an AMF string of 2 GiB',
      Buffer.concat([connected, amf(Buffer.from('0c7fffffff41', 'hex'))]),
      /ends beyond its message/,
    ],
    [
      '60000 AMF values',
      Buffer.concat([connected, amf(Buffer.alloc(60_000, 6))]),
      /more than 2000 AMF values/,
    ],
    ['chunk size 0', Buffer.concat([connected, control(1, 0)]), /0 is no chunk size/],
    ['HTTP', Buffer.from('GET / HTTP/1.1\r\n\r\n'), /this is no RTMP/],
    ['TLS', Buffer.from('160301020001', 'hex'), /TLS was spoken on a port for RTMP/],
  ];
  const before = await memoryInUse();
  for (const [name, bytes, reason] of bombs) {
    const seen = harness();
    for (let at = 0; at < bytes.length; at += 65_536) {
      seen.session.receive(bytes.subarray(at, at + 65_536));
      if (seen.calls.at(-1) === 'pause') await settle();
      expect(seen.session.pendingBytes, name).toBeLessThanOrEqual(DEFAULT_LIMITS.maxPendingBytes);
    }
    seen.session.hungUp('hung up');
    expect(seen.closed[0]!.reason, name).toMatch(reason);
  }
  expect((await memoryInUse()) - before).toBeLessThan(4 * MIB);
});

test('who asks and never reads the answers is hung up on', async () => {
  const receiver = await start({ limits: { maxUnreadBytes: 32 * 1024 } });
  const socket = await receiver.connect();
  socket.on('error', () => undefined).pause();
  socket.write(publishBytes('a-deaf-sender'));
  const ping = messageBytes(2, {
    type: 4,
    streamId: 0,
    timestamp: 0,
    payload: Buffer.from('000600000001', 'hex'),
  });
  const pings = Buffer.concat(Array<Buffer>(4000).fill(ping));
  for (let i = 0; i < 200 && receiver.closings().length === 0; i++) {
    socket.write(pings);
    await settle();
  }
  await expect.poll(() => receiver.closings()[0]?.reason, { timeout: 5000 }).toBe('answers are not read');
  await expect.poll(() => receiver.server.connections).toBe(0);
  expect(receiver.published[0]!.ends).toHaveLength(1);
  socket.destroy();
});
