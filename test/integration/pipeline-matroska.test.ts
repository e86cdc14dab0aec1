import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { analyse } from '../../src/demo/content/analyse.ts';
import { ffprobe, ffprobeFrames, ffprobePackets } from '../../src/demo/content/ffprobe.ts';
import { AAC, sleep } from '../support/pipeline.ts';
import { pipelineRig } from '../support/pipeline-rig.ts';
import { makeRtpClip } from '../support/rtp-source.ts';

const OPUS = { mode: 'copy', mimeType: 'audio/opus' } as const;

let clips: string;

beforeAll(async () => {
  clips = await mkdtemp(join(tmpdir(), 'sluice-clips-'));
});
afterAll(() => rm(clips, { recursive: true, force: true }));

describe.concurrent('copies into Matroska and sound alone', () => {
  test.for(['vp8', 'vp9'] as const)('%s, whose size changes', async (codec, context) => {
    const { router, start } = await pipelineRig(context);
    const options = { seconds: 3, codec, color: 'blue' } as const;
    const [small, large] = await Promise.all([
      makeRtpClip(clips, `${codec}-small`, options),
      makeRtpClip(clips, `${codec}-large`, { ...options, width: 480, height: 270 }),
    ]);
    const video = { mimeType: codec === 'vp8' ? 'video/VP8' : 'video/VP9' };
    const run = await start({ program: 'passthrough', video, audio: null }, { container: 'matroska' });
    const published = await router.publish([small, large], { codec, only: 'video', held: true });
    if (!published.video) throw new Error('no video');
    await router.subscribe(run.host, { trackId: 'video', producer: published.video });
    published.source.start();
    await sleep(7000);
    expect(await run.stop()).toBe('exited with code 0');
    const chunks = run.of('chunk');
    expect(chunks.length).toBeGreaterThanOrEqual(5);
    // Every chunk opens by itself, with the size of the first picture in its header.
    let frames = 0;
    const sizes = new Set<string>();
    for (const [index, { file, startNs }] of chunks.entries()) {
      const path = join(run.dir, file);
      const [{ video: stream }, packets, pictures] = await Promise.all([
        ffprobe(path),
        ffprobePackets(path, 'v:0'),
        ffprobeFrames(path),
      ]);
      expect(stream?.codec).toBe(codec);
      expect(packets[0]?.key, file).toBe(true);
      expect(packets[0]?.pts).toBeCloseTo(startNs / 1e9, 1);
      frames += packets.length;
      for (const { width, height } of pictures) sizes.add(`${width}x${height}`);
      if (index > 0) expect(startNs).toBeGreaterThan(chunks[index - 1]?.startNs ?? 0);
    }
    expect(frames).toBeGreaterThanOrEqual(176);
    expect([...sizes]).toEqual(['320x180', '480x270']);
  });

  test('Opus alone, cut by time, through a mute', async (context) => {
    const { router, start } = await pipelineRig(context);
    const clip = await makeRtpClip(clips, 'sound', { seconds: 12 });
    const run = await start({ program: 'passthrough', video: null, audio: OPUS }, { container: 'matroska' });
    const { audio } = await router.publish([clip], { only: 'audio' });
    if (!audio) throw new Error('no audio');
    await router.subscribe(run.host, { trackId: 'audio', producer: audio });
    await sleep(5000);
    await audio.pause();
    await sleep(2000);
    await audio.resume();
    await sleep(2000);
    expect(await run.stop()).toBe('exited with code 0');
    const chunks = run.of('chunk');
    expect(chunks.length).toBeGreaterThanOrEqual(3);
    const times: number[] = [];
    for (const { file } of chunks) {
      const path = join(run.dir, file);
      const { audio: stream } = await ffprobe(path);
      expect(stream?.codec).toBe('opus');
      for (const { pts } of await ffprobePackets(path, 'a:0')) times.push(pts ?? NaN);
    }
    // The mute is silence: packets from the egress's start to its end, but for the moment before sound comes back,
    // which can be told from a packet that is late only when it is too late: the jitterbuffer waits 400 ms for it.
    const gaps = times.slice(1).map((time, index) => time - (times[index] ?? NaN));
    expect(times[0]).toBeLessThan(0.4);
    expect(gaps.filter((gap) => gap > 0.06).length).toBeLessThanOrEqual(2);
    expect(Math.max(...gaps)).toBeLessThan(0.75);
    expect(Math.min(...gaps)).toBeGreaterThan(0);
    expect(times.length).toBeGreaterThan(7.8 * 50);
  });

  test('Opus becomes AAC in a transport stream without video', async (context) => {
    const { router, start } = await pipelineRig(context);
    const clip = await makeRtpClip(clips, 'speech', { seconds: 8 });
    const run = await start({
      program: 'passthrough',
      video: null,
      audio: { mode: 'encode', encoding: AAC },
    });
    const { audio } = await router.publish([clip], { only: 'audio' });
    if (!audio) throw new Error('no audio');
    await router.subscribe(run.host, { trackId: 'audio', producer: audio });
    await sleep(5500);
    expect(await run.stop()).toBe('exited with code 0');
    expect(run.of('chunk').length).toBeGreaterThanOrEqual(3);
    const report = await analyse(await run.joined(), {
      tiles: [{ name: 'red', color: 'red', from: 1, to: 5 }],
    });
    expect(report.audio).toMatchObject({ codec: 'aac', sampleRate: 48_000, channels: 2, gaps: [] });
    expect(report.tiles[0]?.beepShare).toBe(1);
  });
});
