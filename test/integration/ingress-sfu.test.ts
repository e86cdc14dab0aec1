/** The ingress program and a real SFU: layers switch, requests for keyframes come through, lips stay in sync. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import type { types as ms } from 'mediasoup';
import { afterAll, beforeAll, describe, expect, test, type TestContext } from 'vitest';

import { analyse } from '../../src/demo/content/analyse.ts';
import type { TileReport } from '../../src/demo/content/analyse.ts';
import { H264, IngressRig, LAYERS, OPUS } from '../support/ingress-rig.ts';
import { makeClip } from '../support/content/clip.ts';
import { AAC, sleep, TestPipeline } from '../support/pipeline.ts';
import { framesOf } from '../support/rtp-frames.ts';
import { makeRtpClip, TestRouter } from '../support/rtp-source.ts';
import { RtpReceiver } from '../support/rtp-receiver.ts';
import { until } from '../support/sfu.ts';

const RECORDING = {
  program: 'passthrough',
  video: { mimeType: 'video/H264' },
  audio: { mode: 'encode', encoding: AAC },
} as const;

const FLV = {
  type: 'pipe',
  container: 'flv',
  video: { codec: 'h264', rotation: 0 },
  audio: { codec: 'aac' },
} as const;

/**
 * Pictures that one layer may be behind another when mediasoup changes between them: it goes on with the next keyframe
 * of the new layer if that is at most 75 ms older than what it sent last, and moves its timestamp.
 */
const LAYER_BEHIND = 2;

let folder: string;
/** 11 s of flashes, beeps and a counter, with B-frames. */
let clip: string;
/** 12 s of the same in VP8. */
let whip: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sluice-ingress-'));
  clip = join(folder, 'clip.flv');
  const x264 = ['-c:v', 'libx264', '-preset', 'superfast', '-crf', '23', '-bf', '2', '-g', '60'];
  const encode = [...x264, '-c:a', 'aac', '-b:a', '128k', '-ar', '44100'];
  [, whip] = await Promise.all([
    makeClip(clip, { seconds: 11, width: 640, height: 360, encode }),
    makeRtpClip(folder, 'whip', { seconds: 12, width: 320, height: 180, codec: 'vp8' }),
  ]);
}, 60_000);
afterAll(() => rm(folder, { recursive: true, force: true }));
/** A router of a test's own, and what is closed before it. */
async function prepare({ onTestFinished }: Pick<TestContext, 'onTestFinished'>) {
  const router = await TestRouter.start();
  onTestFinished(() => router.close());
  return {
    router,
    start: async (init: Parameters<typeof IngressRig.start>[0]): Promise<IngressRig> => {
      const rig = await IngressRig.start(init);
      onTestFinished(() => rig.close());
      return rig;
    },
    record: async (): Promise<TestPipeline> => {
      const run = await TestPipeline.start(RECORDING);
      onTestFinished(() => run.close());
      return run;
    },
  };
}

test('layers switch, and a keyframe asked for comes at once', async (context) => {
  const { router, start } = await prepare(context);
  const rig = await start({ input: FLV, pacing: 'arrival', video: H264, audio: OPUS });
  const producers = await rig.publish(router.router, { srtp: false });
  const producer = producers.get('video')!;
  rig.stream(clip);
  const receiver = await RtpReceiver.open();
  try {
    const consumer = await consume(router, producer, receiver);
    // mediasoup leaves a stream alone that is younger than two seconds.
    await until('the first layer', () => consumer.currentLayers !== undefined, 10_000);
    await sleep(2500);
    for (const layer of [0, 1, 0]) {
      await consumer.setPreferredLayers({ spatialLayer: layer });
      await until(`layer ${layer}`, () => consumer.currentLayers?.spatialLayer === layer, 3000);
    }
    await sleep(500);
    const keys = (): number[] =>
      framesOf(receiver.packets)
        .filter(({ key }) => key)
        .map(({ at }) => at);
    // mediasoup asks a producer for a keyframe once a second at most.
    await sleep(1000);
    const asked = performance.now();
    await consumer.requestKeyFrame();
    await until('a keyframe', () => keys().some((at) => at > asked), 2000);
    expect(keys().find((at) => at > asked)! - asked).toBeLessThan(300);
    const score = producer.score.map(({ score: points }) => points);
    expect(score).toEqual([10, 10, 10]);
    const stats = await producer.getStats();
    expect(stats.map(({ ssrc }) => ssrc).sort()).toEqual(LAYERS.map(({ ssrc }) => ssrc));
    for (const each of stats) expect(each.packetsLost).toBe(0);
    // RTCP comes back: the SFU's receiver reports tell the round trip.
    expect(stats.some(({ roundTripTime }) => roundTripTime !== undefined)).toBe(true);
  } finally {
    receiver.close();
  }
});

