import { createSocket } from 'node:dgram';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { analyse } from '../../src/demo/content/analyse.ts';
import { ffprobeFrames, ffprobePackets } from '../../src/demo/content/ffprobe.ts';
import { AAC, sleep, type TestPipeline } from '../support/pipeline.ts';
import { pipelineRig } from '../support/pipeline-rig.ts';
import type { PipelineRig } from '../support/pipeline-rig.ts';
import { UdpPath } from '../support/network.ts';
import { makeRtpClip, type TestRouter } from '../support/rtp-source.ts';

const PASSTHROUGH = {
  program: 'passthrough',
  video: { mimeType: 'video/H264' },
  audio: { mode: 'encode', encoding: AAC },
} as const;

let clips: string;
/** 16 s, keyframes every second. */
let plain: string;

beforeAll(async () => {
  clips = await mkdtemp(join(tmpdir(), 'sluice-clips-'));
  plain = await makeRtpClip(clips, 'plain', { seconds: 16, width: 640, height: 360 });
});
afterAll(() => rm(clips, { recursive: true, force: true }));

async function record(
  { router, start }: PipelineRig,
  published: Awaited<ReturnType<TestRouter['publish']>>,
  options: { srtp?: boolean } = {},
): Promise<TestPipeline> {
  const started = await start(PASSTHROUGH);
  const { video, audio } = published;
  if (video) await router.subscribe(started.host, { trackId: 'video', producer: video, ...options });
  if (audio) await router.subscribe(started.host, { trackId: 'audio', producer: audio, ...options });
  return started;
}

