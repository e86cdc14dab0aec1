/** Streams to real RTMP servers: good ones, bad ones, stopped ones. */
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createServer } from 'node:tls';
import { describe, expect, it, type TestContext } from 'vitest';
import { createAddressPolicy } from '../../src/outbound/index.ts';
import { TapFanout } from '../../src/egress/outputs/stream/index.ts';
import type { DestinationState, TapFanoutOptions } from '../../src/egress/outputs/stream/index.ts';
import { makeChunks } from '../support/chunks.ts';
import { ffprobeFrames, ffprobePackets } from '../../src/demo/content/ffprobe.ts';
import type { PacketInfo } from '../../src/demo/content/ffprobe.ts';
import { watchProcesses } from '../support/process-list.ts';
import { withFolder } from '../support/log-fixtures.ts';
import { startBadPort, startFfmpegReceiver, startNginxRtmp } from '../support/rtmp.ts';
import { startTap as makeTap } from '../support/tap-source.ts';
import type { TapSource } from '../support/tap-source.ts';
import { runTool } from '../../src/demo/content/tool.ts';
import { capturedLogger } from '../support/captured-logger.ts';

const { logger, logged } = capturedLogger();

/** What a test has to close, when it is over. */
function rig({ onTestFinished }: Pick<TestContext, 'onTestFinished'>) {
  function use<T extends { close(): Promise<void> }>(resource: T): T {
    onTestFinished(() => resource.close());
    return resource;
  }
  return {
    use,
    fanout: (options: Omit<TapFanoutOptions, 'logger'> = {}): TapFanout =>
      use(new TapFanout({ logger, ...options })),
    startTap: (push: (data: Buffer) => void, kbps?: number): TapSource => {
      const source = makeTap(push, kbps);
      onTestFinished(() => source.stop());
      return source;
    },
  };
}

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

function state(tap: TapFanout, url: string): DestinationState | undefined {
  return tap.statuses.get(url)?.state;
}

/** The largest step between neighbours, which must only go up. */
function largestStep(packets: readonly PacketInfo[]): { step: number; after: PacketInfo | undefined } {
  let largest: { step: number; after: PacketInfo | undefined } = { step: 0, after: undefined };
  for (const [i, packet] of packets.entries()) {
    if (i === 0) continue;
    const step = (packet.dts ?? NaN) - (packets[i - 1]?.dts ?? NaN);
    expect(step).toBeGreaterThan(0);
    if (step > largest.step) largest = { step, after: packet };
  }
  return largest;
}

async function expectDecodes(path: string): Promise<void> {
  const { stderr } = await runTool('ffmpeg', ['-v', 'warning', '-i', path, '-f', 'null', '-']);
  expect(stderr).toBe('');
}

