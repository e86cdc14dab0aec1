/** What `ps` shows while streams go out and sources come in: no key, no password, no path of a camera. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { pino } from 'pino';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { TapFanout } from '../../src/egress/outputs/stream/index.ts';
import { urlInput } from '../../src/ingress/inputs/url/index.ts';
import { createGuard } from '../../src/outbound/index.ts';
import { runTool } from '../../src/demo/content/tool.ts';
import { pull } from '../support/pulled.ts';
import { descendants, watchProcesses } from '../support/process-list.ts';
import { startRtspCamera } from '../support/rtsp-camera.ts';
import { startNginxRtmp } from '../support/rtmp.ts';

const SECRET = 'hush-4711';
const lines: string[] = [];
const logger = pino({ level: 'trace' }, { write: (line: string) => void lines.push(line) });
const guard = createGuard({ allowNetworks: ['127.0.0.0/8'], fileRoots: [], logger });
/** FFmpeg, and the programs that start it: the cameras, servers and FFprobe of the test do not count. */
const ours = (command: string): boolean => /^(ffmpeg|prlimit|setpriv|unshare|gjs)\b/.test(command);

let folder = '';
let clip = '';
beforeAll(async () => {
  process.env.SLUICE_API_SECRET_OF_A_TEST = SECRET;
  folder = await mkdtemp(join(tmpdir(), 'sluice-ps-'));
  clip = join(folder, 'clip.ts');
  await runTool('ffmpeg', [
    ...[
      '-v',
      'error',
      '-f',
      'lavfi',
      '-i',
      'testsrc2=size=320x180:rate=30',
      '-f',
      'lavfi',
      '-i',
      'sine=r=48000',
    ],
    ...['-t', '6', '-c:v', 'libx264', '-preset', 'ultrafast', '-bf', '0', '-g', '30', '-pix_fmt', 'yuv420p'],
    ...['-c:a', 'aac', clip],
  ]);
});
afterAll(async () => {
  delete process.env.SLUICE_API_SECRET_OF_A_TEST;
  await rm(folder, { recursive: true, force: true });
});

/** The clip on the web, for those who know the password. */
async function webServer(): Promise<{ port: number; close(): void }> {
  const bytes = await readFile(clip);
  const expected = `Basic ${Buffer.from(`user:${SECRET}`).toString('base64')}`;
  const server = createServer((request, response) => {
    const known = request.headers.authorization === expected;
    response.writeHead(known ? 200 : 401, known ? {} : { 'www-authenticate': 'Basic realm="x"' });
    if (!known || request.method !== 'GET') return void response.end();
    // Its reader is there long enough to be looked at.
    response.write(bytes.subarray(0, bytes.length / 2));
    setTimeout(() => response.end(bytes.subarray(bytes.length / 2)), 1500);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { port: (server.address() as AddressInfo).port, close: () => void server.close() };
}

it('shows no secret of a destination or a source, and no environment of ours', async () => {
  const watch = watchProcesses(ours);
  const [nginx, camera, web] = await Promise.all([
    startNginxRtmp(),
    startRtspCamera({ user: 'admin', password: SECRET }),
    webServer(),
  ]);
  const tap = new TapFanout({ logger });
  try {
    const keys = [`${SECRET}-plain`, `${SECRET}-asked?token=${SECRET}&x=%20#='"$(id)`];
    for (const key of keys) tap.add(nginx.url(key));
    const connect = async (url: string, name: string) => {
      const connection = await urlInput({ url, guard, logger }).connect(AbortSignal.timeout(15_000));
      return pull(connection, join(folder, name), 2);
    };
    const pulled = Promise.all([
      connect(camera.url.replace('/stream', `/stream?token=${SECRET}`), 'camera.mkv'),
      connect(`http://user:${SECRET}@127.0.0.1:${web.port}/clip.ts?token=${SECRET}`, 'web.mkv'),
    ]);
    const bytes = await readFile(clip);
    const piece = Math.ceil(bytes.length / 60);
    for (let at = 0; at < bytes.length; at += piece) {
      tap.push(bytes.subarray(at, at + piece));
      await sleep(50);
    }
    // It is received under its name, so it was a real push with its whole key.
    const names = (await nginx.streams()).map(({ name }) => name);
    expect(names.sort()).toEqual([`${SECRET}-asked`, `${SECRET}-plain`]);
    for (const { seconds } of await pulled) expect(seconds).toBeGreaterThan(1);
  } finally {
    await tap.close();
    await watch.stop();
    await Promise.all([nginx.close(), camera.stop()]);
    web.close();
  }
  const seen = [...watch.seen];
  // All four were looked at while they ran.
  expect(seen.filter((text) => text.startsWith('ffmpeg ') && text.includes('rtmp://127.0.0.1')).length).toBe(
    1,
  );
  expect(seen.some((text) => /^ffmpeg .*rtsp:\/\/127\.0\.0\.1:\d+\/source/.test(text))).toBe(true);
  expect(seen.some((text) => text.startsWith('ffmpeg ') && text.includes('http://'))).toBe(true);
  expect(seen.filter((text) => text.includes(SECRET))).toEqual([]);
  expect(lines.filter((line) => line.includes(SECRET))).toEqual([]);
  expect((await descendants()).filter(({ command }) => ours(command))).toEqual([]);
});