describe.concurrent('recorded', () => {
  test('a recording of the room has every picture, and lips in sync', async (context) => {
    const { router, start, record } = await prepare(context);
    const rig = await start({ input: FLV, pacing: 'arrival', video: H264, audio: OPUS });
    const producers = await rig.publish(router.router);
    const run = await record();
    rig.stream(clip);
    for (const [trackId, producer] of producers) {
      const consumer = await router.subscribe(run.host, { trackId, producer });
      if (trackId === 'video') await consumer.setPreferredLayers({ spatialLayer: 2 });
    }
    await sleep(8500);
    await run.stop();
    const report = await analyse(await run.joined(), { tiles: [{ name: 'red', color: 'red' }] });
    const [tile] = report.tiles;
    expect(report.decodeErrors).toEqual([]);
    expect(tile?.read, 'pictures').toBeGreaterThan(100);
    expect(Math.max(...backwards(tile)), JSON.stringify(backwards(tile))).toBeLessThanOrEqual(LAYER_BEHIND);
    expect(report.audio?.gaps).toEqual([]);
    expect(report.duration).toBeGreaterThan(6.5);
    // The recorder's own delay settles within its first seconds, so the first flash may be off.
    expect(tile?.avOffset.p50, JSON.stringify([tile?.avOffset, run.of('trackSync')])).toBeLessThan(80);
  });

  test('RTP from a room is decoded and sent on in layers', async (context) => {
    const { router, start, record } = await prepare(context);
    const published = await router.publish([whip], { codec: 'vp8' });
    const video = { ...H264, layers: LAYERS.slice(0, 2) } as typeof H264;
    const rig = await start({ input: { type: 'rtp' }, pacing: 'arrival', video, audio: OPUS });
    for (const producer of [published.video!, published.audio!]) await rig.subscribe(router.router, producer);
    const run = await record();
    const producers = await rig.publish(router.router);
    for (const consumer of rig.consumers) await consumer.resume();
    for (const [trackId, producer] of producers) {
      const consumer = await router.subscribe(run.host, { trackId, producer });
      if (trackId === 'video') await consumer.setPreferredLayers({ spatialLayer: 1 });
    }
    await sleep(9000);
    expect(rig.events).toContainEqual(
      expect.objectContaining({ event: 'inputFormat', width: 320, height: 180 }),
    );
    await run.stop();
    const report = await analyse(await run.joined(), { tiles: [{ name: 'red', color: 'red' }] });
    const [tile] = report.tiles;
    expect(tile?.read, 'pictures').toBeGreaterThan(100);
    expect(Math.max(...backwards(tile)), JSON.stringify(backwards(tile))).toBeLessThanOrEqual(LAYER_BEHIND);
    expect(report.duration).toBeGreaterThan(5);
    // The recorder's own delay settles within its first seconds, so the first flash may be off.
    expect(tile?.avOffset.p50, JSON.stringify([tile?.avOffset, run.of('trackSync')])).toBeLessThan(80);
  });
});

/** By how many pictures each picture comes before the one it follows: 0 of those in order. */
function backwards(tile: TileReport | undefined): number[] {
  const counters = tile?.frames.flatMap(({ counter }) => counter ?? []) ?? [];
  return counters.map((counter, index) => Math.max(0, (counters[index - 1] ?? 0) - counter));
}

async function consume(
  router: TestRouter,
  producer: ms.Producer,
  receiver: RtpReceiver,
): Promise<ms.Consumer> {
  const transport = await router.router.createPlainTransport({
    listenInfo: { protocol: 'udp', ip: '127.0.0.1' },
    rtcpMux: true,
    comedia: false,
  });
  await transport.connect({ ip: '127.0.0.1', port: receiver.port });
  const { rtpCapabilities } = router.router;
  return transport.consume({ producerId: producer.id, rtpCapabilities });
}