describe.concurrent('three destinations', () => {
  it('do not know of each other: one refuses, one stops for a while', async (context) => {
    const { use, fanout, startTap } = rig(context);
    const [good, slow] = [use(await startNginxRtmp()), use(await startNginxRtmp())];
    const bad = use(await startBadPort('refuse', 'secretkey-refused'));
    const urls = { good: good.url('secretkey-good'), slow: slow.url('secretkey-slow') };
    // A small bound, so that this is too much whatever the kernel holds.
    const tap = fanout({ limits: { connectMs: 5000, queueMs: 1500 } });
    for (const url of [urls.good, urls.slow, bad.url]) tap.add(url);
    const source = startTap((data) => tap.push(data), 8000);
    await context.expect
      .poll(() => [state(tap, urls.good), state(tap, urls.slow)], { timeout: 10_000 })
      .toEqual(['active', 'active']);
    await sleep(2000);
    slow.signal('SIGSTOP');
    // The kernel holds some first, and how much is its own affair.
    const lost = () => logged.find((line) => line.includes('takes less than is sent'));
    await context.expect
      .poll(lost, { timeout: 30_000, interval: 100 })
      .toContain(`:${new URL(urls.slow).port}/`);
    await sleep(1500);
    slow.signal('SIGCONT');
    await sleep(3000);
    expect(state(tap, bad.url)).toBe('failed');
    expect([state(tap, urls.good), state(tap, urls.slow)]).toEqual(['active', 'active']);
    await source.stop();
    await tap.close();

    expect(tap.statuses.get(bad.url)?.error).toMatch(/^connection refused by 127\.0\.0\.1:\d+$/);
    expect(state(tap, urls.good)).toBe('finished');
    await context.expect
      .poll(async () => (await good.streams()).length + (await slow.streams()).length)
      .toBe(0);
    const [goodFile] = await good.recordings('secretkey-good');
    const [slowFile, another] = await slow.recordings('secretkey-slow');
    expect(another).toBeUndefined();
    const smooth = await ffprobePackets(goodFile!, 'v:0');
    expect(smooth[0]).toMatchObject({ key: true });
    expect(smooth[0]?.dts).toBeLessThan(0.2);
    expect(largestStep(smooth).step).toBeLessThan(0.2);
    const broken = largestStep(await ffprobePackets(slowFile!, 'v:0'));
    expect(broken.step).toBeGreaterThan(1);
    expect(broken.after?.key).toBe(true);
    await expectDecodes(goodFile!);
    await expectDecodes(slowFile!);

    // Nothing that was written down, and no status, holds a key.
    expect(logged.length).toBeGreaterThan(3);
    expect(logged.join('') + JSON.stringify([...tap.statuses.values()])).not.toContain('secretkey');
  });

  it('can be added and removed while it goes on', async (context) => {
    const { use, fanout, startTap } = rig(context);
    const nginx = use(await startNginxRtmp());
    const tap = fanout();
    startTap((data) => tap.push(data), 500);
    const [first, second] = [nginx.url('first'), nginx.url('second')];
    tap.add(first);
    await context.expect.poll(() => state(tap, first), { timeout: 10_000 }).toBe('active');
    tap.add(second);
    expect(tap.add(second).state).toBe('connecting');
    await context.expect.poll(() => state(tap, second), { timeout: 10_000 }).toBe('active');
    expect(await tap.remove(first)).toMatchObject({ state: 'finished', retries: 0 });
    await sleep(1000);
    expect(state(tap, second)).toBe('active');
    expect(await tap.remove('rtmp://127.0.0.1/never/added')).toBeUndefined();
    await tap.close();
    const [file] = await nginx.recordings('second');
    expect((await ffprobePackets(file!, 'v:0'))[0]).toMatchObject({ key: true });
  });

  it('that are no stream URLs are refused without repeating them', (context) => {
    const { fanout } = rig(context);
    const tap = fanout();
    for (const url of [
      'http://host/secret',
      'rtmp://host/app/secret swfUrl=x',
      'rtmp://',
      'file:/etc/secret',
      '-i',
    ]) {
      expect(() => tap.add(url)).toThrow(/^not a stream URL/);
      expect(() => tap.add(url)).not.toThrow(/secret/);
    }
  });
});

it.concurrent('a new picture size is a new connection that begins with it', async (context) =>
  withFolder(async (dir) => {
    const { use, fanout } = rig(context);
    const nginx = use(await startNginxRtmp());
    const tap = fanout();
    const url = nginx.url('sizes');
    tap.add(url);
    const small = await makeChunks({ folder: dir, seconds: 6, width: 320, height: 240 });
    const large = await makeChunks({ folder: dir, run: 1, offset: 6, seconds: 6, width: 480, height: 360 });
    // About twice as fast as it would come.
    for (const file of [...small, ...large]) {
      const bytes = await readFile(join(dir, file));
      const piece = Math.ceil(bytes.length / 20);
      for (let at = 0; at < bytes.length; at += piece) {
        tap.push(bytes.subarray(at, at + piece));
        await sleep(50);
      }
    }
    await sleep(1500);
    await tap.close();
    expect(tap.statuses.get(url)).toMatchObject({ state: 'finished', retries: 0 });
    const files = await nginx.recordings('sizes');
    expect(files).toHaveLength(2);
    const widths = await Promise.all(
      files.map(async (file) => [...new Set((await ffprobeFrames(file)).map(({ width }) => width))]),
    );
    expect(widths).toEqual([[320], [480]]);
  }),
);

