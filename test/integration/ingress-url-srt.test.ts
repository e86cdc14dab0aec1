/** SRT with srt-live-transmit: called by us and calling us, with passphrases and streamids. */
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createGuard } from '../../src/outbound/index.ts';
import type { InputConnection } from '../../src/ingress/inputs/types.ts';
import { urlInput } from '../../src/ingress/inputs/url/index.ts';
import { freePort } from '../support/ports.ts';
import { pull } from '../support/pulled.ts';
import { startSrtSender } from '../support/srt.ts';

const lines: string[] = [];
const logger = pino({ level: 'debug' }, { write: (line: string) => void lines.push(line) });
const guard = createGuard({ allowNetworks: ['127.0.0.0/8'], fileRoots: [], logger });
const connect = (url: string, seconds = 20): Promise<InputConnection> =>
  urlInput({ url, guard, logger }).connect(AbortSignal.timeout(seconds * 1000));
const passphrase = 'a-long-passphrase';
const streamId = '#!::r=cam/1,m=publish';

let folder = '';
let clip = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sluice-srt-'));
  clip = join(folder, 'clip.ts');
  await promisify(execFile)('ffmpeg', [
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
      'sine=440:r=48000',
      '-t',
      '10',
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
      clip,
    ],
  ]);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe.concurrent('SRT', () => {
  test('a sender that waits is called', async () => {
    const port = await freePort();
    const sender = startSrtSender({ mode: 'listener', port, clip, passphrase });
    try {
      await sleep(700);
      await expect(connect(`srt://127.0.0.1:${port}?passphrase=another-passphrase`)).rejects.toThrow(
        'the passphrase is wrong',
      );
      await expect(connect(`srt://127.0.0.1:${port}`)).rejects.toThrow(/one side has a passphrase/);
      const connection = await connect(`srt://127.0.0.1:${port}?passphrase=${passphrase}&latency=80`);
      expect(connection.pacing).toBe('timestamps');
      expect(connection.video).toMatchObject({ codec: 'h264', width: 320, height: 180, bFrames: false });
      expect(connection.audio).toMatchObject({ codec: 'aac', sampleRate: 48000, channels: 1 });
      const pulled = await pull(connection, join(folder, 'caller.mkv'), 3);
      expect(pulled.seconds).toBeGreaterThan(2);
      expect(pulled.streams[0]?.rate).toBeGreaterThan(29);
    } finally {
      await sender.stop();
    }
    await expect(connect(`srt://127.0.0.1:${port}?passphrase=${passphrase}`)).rejects.toMatchObject({
      message: 'the other side does not answer',
      retry: true,
    });
  });

  test('a sender that calls is taken with the right passphrase and streamid only, and again after it went', async (context) => {
    const port = await freePort();
    const url = `srt://:${port}?mode=listener&passphrase=${passphrase}&streamid=${encodeURIComponent(streamId)}`;
    const connecting = connect(url, 30);
    await sleep(500);
    const refused = async (
      options: { passphrase?: string; streamId?: string },
      why: RegExp,
    ): Promise<void> => {
      const sender = startSrtSender({ mode: 'caller', port, clip, ...options });
      try {
        await context.expect.poll(() => sender.said, { timeout: 5000 }).toMatch(why);
      } finally {
        await sender.stop();
      }
    };
    await refused({ passphrase, streamId: 'cam/2' }, /Application-defined rejection/);
    await refused({ passphrase }, /Application-defined rejection/);
    await refused({ passphrase: 'another-passphrase', streamId }, /Incorrect passphrase/);
    await refused({ streamId }, /Password required/);
    const sender = startSrtSender({ mode: 'caller', port, clip, passphrase, streamId });
    try {
      const connection = await connecting;
      expect(connection.video).toMatchObject({ codec: 'h264', width: 320 });
      connection.data.resume();
      await refused({ passphrase, streamId }, /Application-defined rejection/);
      const busy = connect(`srt://0.0.0.0:${port}?mode=listener`);
      await expect(busy).rejects.toThrow(/it is in use/);
      const from = performance.now();
      await sender.stop();
      expect((await connection.ended).type).toBe('lost');
      expect(performance.now() - from).toBeLessThan(6000);
    } finally {
      await sender.stop();
    }
    const next = connect(url);
    const back = startSrtSender({ mode: 'caller', port, clip, passphrase, streamId });
    try {
      const connection = await next;
      expect(connection.video?.codec).toBe('h264');
      await connection.close();
    } finally {
      await back.stop();
    }
  });

  test('a listener that nobody calls waits until it is told to stop, and lets its port go', async () => {
    const port = await freePort();
    for (let round = 0; round < 2; round += 1) {
      const abort = new AbortController();
      const connecting = urlInput({ url: `srt://127.0.0.1:${port}?mode=listener`, guard, logger }).connect(
        abort.signal,
      );
      setTimeout(() => abort.abort(new Error('enough')), 600);
      await expect(connecting).rejects.toThrow('enough');
    }
  });
});

test('no log line showed a passphrase or streamid', () => {
  const said = lines.join('\n');
  expect(said.length).toBeGreaterThan(1000);
  expect(said).not.toContain(passphrase);
  expect(said).not.toContain(streamId);
});
