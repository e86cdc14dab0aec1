import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, readFile, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';

import { describe, expect, test, type TestContext } from 'vitest';

import { PipelineCommandError, PipelineHost, programFile } from '../../src/pipeline/host.ts';
import { PipelinePool } from '../../src/pipeline/pool.ts';
import { makeClip } from '../support/content/clip.ts';
import { ffprobe } from '../../src/demo/content/ffprobe.ts';
import { AAC, sleep, TestPipeline, X264 } from '../support/pipeline.ts';
import { CODECS, RtpSource } from '../support/rtp-source.ts';
import { silentLogger } from '../support/sfu.ts';

const AUDIO = { program: 'composite', video: null, audio: AAC } as const;
const PASSTHROUGH = {
  program: 'passthrough',
  video: { mimeType: 'video/H264' },
  audio: { mode: 'encode', encoding: AAC },
} as const;
const MOVING = { program: 'composite', video: X264, audio: AAC } as const;

type Finished = Pick<TestContext, 'onTestFinished'>;

async function start(
  { onTestFinished }: Finished,
  ...args: Parameters<typeof TestPipeline.start>
): Promise<TestPipeline> {
  const pipeline = await TestPipeline.start(...args);
  onTestFinished(() => pipeline.close());
  return pipeline;
}

// At once: each waits for what time brings.
describe.concurrent('the pipeline process', () => {
  test('is ended with kill -9 and leaves chunks that can be read', async (context) => {
    const pipeline = await start(context, { ...MOVING, video: { ...X264, keyFrameInterval: 1 } });
    await sleep(4200);
    const announced = pipeline.of('chunk').length;
    expect(await pipeline.host.kill()).toBe('killed');
    expect(announced).toBeGreaterThanOrEqual(2);
    const files = (await readdir(pipeline.dir)).sort();
    // The one that was open is there too, to within what was not yet written.
    expect(files.length).toBe(announced + 1);
    let seconds = 0;
    for (const file of files) seconds += (await ffprobe(join(pipeline.dir, file))).video?.duration ?? 0;
    expect(seconds).toBeGreaterThan(2.7);
  });

  test('that hangs is found and killed', async () => {
    const host = await PipelineHost.start({ logger: silentLogger, hungMs: 1500 });
    const gone = new Promise<string>((resolve) => host.onExit(resolve));
    process.kill(host.pid ?? 0, 'SIGSTOP');
    expect(await gone).toMatch(/^hung: no answer for \d+ ms$/);
    await expect(host.send({ cmd: 'ping' })).rejects.toThrow(PipelineCommandError);
  });

  test('refuses with a reason, and goes on', async (context) => {
    const pipeline = await start(context, AUDIO);
    const { host, dir } = pipeline;
    const connect = {
      cmd: 'connect',
      trackId: 'x',
      syncGroup: 's',
      kind: 'audio',
      codec: { mimeType: 'audio/opus', payloadType: 111, clockRate: 48_000, parameters: {} },
      ssrc: 1,
      remote: { ip: '127.0.0.1', port: 9 },
      muted: false,
    } as const;
    await expect(host.send(connect)).rejects.toThrow('connect: track x is not bound');
    await expect(
      host.send({
        cmd: 'init',
        ...AUDIO,
        epochMs: 0,
        log: { dir, pattern: 'a', container: 'mpegts' },
        tap: false,
      }),
    ).rejects.toThrow('initialised already');
    await expect(host.send({ cmd: 'bind', trackId: 'x', ip: 'nonsense' })).rejects.toThrow(
      'not an IP address',
    );
    const { port } = await host.send({
      cmd: 'bind',
      trackId: 'x',
      ip: '127.0.0.1',
      portMin: 45_000,
      portMax: 45_999,
    });
    expect(port).toBeGreaterThanOrEqual(45_000);
    expect(port).toBeLessThan(46_000);
    await expect(
      host.send({ cmd: 'bind', trackId: 'y', ip: '127.0.0.1', portMin: port, portMax: port }),
    ).rejects.toThrow(`no free UDP port in ${port}-${port}`);
    await expect(host.send({ cmd: 'bind', trackId: 'x', ip: '127.0.0.1' })).rejects.toThrow('bound already');
    await expect(
      host.send({ ...connect, codec: { ...connect.codec, mimeType: 'audio/G722' } }),
    ).rejects.toThrow('codec audio/G722 cannot be received');
    await expect(host.send({ ...connect, kind: 'video' })).rejects.toThrow('is not video');
    await expect(
      host.send({
        ...connect,
        srtp: {
          local: { cryptoSuite: 'AEAD_AES_128_GCM', keyBase64: 'AAAA' },
          remote: { cryptoSuite: 'AEAD_AES_128_GCM', keyBase64: 'AAAA' },
        },
      }),
    ).rejects.toThrow('takes 28 bytes of key and salt, not 3');
    await expect(host.send({ cmd: 'keyFrame' })).rejects.toThrow('no video');
    expect(await pipeline.stop()).toBe('exited with code 0');
  });

  test('fails to start with a reason', async () => {
    await expect(TestPipeline.start(AUDIO, { dir: '/nonexistent' })).rejects.toThrow(
      'folder /nonexistent does not exist',
    );
    await expect(TestPipeline.start(AUDIO, { container: 'matroska' })).rejects.toThrow(
      'AAC goes into mpegts',
    );
    await expect(
      TestPipeline.start({ program: 'passthrough', video: { mimeType: 'video/VP8' }, audio: null }),
    ).rejects.toThrow('video/VP8 is copied into matroska');
    const both = {
      program: 'passthrough',
      video: { mimeType: 'video/VP8' },
      audio: { mode: 'copy', mimeType: 'audio/opus' },
    } as const;
    await expect(TestPipeline.start(both, { container: 'matroska' })).rejects.toThrow(
      'matroska takes one copied stream',
    );
    await expect(TestPipeline.start({ ...MOVING, video: { ...X264, background: 'tartan' } })).rejects.toThrow(
      'background tartan is not a colour',
    );
  });

  test('a log that cannot be written is an error that says so', async (context) => {
    const pipeline = await start(context, AUDIO);
    const { host } = pipeline;
    await rm(pipeline.dir, { recursive: true });
    const gone = new Promise<string>((resolve) => host.onExit(resolve));
    expect(await Promise.race([gone, sleep(9000).then(() => 'runs on')])).toContain('writing to file');
  });

  test('stop answers also when nothing ever came', async (context) => {
    const pipeline = await start(context, {
      program: 'passthrough',
      video: { mimeType: 'video/H264' },
      audio: null,
    });
    await pipeline.host.send({ cmd: 'bind', trackId: 'v', ip: '127.0.0.1' });
    const started = performance.now();
    expect(await pipeline.stop()).toBe('exited with code 0');
    expect(performance.now() - started).toBeLessThan(2500);
    expect(pipeline.of('chunk')).toEqual([]);
  });
});