it.concurrent('FFmpeg as the server gets every frame from the first keyframe on', async (context) => {
  const { use, fanout, startTap } = rig(context);
  const receiver = use(await startFfmpegReceiver('everything'));
  const tap = fanout();
  const source = startTap((data) => tap.push(data), 500);
  tap.add(receiver.url);
  await context.expect.poll(() => state(tap, receiver.url), { timeout: 10_000 }).toBe('active');
  await sleep(3000);
  await source.stop();
  await tap.close();
  await receiver.done;
  const packets = await ffprobePackets(receiver.file, 'v:0');
  expect(packets.length).toBeGreaterThan(80);
  expect(largestStep(packets).step).toBeLessThan(0.05);
  await expectDecodes(receiver.file);
});

// Alone: no process may show a key meanwhile, not even in the name of a recording.
describe('RTMPS', () => {
  /** TLS in front of an RTMP server, with a certificate of its own for `localhost`. */
  async function tlsBefore(
    { onTestFinished }: Pick<TestContext, 'onTestFinished'>,
    rtmpPort: number,
  ): Promise<{ port: number; cert: string }> {
    const folder = await mkdtemp(join(tmpdir(), 'sluice-rtmps-'));
    onTestFinished(() => rm(folder, { recursive: true, force: true }));
    const [cert, key] = [join(folder, 'cert.pem'), join(folder, 'key.pem')];
    await runTool('openssl', [
      ...['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '1', '-keyout', key, '-out', cert],
      ...['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost'],
    ]);
    const server = createServer({ cert: await readFile(cert), key: await readFile(key) }, (socket) => {
      const upstream = connect(rtmpPort, '127.0.0.1');
      for (const each of [socket, upstream]) each.on('error', () => upstream.destroy());
      socket.pipe(upstream).pipe(socket);
    });
    server.on('tlsClientError', () => undefined);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    onTestFinished(() => void server.close());
    return { port: (server.address() as AddressInfo).port, cert };
  }

  it('reaches a server whose certificate is trusted, at the address that was checked, and no other', async (context) => {
    const { use, fanout, startTap } = rig(context);
    const rtmp = use(await startNginxRtmp());
    const { port, cert } = await tlsBefore(context, rtmp.port);
    const url = `rtmps://localhost:${port}/live/secretkey-tls`;
    const watch = watchProcesses((command) => command.includes('ffmpeg'));
    context.onTestFinished(() => watch.stop());
    const plain = `rtmp://live.invalid:${rtmp.port}/live/secretkey-plain`;
    const forbidden = `rtmp://localhost:${rtmp.port}/live/secretkey-inside`;
    // The name is nobody's: only what the policy says of it leads anywhere.
    const policy = { resolve: async () => '127.0.0.1' };
    const trusting = fanout({ caFile: cert, policy });
    const wary = fanout({ limits: { connectMs: 3000 }, policy });
    const strict = fanout({
      policy: createAddressPolicy({ allowNetworks: [], setting: 'outbound.allow_networks', logger }),
    });
    trusting.add(url);
    trusting.add(plain);
    wary.add(url);
    strict.add(forbidden);
    const source = startTap((data) => {
      for (const each of [trusting, wary, strict]) each.push(data);
    });
    await context.expect.poll(() => state(strict, forbidden), { timeout: 10_000 }).toBe('failed');
    expect(strict.statuses.get(forbidden)).toMatchObject({
      retries: 0,
      error: expect.stringContaining('outbound.allow_networks') as string,
    });
    await context.expect.poll(() => state(trusting, plain), { timeout: 10_000 }).toBe('active');
    await context.expect.poll(() => state(trusting, url), { timeout: 10_000 }).toBe('active');
    await context.expect.poll(() => state(wary, url), { timeout: 10_000 }).toBe('failed');
    expect(wary.statuses.get(url)?.error).toMatch(/no secure connection to localhost: its certificate/);
    await context.expect
      .poll(async () => (await rtmp.streams()).map(({ name }) => name).toSorted())
      .toEqual(['secretkey-plain', 'secretkey-tls']);
    await source.stop();
    await trusting.close();
    const [recording] = await rtmp.recordings('secretkey-tls');
    await watch.stop();
    await expectDecodes(recording!);
    expect(logged.join('')).not.toContain('secretkey');
    expect([...watch.seen].join('\n')).toContain('ffmpeg ');
    expect([...watch.seen].join('\n')).not.toContain('secretkey');
  });
});