describe.concurrent('passthrough through a real SFU', () => {
  // The longest first: three run at once.
  test('goes on while either leg is muted for 5 s', async (context) => {
    const rig = await pipelineRig(context);
    const { router } = rig;
    const long = await makeRtpClip(clips, 'long', { seconds: 20 });
    const published = await router.publish([long]);
    const { video, audio } = published;
    const run = await record(rig, published);
    await sleep(2500);
    const mute = async (trackId: string, producer: NonNullable<typeof video>): Promise<void> => {
      await producer.pause();
      await run.host.send({ cmd: 'setMuted', trackId, muted: true });
      await sleep(5000);
      // Bytes went on to disk all the while.
      await producer.resume();
      await run.host.send({ cmd: 'setMuted', trackId, muted: false });
      await sleep(2000);
    };
    await mute('audio', audio!);
    const before = run.tapBytes;
    await mute('video', video!);
    expect(run.tapBytes - before).toBeGreaterThan(50_000);
    await run.stop();
    expect(run.of('trackFlow')).toEqual([]);
    const report = await analyse(await run.joined(), { tiles: [{ name: 'red', color: 'red' }] });
    expect(report.audio?.gaps).toEqual([]);
    expect(report.audio?.silence.some(({ from, to }) => to - from > 4.5)).toBe(true);
    expect(report.video?.monotonic).toBe(true);
    // The only hole in the picture is the mute, and it ends at the next keyframe.
    expect(report.video?.maxGapMs).toBeGreaterThan(4500);
    expect(report.video?.maxGapMs).toBeLessThan(6500);
    const [tile] = report.tiles;
    expect(tile?.inOrder).toBe(true);
    expect(tile?.avOffset.p95).toBeLessThan(60);
    expect(report.duration).toBeGreaterThan(15.5);
  });

  test('copies every frame and keeps the lips in sync', async (context) => {
    const rig = await pipelineRig(context);
    const { router } = rig;
    const run = await record(rig, await router.publish([plain]));
    await sleep(6000);
    const { elements } = await run.host.send({ cmd: 'describe' });
    expect(await run.stop()).toBe('exited with code 0');
    expect(run.events.at(-1)).toEqual({ event: 'eos' });

    expect(
      elements.filter(({ klass }) => klass.includes('Decoder/Video') || klass.includes('Decoder/Image')),
    ).toEqual([]);
    const chunks = run.of('chunk');
    expect(chunks.map(({ index }) => index)).toEqual(chunks.map((_, index) => index));
    expect(chunks.length).toBeGreaterThanOrEqual(5);
    for (const { file } of chunks.slice(1)) {
      const [first] = await ffprobePackets(join(run.dir, file), 'v:0');
      expect(first?.key, file).toBe(true);
    }
    const report = await analyse(await run.joined(), { tiles: [{ name: 'red', color: 'red' }] });
    const [tile] = report.tiles;
    expect(report.decodeErrors).toEqual([]);
    expect(report.video?.maxGapMs).toBeLessThan(60);
    expect(report.video?.monotonic).toBe(true);
    expect(report.audio?.gaps).toEqual([]);
    expect(tile?.share).toBe(1);
    expect(tile?.inOrder).toBe(true);
    expect(tile?.avOffset.p95).toBeLessThan(40);
    expect(report.duration).toBeGreaterThan(5.5);
    expect(run.tapBytes).toBeGreaterThan(100_000);
  });

  test('recovers 3 % loss by NACK, and its feedback reaches the SFU', async (context) => {
    const { router, start } = await pipelineRig(context);
    const published = await router.publish([plain], { only: 'video' });
    const run = await start({ ...PASSTHROUGH, audio: null });
    const path = new UdpPath({ delayMs: 20, loss: 0.03 });
    const producer = published.video!;
    const consumer = await router.subscribe(run.host, { trackId: 'video', producer, path });
    await sleep(6000);
    const stats = await consumer.getStats();
    await run.stop();
    path.close();
    expect(path.network.counts.lost).toBeGreaterThan(10);
    const sent = stats.find(({ type }) => type === 'outbound-rtp');
    expect(sent?.nackCount).toBeGreaterThan(5);
    expect(sent?.packetsRetransmitted).toBeGreaterThan(5);
    const report = await analyse(await run.joined(), { tiles: [{ name: 'red', color: 'red' }] });
    expect(report.decodeErrors).toEqual([]);
    expect(report.tiles[0]?.share).toBeGreaterThanOrEqual(0.97);
    expect(report.tiles[0]?.inOrder).toBe(true);
  });

  test('asks for a keyframe (PLI) where a loss cannot be repaired', async (context) => {
    const { router, start } = await pipelineRig(context);
    const published = await router.publish([plain], { only: 'video' });
    const run = await start({ ...PASSTHROUGH, audio: null });
    const path = new UdpPath({ delayMs: 0, loss: 0.4 });
    const producer = published.video!;
    const consumer = await router.subscribe(run.host, { trackId: 'video', producer, path });
    await sleep(3000);
    const stats = await consumer.getStats();
    path.close();
    expect(stats.find(({ type }) => type === 'outbound-rtp')?.pliCount).toBeGreaterThan(0);
  });

  test('speaks SRTP both ways', async (context) => {
    const rig = await pipelineRig(context);
    const { router } = rig;
    const run = await record(rig, await router.publish([plain]), { srtp: true });
    await sleep(4000);
    await run.stop();
    const report = await analyse(await run.joined(), { tiles: [{ name: 'red', color: 'red' }] });
    expect(report.tiles[0]?.share).toBe(1);
    expect(report.tiles[0]?.beepShare).toBeGreaterThan(0.7);
  });

  test.for([{ srtp: false }, { srtp: true }])(
    'leaves alone what is not its own, %o',
    async ({ srtp }, context) => {
      const { router, start } = await pipelineRig(context);
      const run = await start(PASSTHROUGH);
      const stranger = createSocket('udp4');
      context.onTestFinished(() => void stranger.close());
      const ports: number[] = [];
      const { video, audio } = await router.publish([plain]);
      for (const [trackId, producer] of [['video', video!] as const, ['audio', audio!] as const])
        await router.subscribe(run.host, { trackId, producer, srtp, onPort: (port) => ports.push(port) });
      await run.until(() => run.of('trackFormat').length === 2, 'both tracks');
      await sleep(1000);
      // A whole stream of another SSRC (RFC 3550, 5.1), of both payload types there are here, and noise.
      let sent = 0;
      for (const until = performance.now() + 2500; performance.now() < until; await sleep(10)) {
        const packet = Buffer.alloc(60, sent);
        packet[0] = 0x80;
        packet[1] = sent % 2 ? 96 : 111;
        packet.writeUInt16BE(sent++, 2);
        packet.writeUInt32BE(sent * 960, 4);
        packet.writeUInt32BE(4711, 8);
        for (const data of [packet, Buffer.from(`noise ${sent}`)])
          for (const port of ports) stranger.send(data, port, '127.0.0.1');
      }
      await run.stop();
      expect(sent).toBeGreaterThan(100);
      expect(run.of('trackError')).toEqual([]);
      const report = await analyse(await run.joined(), { tiles: [{ name: 'red', color: 'red' }] });
      expect(report.tiles[0]?.share).toBe(1);
      expect(report.tiles[0]?.beepShare).toBeGreaterThan(0.5);
    },
  );

  test('puts what waited for a process that was held up where it arrived', async (context) => {
    const { router, start } = await pipelineRig(context);
    const run = await start(PASSTHROUGH);
    const { video, audio } = await router.publish([plain]);
    await router.subscribe(run.host, { trackId: 'audio', producer: audio! });
    const pid = run.host.pid!;
    process.kill(pid, 'SIGSTOP');
    await sleep(450);
    process.kill(pid, 'SIGCONT');
    await router.subscribe(run.host, { trackId: 'video', producer: video! });
    await sleep(4000);
    await run.stop();
    const { tiles } = await analyse(await run.joined(), { tiles: [{ name: 'red', color: 'red' }] });
    const { beeps, avOffset } = tiles[0]!;
    expect(beeps.length).toBeGreaterThanOrEqual(4);
    // One a second from the first on: neither lost nor moved by the 0.55 s of a stamp that is put on when it is read.
    for (const [i, at] of beeps.entries()) expect(Math.abs(at - beeps[0]! - i)).toBeLessThan(0.2);
    expect(avOffset.p95).toBeLessThan(80);
  });

  test('brings tracks together that are sent 250 ms apart', async (context) => {
    const rig = await pipelineRig(context);
    const { router } = rig;
    const run = await record(rig, await router.publish([plain], { audioDelayMs: 250 }));
    const started = performance.now();
    // The SFU has to hear three reports of the publisher before its own say when things were captured.
    await run.until(() => run.of('trackSync').length > 0, 'correction', 9000);
    const from = (performance.now() - started) / 1000 + 1;
    await sleep(5500);
    await run.stop();
    const syncs = run.of('trackSync');
    expect(new Set(syncs.map(({ trackId }) => trackId))).toEqual(new Set(['video']));
    expect(syncs.at(-1)?.offsetNs).toBeGreaterThan(200e6);
    expect(syncs.at(-1)?.offsetNs).toBeLessThan(300e6);
    const report = await analyse(await run.joined(), { tiles: [{ name: 'red', color: 'red', from }] });
    expect(report.tiles[0]?.avOffset.count).toBeGreaterThanOrEqual(3);
    expect(report.tiles[0]?.avOffset.p95).toBeLessThan(40);
  });

  test('cuts at a change of size, and holds one GOP of ten minutes with sliced pictures', async (context) => {
    const rig = await pipelineRig(context);
    const { router } = rig;
    const options = { seconds: 3, gop: 18_000, slices: 4 };
    const [small, large] = await Promise.all([
      makeRtpClip(clips, 'small', options),
      makeRtpClip(clips, 'large', { ...options, width: 640, height: 360 }),
    ]);
    const published = await router.publish([small, large], { held: true });
    const run = await record(rig, published);
    published.source.start();
    await sleep(2000);
    // Bytes are on disk long before the chunk is complete.
    expect((await readFile(join(run.dir, 'r0-000000.ts'))).length).toBeGreaterThan(30_000);
    await sleep(4500);
    await run.stop();
    const sizes = await Promise.all(
      run.of('chunk').map(async ({ file }) => {
        const frames = await ffprobeFrames(join(run.dir, file));
        return [...new Set(frames.map(({ width, height }) => `${width}x${height}`))];
      }),
    );
    expect(sizes).toEqual([['320x180'], ['640x360']]);
    const formats = run.of('trackFormat').filter(({ trackId }) => trackId === 'video');
    expect(formats.map(({ width }) => width)).toEqual([320, 640]);
  });

  test('starts before its tracks, and with one of them alone', async (context) => {
    const { router, start } = await pipelineRig(context);
    const run = await start(PASSTHROUGH);
    await sleep(1500);
    const published = await router.publish([plain]);
    await router.subscribe(run.host, { trackId: 'video', producer: published.video! });
    await sleep(3500);
    await run.stop();
    const report = await analyse(await run.joined(), { tiles: [{ name: 'red', color: 'red' }] });
    // Sound (silence) from the egress's start on; picture from when it came.
    expect(report.audio?.firstTime).toBeLessThan(0.1);
    expect(report.video?.firstTime).toBeGreaterThan(1);
    expect(report.tiles[0]?.share).toBe(1);
  });

  test('a track that is published again goes on in the same log', async (context) => {
    const rig = await pipelineRig(context);
    const { router } = rig;
    const run = await record(rig, await router.publish([plain]));
    await sleep(2500);
    await run.host.send({ cmd: 'disconnect', trackId: 'video' });
    await run.host.send({ cmd: 'disconnect', trackId: 'audio' });
    await sleep(1000);
    const again = await router.publish([plain]);
    await router.subscribe(run.host, { trackId: 'video', producer: again.video! });
    await router.subscribe(run.host, { trackId: 'audio', producer: again.audio! });
    await sleep(3000);
    await run.stop();
    const report = await analyse(await run.joined(), { tiles: [{ name: 'red', color: 'red' }] });
    expect(report.decodeErrors).toEqual([]);
    expect(report.video?.monotonic).toBe(true);
    expect(report.audio?.gaps).toEqual([]);
    expect(report.video?.maxGapMs).toBeLessThan(2500);
    expect(report.duration).toBeGreaterThan(6);
  });
});