// Alone: it is held to milliseconds.
test('the pool has one ready at once, and ends its spare', async () => {
  const pool = PipelinePool.egress({ logger: silentLogger });
  await pool.warm();
  const started = performance.now();
  const host = await pool.take();
  const took = performance.now() - started;
  const second = await pool.take();
  await Promise.all([host.kill(), second.kill(), pool.close()]);
  // One that has to be started first takes a quarter of a second.
  expect(took).toBeLessThan(100);
  expect(second.pid).not.toBe(host.pid);
  expect(host.rssBytes).toBeGreaterThanOrEqual(0);
  await expect(pool.take()).rejects.toThrow('closed');
});

/** The program without its host, whose pipes the test handles badly. */
class Bare {
  readonly child: ChildProcess;
  readonly gone: Promise<number | null>;
  lines: string[] = [];

  constructor() {
    this.child = spawn('gjs', ['-m', programFile('egress')], { stdio: ['pipe', 'pipe', 'ignore', 'pipe'] });
    this.gone = new Promise((resolve) => this.child.once('exit', resolve));
    this.#stream(1)
      .setEncoding('utf8')
      .on('data', (text: string) => {
        this.lines.push(...text.split('\n').filter(Boolean));
      });
  }

  #stream(fd: number): Readable {
    const stream = this.child.stdio[fd];
    if (!(stream instanceof Readable)) throw new Error(`file descriptor ${fd} is no pipe to read`);
    return stream;
  }

  get tap(): Readable {
    return this.#stream(3);
  }

  say(command: object): void {
    this.child.stdin?.write(`${JSON.stringify({ id: 1, ...command })}\n`);
  }

  async until(text: string): Promise<void> {
    for (let tries = 0; !this.lines.some((line) => line.includes(text)); tries++) {
      if (tries > 500) throw new Error(`no ${text}`);
      await sleep(20);
    }
  }
}

