/** Streams to real SRT listeners: encrypted ones, ones that go away and come back, ones that refuse. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { TapFanout } from '../../src/egress/outputs/stream/index.ts';
import type { DestinationStatus } from '../../src/egress/outputs/stream/index.ts';
import { SrtGate } from '../../src/ingress/inputs/url/srt-gate.ts';
import { createAddressPolicy } from '../../src/outbound/index.ts';
import { ffprobePackets } from '../../src/demo/content/ffprobe.ts';
import { runTool } from '../../src/demo/content/tool.ts';
import { watchProcesses } from '../support/process-list.ts';
import { freePort } from '../support/ports.ts';
import { startSrtReceiver } from '../support/srt.ts';
import { startTap } from '../support/tap-source.ts';
import { capturedLogger } from '../support/captured-logger.ts';

const PASSPHRASE = 'hush-4711-hush';
const STREAM_ID = '#!::r=hush-4711,m=publish';
const cleanups: (() => Promise<unknown>)[] = [];
const { logger, logged } = capturedLogger();
let folder = '';

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sluice-srt-out-'));
  cleanups.push(() => rm(folder, { recursive: true, force: true }));
});
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
  logged.length = 0;
});

function receiver(port: number, name: string, passphrase?: string) {
  const file = join(folder, name);
  const started = startSrtReceiver(port, file, passphrase);
  cleanups.push(() => started.kill());
  return { ...started, file, kill: () => started.kill() };
}

const policy = createAddressPolicy({
  ...{ allowNetworks: ['127.0.0.0/8'], setting: 'outbound.allow_networks', logger },
});

function fanout(limits: ConstructorParameters<typeof TapFanout>[0]['limits'] = {}) {
  const tap = new TapFanout({ logger, policy, limits });
  cleanups.push(() => tap.close());
  const source = startTap((data) => tap.push(data), 1500, 30);
  cleanups.push(() => source.stop());
  const status = (url: string): DestinationStatus | undefined => tap.statuses.get(url);
  return { tap, status };
}

/** It decodes without a word, and begins with a keyframe. */
async function expectWhole(file: string, seconds: number): Promise<void> {
  const packets = await ffprobePackets(file, 'v:0');
  expect(packets[0]).toMatchObject({ key: true });
  expect(packets.length).toBeGreaterThan(seconds * 30);
  const { stderr } = await runTool('ffmpeg', ['-v', 'error', '-i', file, '-map', '0:a', '-f', 'null', '-']);
  expect(stderr).toBe('');
}

it('arrives encrypted under its stream id, and goes on when the listener was away', async () => {
  const watch = watchProcesses((command) => /^(ffmpeg|prlimit|setpriv|unshare)\b/.test(command));
  const [target, port] = [await freePort(), await freePort()];
  // Lets in nobody without the stream id.
  const gate = await SrtGate.open({ host: '127.0.0.1', port, target, streamId: STREAM_ID, logger });
  cleanups.push(async () => gate.close());
  const first = receiver(target, 'first.ts', PASSPHRASE);
  const { tap, status } = fanout();
  const url = `srt://127.0.0.1:${port}?passphrase=${PASSPHRASE}&pbkeylen=32&latency=150&streamid=${STREAM_ID}`;
  tap.add(url);
  await expect.poll(() => status(url)?.state, { timeout: 15_000 }).toBe('active');
  await expect
    .poll(async () => (await ffprobePackets(first.file, 'v:0').catch(() => [])).length, { timeout: 10_000 })
    .toBeGreaterThan(70);
  await first.kill();
  await expect.poll(() => status(url)?.state, { timeout: 15_000 }).toBe('reconnecting');
  // The gate is for one caller.
  gate.close();
  const second = receiver(port, 'second.ts', PASSPHRASE);
  await expect.poll(() => status(url)?.state, { timeout: 20_000 }).toBe('active');
  expect(status(url)?.retries).toBeGreaterThan(0);
  await expect
    .poll(async () => (await ffprobePackets(second.file, 'v:0').catch(() => [])).length, { timeout: 10_000 })
    .toBeGreaterThan(70);
  expect(await tap.remove(url)).toMatchObject({ state: 'finished', error: undefined });
  await Promise.all([second.kill(), watch.stop()]);
  await expectWhole(first.file, 2);
  await expectWhole(second.file, 2);

  expect(status(url)?.redactedUrl).not.toContain('4711');
  expect(logged.join('')).not.toContain('hush-4711');
  expect([...watch.seen].some((text) => /^ffmpeg .* srt:\/\/127\.0\.0\.1:\d+$/.test(text))).toBe(true);
  expect([...watch.seen].filter((text) => text.includes('4711'))).toEqual([]);
});

it('says why nobody takes it', async () => {
  const [closed, port] = [await freePort(), await freePort()];
  receiver(port, 'other.ts', 'another-passphrase');
  const { tap, status } = fanout({ connectMs: 2500 });
  const nobody = `srt://127.0.0.1:${closed}`;
  const wrong = `srt://127.0.0.1:${port}?passphrase=${PASSPHRASE}`;
  const none = `srt://127.0.0.1:${port}`;
  for (const url of [nobody, wrong, none]) tap.add(url);
  const states = () => [nobody, wrong, none].map((url) => status(url)?.state);
  await expect.poll(states, { timeout: 20_000 }).toEqual(['failed', 'failed', 'failed']);
  expect(status(nobody)?.error).toBe(`127.0.0.1:${closed} did not answer in time`);
  expect(status(wrong)?.error).toBe(`127.0.0.1:${port} rejected the stream: the passphrase is wrong`);
  expect(status(none)?.error).toBe(
    `127.0.0.1:${port} rejected the stream: one side has a passphrase and the other has none`,
  );
});
