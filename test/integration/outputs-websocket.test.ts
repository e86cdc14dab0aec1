/** The WebSocket output against real listeners: good ones, ones that leave, ones that say nothing, ones that refuse. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer as createHttp } from 'node:http';
import type { IncomingMessage } from 'node:http';
import { createServer as createHttps } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { WebSocketServer } from 'ws';
import type { WebSocket } from 'ws';
import { WebSocketOutput } from '../../src/egress/outputs/websocket/index.ts';
import type { WebSocketOutputOptions } from '../../src/egress/outputs/websocket/index.ts';
import { createAddressPolicy } from '../../src/outbound/index.ts';
import { runTool } from '../../src/demo/content/tool.ts';
import { capturedLogger } from '../support/captured-logger.ts';

const SECRET = 'hush-4711';
const cleanups: (() => Promise<unknown>)[] = [];
const { logger, logged } = capturedLogger();

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
  expect(logged.join('')).not.toContain(SECRET);
  logged.length = 0;
});

interface Heard {
  request: IncomingMessage;
  socket: WebSocket;
  raw: Socket;
  /** Samples joined, and texts, in the order they came. */
  messages: (Buffer | string)[];
}

async function listen(tls?: { key: Buffer; cert: Buffer }) {
  const server = tls ? createHttps(tls) : createHttp();
  const verifyClient = ({ req }: { req: IncomingMessage }): boolean => req.url?.startsWith('/audio') ?? false;
  const sockets = new WebSocketServer({ server, verifyClient });
  const heard: Heard[] = [];
  sockets.on('connection', (socket, request) => {
    const one: Heard = { request, socket, raw: request.socket, messages: [] };
    heard.push(one);
    socket.on('message', (data: Buffer, binary) => one.messages.push(binary ? data : data.toString()));
    socket.on('error', () => undefined);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  cleanups.push(
    () =>
      new Promise((resolve) => {
        for (const socket of sockets.clients) socket.terminate();
        server.closeAllConnections();
        server.close(resolve);
      }),
  );
  return { heard, port, url: `ws${tls ? 's' : ''}://127.0.0.1:${port}/audio?token=${SECRET}` };
}

/** Samples that count: what is missing or twice shows. */
function counter(output: WebSocketOutput) {
  let next = 0;
  const timer = setInterval(() => {
    // 50 ms, and never cut where a message is.
    const data = Buffer.alloc(4800);
    for (let at = 0; at < data.length; at += 2) data.writeUInt16LE(next++ % 65_536, at);
    output.push(data.subarray(0, 1001));
    output.push(data.subarray(1001));
  }, 50);
  cleanups.push(async () => clearInterval(timer));
}

function start(options: Omit<WebSocketOutputOptions, 'logger' | 'muted'> & { muted?: boolean }) {
  const output = new WebSocketOutput({ muted: false, logger, ...options });
  cleanups.push(() => output.stop());
  counter(output);
  return output;
}

const samples = ({ messages }: Heard): Buffer =>
  Buffer.concat(messages.filter((message) => typeof message !== 'string'));
const texts = ({ messages }: Heard): string[] => messages.filter((message) => typeof message === 'string');

/** Steps between neighbouring samples that are not one. */
function breaks(data: Buffer): number {
  let found = 0;
  for (let at = 2; at < data.length; at += 2)
    if ((data.readUInt16LE(at) - data.readUInt16LE(at - 2) + 65_536) % 65_536 !== 1) found++;
  return found;
}

it('sends every sample once and says when the track is muted, again over the next connection', async () => {
  const server = await listen();
  const output = start({ url: server.url });
  await expect.poll(() => server.heard[0]?.messages.length ?? 0).toBeGreaterThan(20);
  const [first] = server.heard;
  expect(first!.request.headers['content-type']).toBe('audio/x-raw');
  expect(texts(first!)).toEqual([]);
  const before = samples(first!).length;
  output.setMuted(true);
  await expect.poll(() => texts(first!)).toEqual(['{"muted":true}']);
  // Between the samples it is about.
  const place = first!.messages.findIndex((message) => typeof message === 'string');
  expect(place * 1920).toBeGreaterThanOrEqual(before);
  await expect.poll(() => first!.messages.length).toBeGreaterThan(place + 3);
  expect(output.status).toMatchObject({ state: 'active', retries: 0 });

  first!.socket.terminate();
  await expect.poll(() => server.heard.length, { timeout: 5000 }).toBe(2);
  const [, second] = server.heard;
  await expect.poll(() => second!.messages.length).toBeGreaterThan(10);
  expect(second!.messages[0]).toBe('{"muted":true}');
  expect(output.status).toMatchObject({ state: 'active', retries: 1 });
  output.setMuted(false);
  await expect.poll(() => texts(second!)).toEqual(['{"muted":true}', '{"muted":false}']);
  const closed = new Promise((resolve) => second!.socket.once('close', resolve));
  expect(await output.stop()).toMatchObject({ state: 'finished' });
  expect(await closed).toBe(1000);
  // The second goes on where the first was lost: what waited meanwhile is not lost.
  expect(breaks(samples(first!))).toBe(0);
  expect(breaks(samples(second!))).toBe(0);
  expect(first!.messages.every((message) => typeof message === 'string' || message.length === 1920)).toBe(
    true,
  );
});

it('leaves a listener that answers no more, and keeps no more than it should', async () => {
  const server = await listen();
  const output = start({ url: server.url, limits: { stallMs: 1200, queueMs: 500 } });
  await expect.poll(() => server.heard[0]?.messages.length ?? 0).toBeGreaterThan(5);
  server.heard[0]!.raw.pause();
  await expect.poll(() => server.heard.length, { timeout: 6000 }).toBe(2);
  await expect.poll(() => output.status).toMatchObject({ state: 'active', retries: 1 });
  await expect.poll(() => server.heard[1]!.messages.length).toBeGreaterThan(5);
  expect(logged.join('')).toContain('answered no ping for 1 s');

  // More at once than may wait: what is lost is told of, not with every frame.
  for (let time = 0; time < 3; time++) output.push(Buffer.alloc(96 * 1000));
  expect(logged.filter((line) => line.includes('takes less than is sent'))).toHaveLength(1);
});

it('says why it cannot go on, and goes nowhere it may not', async () => {
  const server = await listen();
  const refused = start({ url: server.url.replace('/audio', '/other') });
  await expect.poll(() => refused.status.state).toBe('failed');
  expect(refused.status.error).toBe(`127.0.0.1:${server.port} answered with status 401`);

  const policy = createAddressPolicy({ allowNetworks: [], setting: 'outbound.allow_networks', logger });
  const guarded = start({ url: server.url, policy });
  await expect.poll(() => guarded.status.state).toBe('failed');
  expect(guarded.status.error).toMatch(/may not be reached.*outbound\.allow_networks/);
  expect(server.heard).toEqual([]);
  const allowed = createAddressPolicy({
    ...{ allowNetworks: ['127.0.0.0/8'], setting: 'outbound.allow_networks', logger },
  });
  const free = start({ url: server.url, policy: allowed });
  await expect.poll(() => free.status.state).toBe('active');

  // Nobody is there: tried for as long as there is hope.
  const nobody = start({ url: 'ws://127.0.0.1:9/audio', limits: { connectMs: 1500 } });
  await expect.poll(() => nobody.status.state, { timeout: 5000 }).toBe('failed');
  expect(nobody.status).toMatchObject({ error: 'connection refused by 127.0.0.1:9' });
  expect(nobody.status.retries).toBeGreaterThan(0);
});

it('trusts wss only with a certificate it can check', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'sluice-wss-'));
  cleanups.push(() => rm(folder, { recursive: true, force: true }));
  const [key, cert] = [join(folder, 'key.pem'), join(folder, 'cert.pem')];
  await runTool('openssl', [
    ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'],
    ...['-subj', '/CN=127.0.0.1', '-addext', 'subjectAltName=IP:127.0.0.1', '-keyout', key, '-out', cert],
  ]);
  const server = await listen({ key: await readFile(key), cert: await readFile(cert) });
  const trusting = start({ url: server.url, caFile: cert });
  const doubting = start({ url: server.url, limits: { connectMs: 500 } });
  await expect.poll(() => trusting.status.state).toBe('active');
  await expect.poll(() => server.heard[0]?.messages.length ?? 0).toBeGreaterThan(5);
  await expect.poll(() => doubting.status.state, { timeout: 5000 }).toBe('failed');
  expect(doubting.status.error).toMatch(/no secure connection to 127\.0\.0\.1:\d+: its certificate/);
  expect(server.heard).toHaveLength(1);
});