/** One that records nothing yet, and is talked to until `hush`. */
async function startBare({ onTestFinished }: Finished): Promise<{
  bare: Bare;
  dir: string;
  hush: () => void;
}> {
  const dir = await mkdtemp(join(tmpdir(), 'sluice-pipeline-'));
  const bare = new Bare();
  const talk = setInterval(() => bare.say({ cmd: 'ping' }), 500);
  const hush = () => clearInterval(talk);
  onTestFinished(async () => {
    hush();
    bare.child.kill('SIGKILL');
    await bare.gone;
    await rm(dir, { recursive: true, force: true });
  });
  await bare.until('ready');
  const log = { dir, pattern: 'r0-%06d.ts', container: 'mpegts' };
  bare.say({ cmd: 'init', ...PASSTHROUGH, epochMs: Date.now(), log, tap: true });
  bare.say({ cmd: 'start' });
  return { bare, dir, hush };
}

describe.concurrent('a program whose worker', () => {
  test('does not read the tap records all the same, and ends when told', async (context) => {
    const { bare, dir } = await startBare(context);
    bare.tap.pause();
    const noise = [
      '-vf',
      'noise=alls=100:allf=t',
      '-c:v',
      'libx264',
      '-profile:v',
      'baseline',
      '-preset',
      'ultrafast',
    ];
    const clip = join(dir, 'noise.mkv');
    await makeClip(clip, {
      seconds: 7,
      width: 640,
      height: 360,
      encode: [...noise, '-g', '30', '-b:v', '20M', '-c:a', 'libopus'],
    });
    bare.say({ cmd: 'bind', trackId: 'video', ip: '127.0.0.1' });
    await bare.until('"port":');
    const port = Number(/"port":(\d+)/.exec(bare.lines.join(''))?.[1]);
    bare.say({
      cmd: 'connect',
      trackId: 'video',
      syncGroup: 's',
      kind: 'video',
      codec: CODECS.h264,
      ssrc: 5,
      remote: { ip: '127.0.0.1', port: 9 },
      muted: false,
    });
    const source = new RtpSource({ clips: [clip], videoPort: port, videoSsrc: 5, audioSsrc: 6 });
    source.start();
    await sleep(8000);
    await source.stop();
    bare.say({ cmd: 'stop' });
    expect(await bare.gone).toBe(0);
    expect(bare.lines.at(-1)).toContain('eos');
    // More than a pipe and the tap's queue hold together: it was not read, and it was not waited for.
    const files = (await readdir(dir)).filter((file) => file.endsWith('.ts')).sort();
    expect(bare.lines.filter((line) => line.includes('"chunk"')).length).toBe(files.length);
    let bytes = 0;
    for (const file of files) bytes += (await readFile(join(dir, file))).length;
    expect(bytes).toBeGreaterThan(12e6);
    expect((await ffprobe(join(dir, 'r0-000001.ts'))).video?.codec).toBe('h264');
  });

  test('closes the tap records all the same', async (context) => {
    const { bare, dir } = await startBare(context);
    await sleep(1000);
    bare.tap.destroy();
    await bare.until('live tap');
    await sleep(3500);
    bare.say({ cmd: 'stop' });
    expect(await bare.gone).toBe(0);
    expect(bare.lines.at(-1)).toContain('eos');
    // Four seconds of silence in AAC, and nothing else: no track came.
    expect((await readFile(join(dir, 'r0-000000.ts'))).length).toBeGreaterThan(30_000);
  });

  test('closes stdin ends at once', async (context) => {
    const { bare, hush } = await startBare(context);
    await sleep(500);
    hush();
    bare.child.stdin?.end();
    const started = performance.now();
    expect(await bare.gone).toBe(2);
    expect(performance.now() - started).toBeLessThan(1000);
  });

  test('says nothing for five seconds ends', async (context) => {
    const { bare, hush } = await startBare(context);
    hush();
    const started = performance.now();
    expect(await bare.gone).toBe(2);
    expect(performance.now() - started).toBeGreaterThan(4000);
    expect(performance.now() - started).toBeLessThan(7500);
  });
});
