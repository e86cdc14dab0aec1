/** The RTMP receivers that other tests rely on, with a real publisher. */
import { spawn } from 'node:child_process';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';

import { analyse } from '../../src/demo/content/analyse.ts';
import { makeClip } from '../support/content/clip.ts';
import { ffprobe, ffprobeFrames, ffprobePackets } from '../../src/demo/content/ffprobe.ts';
import { parseStat, startBadPort, startFfmpegReceiver, startNginxRtmp } from '../support/rtmp.ts';
import { runTool } from '../../src/demo/content/tool.ts';

let folder: string;
let source: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sluice-receivers-'));
  source = join(folder, 'source.mp4');
  await makeClip(source, { seconds: 3 });
});
afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
});

const publish = (url: string, ...input: string[]) => [
  '-v',
  'error',
  ...input,
  '-i',
  source,
  '-c',
  'copy',
  '-f',
  'flv',
  url,
];
const tiles = [{ name: 'one', color: 'red' as const }];

test('nginx records what is published, counts it, and leaves nothing behind', async () => {
  const nginx = await startNginxRtmp();
  try {
    await runTool('ffmpeg', publish(nginx.url('first')));
    const publisher = spawn('ffmpeg', publish(nginx.url('second'), '-re'), { stdio: 'ignore' });
    try {
      await expect
        .poll(() => nginx.streams(), { timeout: 5000, interval: 100 })
        .toContainEqual(expect.objectContaining({ name: 'second', publishing: true }));
    } finally {
      publisher.kill('SIGKILL');
    }
    await expect.poll(async () => (await nginx.streams()).length, { timeout: 5000 }).toBe(0);
    const recordings = await nginx.recordings('first');
    expect(recordings).toHaveLength(1);
    expect(await nginx.recordings('second')).toHaveLength(1);
    const { tiles: seen } = await analyse(recordings[0]!, { tiles });
    expect(seen[0]).toMatchObject({ first: 0, share: 1, inOrder: true });
    // nginx lets go of what is still unread when the publisher hangs up.
    expect(seen[0]!.last).toBeGreaterThanOrEqual(87);
  } finally {
    await nginx.close();
  }
  await expect(fetch(`http://127.0.0.1:${nginx.port}/`)).rejects.toThrow();
  await nginx.close();
});

test('FFmpeg receives into a file', async () => {
  const receiver = await startFfmpegReceiver('abc');
  try {
    expect(receiver.url).toMatch(/\/live\/abc$/);
    await runTool('ffmpeg', publish(receiver.url));
    await receiver.done;
    const { tiles: seen } = await analyse(receiver.file, { tiles });
    expect(seen[0]).toMatchObject({ read: 90, share: 1 });
  } finally {
    await receiver.close();
  }
  await expect(readdir(dirname(receiver.file))).rejects.toThrow(/ENOENT/);
});

test('a receiver nobody came to, stopped by a signal, closes as well', async () => {
  const receiver = await startFfmpegReceiver();
  receiver.signal('SIGSTOP');
  await receiver.close();
  await expect(readdir(dirname(receiver.file))).rejects.toThrow(/ENOENT/);
});

test.for(['refuse', 'hang-up'] as const)('a port that does not work: %s', async (behaviour) => {
  const port = await startBadPort(behaviour);
  try {
    await expect(runTool('ffmpeg', publish(port.url), { timeoutMs: 10_000 })).rejects.toThrow(
      /ended with code/,
    );
    expect(port.attempts).toBe(behaviour === 'refuse' ? 0 : 1);
  } finally {
    await port.close();
  }
});

test('a port that never reads keeps its publisher waiting', async () => {
  const port = await startBadPort('never-read');
  try {
    await expect(runTool('ffmpeg', publish(port.url), { timeoutMs: 1500 })).rejects.toThrow(
      /longer than 1500 ms/,
    );
    expect(port.attempts).toBe(1);
  } finally {
    await port.close();
  }
});

test('ffprobe tells streams, packets and frames', async () => {
  const file = await ffprobe(source);
  expect(file.video).toMatchObject({
    codec: 'h264',
    width: 320,
    height: 180,
    averageFps: 30,
    bFrames: 0,
    frames: 90,
  });
  expect(file.audio).toMatchObject({ codec: 'aac', sampleRate: 48_000, channels: 2 });
  expect(file.duration).toBeCloseTo(3, 1);
  const packets = await ffprobePackets(source, 'v:0');
  expect(packets).toHaveLength(90);
  expect(packets[0]).toMatchObject({ pts: 0, key: true });
  expect(packets[1]!.key).toBe(false);
  const frames = await ffprobeFrames(source);
  expect(frames).toHaveLength(90);
  expect(frames[0]).toMatchObject({ key: true, pictureType: 'I', width: 320, height: 180 });
  await expect(ffprobe(join(folder, 'nothing.mp4'))).rejects.toThrow(/No such file/);
});

test('statistics of a stream with players', () => {
  const xml = `<rtmp><server><application><name>live</name><live>
    <stream><name>abc</name><time>2500</time><bw_in>1</bw_in><bytes_in>42</bytes_in>
    <client><id>1</id><time>9</time><publishing/></client><client><id>2</id><time>1</time></client><publishing/><active/></stream>
    <stream><name>waiting</name><time>0</time><bytes_in>0</bytes_in><client><id>3</id></client></stream>
    </live></application></server></rtmp>`;
  expect(parseStat(xml)).toEqual([
    { name: 'abc', publishing: true, bytesIn: 42, time: 2500 },
    { name: 'waiting', publishing: false, bytesIn: 0, time: 0 },
  ]);
});
