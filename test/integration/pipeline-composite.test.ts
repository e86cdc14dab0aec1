import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import type { types as ms } from 'mediasoup';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import type { Tile } from '../../pipelines/shared/protocol.ts';
import { analyse } from '../../src/demo/content/analyse.ts';
import type { TestPipeline } from '../support/pipeline.ts';
import { AAC, sleep, X264 } from '../support/pipeline.ts';
import { pipelineRig } from '../support/pipeline-rig.ts';
import type { TestRouter } from '../support/rtp-source.ts';
import { CODECS, makeRtpClip, type Published, RtpSource } from '../support/rtp-source.ts';

const COMPOSITE = { program: 'composite', video: X264, audio: AAC } as const;
/** The encoder's first frame holds nothing yet: it lies before the first sample. */
const AAC_FRAME_NS = (1024 / 48_000) * 1e9;
const LEFT = { x: 0, y: 90, width: 320, height: 180 };
const RIGHT = { x: 320, y: 90, width: 320, height: 180 };

let clips: string;
let red: string;
let blue: string;

beforeAll(async () => {
  clips = await mkdtemp(join(tmpdir(), 'sluice-clips-'));
  [red, blue] = await Promise.all([
    makeRtpClip(clips, 'red', { seconds: 14, color: 'red' }),
    makeRtpClip(clips, 'blue', { seconds: 14, color: 'blue', codec: 'vp8' }),
  ]);
});
afterAll(() => rm(clips, { recursive: true, force: true }));

async function join_(
  router: TestRouter,
  run: TestPipeline,
  name: string,
  { video, audio }: Published,
): Promise<ms.Consumer[]> {
  const consumers: ms.Consumer[] = [];
  for (const [kind, producer] of [['video', video] as const, ['audio', audio] as const])
    if (producer)
      consumers.push(
        await router.subscribe(run.host, { trackId: `${name}-${kind}`, producer, syncGroup: name }),
      );
  return consumers;
}

function tile(name: string, place: Omit<Tile, 'trackId' | 'z'>): Tile {
  return { trackId: `${name}-video`, z: 1, ...place };
}

// Two at a time: they wait for media, but each needs a part of a processor.
describe.concurrent('comes and goes in a composite', () => {
  test('participants come and go twenty times without a glitch or a leak', async (context) => {
    const { router, start } = await pipelineRig(context);
    const run = await start(COMPOSITE);
    const startedAt = performance.now();
    await run.host.send({ cmd: 'layout', tiles: [tile('red', LEFT), tile('guest', RIGHT)] });
    await join_(router, run, 'red', await router.publish([red]));
    const guest = await router.publish([await makeRtpClip(clips, 'guest', { seconds: 20, color: 'green' })]);
    await sleep(1500);
    const before = await run.host.send({ cmd: 'describe' });
    let memory = 0;
    for (let round = 0; round < 20; round++) {
      const consumers = await join_(router, run, 'guest', guest);
      await sleep(round % 2 === 0 ? 450 : 150);
      // Else they go on sending to ports that others are given next.
      for (const consumer of consumers) consumer.close();
      await run.host.send({ cmd: 'disconnect', trackId: 'guest-video' });
      await run.host.send({ cmd: 'disconnect', trackId: 'guest-audio' });
      if (round === 4) memory = (await run.host.send({ cmd: 'ping' })).rssBytes;
    }
    const after = await run.host.send({ cmd: 'describe' });
    const grown = (await run.host.send({ cmd: 'ping' })).rssBytes - memory;
    await sleep(1500);
    // Where it is stopped, sound ends in the middle of what is mixed, which is behind by half a second and some.
    const to = (performance.now() - startedAt) / 1000 - 0.8;
    await run.stop();
    expect(after.elements.length).toBe(before.elements.length);
    expect(grown).toBeLessThan(30e6);
    expect(run.of('trackError')).toEqual([]);
    expect(run.of('warning')).toEqual([]);
    const report = await analyse(await run.joined(), {
      tiles: [{ name: 'red', color: 'red', region: LEFT, from: 2, to }],
    });
    expect(report.video?.maxGapMs).toBeLessThan(35);
    expect(report.audio?.gaps).toEqual([]);
    expect(report.tiles[0]?.share).toBeGreaterThanOrEqual(0.97);
    expect(report.tiles[0]?.longestGapMs).toBeLessThan(100);
    expect(report.tiles[0]?.soundGaps).toEqual([]);
  });

  test('shows and plays two participants of different codecs, in sync, and clears who leaves', async (context) => {
    const { router, start } = await pipelineRig(context);
    const run = await start(COMPOSITE);
    await run.host.send({ cmd: 'layout', tiles: [tile('red', LEFT), tile('blue', RIGHT)] });
    await join_(router, run, 'red', await router.publish([red]));
    await sleep(1500);
    await join_(router, run, 'blue', await router.publish([blue], { codec: 'vp8' }));
    await sleep(5000);
    await run.host.send({ cmd: 'disconnect', trackId: 'blue-video' });
    await run.host.send({ cmd: 'disconnect', trackId: 'blue-audio' });
    await sleep(2000);
    expect(await run.stop()).toBe('exited with code 0');

    const report = await analyse(await run.joined(), {
      tiles: [
        { name: 'red', color: 'red', region: LEFT, from: 2.5, to: 8 },
        { name: 'blue', color: 'blue', region: RIGHT, from: 3.5, to: 6.5 },
        { name: 'gone', color: 'blue', region: RIGHT, from: 7.7 },
      ],
    });
    const [left, right, gone] = report.tiles;
    expect(report.decodeErrors).toEqual([]);
    expect(report.video).toMatchObject({ width: 640, height: 360, monotonic: true });
    expect(report.video?.maxGapMs).toBeLessThan(35);
    expect(report.video?.fps).toBeCloseTo(30, 0);
    expect(report.video?.firstTime).toBeLessThan(0.1);
    expect(report.audio?.gaps).toEqual([]);
    for (const shown of [left, right]) {
      expect(shown?.share, shown?.name).toBeGreaterThanOrEqual(0.97);
      expect(shown?.inOrder, shown?.name).toBe(true);
      expect(shown?.avOffset.p95, shown?.name).toBeLessThan(80);
      expect(shown?.beepShare, shown?.name).toBe(1);
    }
    expect(gone?.color.closest).toBe('black');
    expect(report.duration).toBeGreaterThan(8);
  });
});

describe.concurrent('pictures of a composite', () => {
  test('clears a tile that stalls or is muted, and shows it again', async (context) => {
    const { router, start } = await pipelineRig(context);
    const run = await start(COMPOSITE);
    await run.host.send({ cmd: 'layout', tiles: [tile('red', LEFT)] });
    const published = await router.publish([red], { only: 'video' });
    const video = published.video;
    if (!video) throw new Error('no video');
    await join_(router, run, 'red', published);
    await sleep(2000);
    // A network that went away: nobody says that the track is muted.
    await video.pause();
    await run.until(() => run.of('trackFlow').at(-1)?.flowing === false, 'stall', 4000);
    const stalledAt = Date.now();
    await sleep(1500);
    await video.resume();
    await run.until(() => run.of('trackFlow').at(-1)?.flowing === true, 'flow', 3000);
    await sleep(1500);
    await run.host.send({ cmd: 'setMuted', trackId: 'red-video', muted: true });
    await sleep(1000);
    await run.host.send({ cmd: 'setMuted', trackId: 'red-video', muted: false });
    await sleep(1000);
    await run.stop();
    expect(stalledAt).toBeGreaterThan(0);
    expect(run.of('trackFlow').map(({ flowing }) => flowing)).toEqual([false, true]);
    const report = await analyse(await run.joined(), {
      tiles: [{ name: 'red', color: 'red', region: LEFT }],
      blackMs: 500,
    });
    // Before the first picture, the stall after it was noticed, the mute.
    expect(report.video?.black.length).toBeGreaterThanOrEqual(2);
    const stall = report.video?.frozen.find(({ from, to }) => to - from > 1.2);
    expect(stall).toBeDefined();
    expect(report.video?.maxGapMs).toBeLessThan(35);
    expect(report.tiles[0]?.inOrder).toBe(true);
  });

  test('takes a source whose size changes, and letterboxes it', async (context) => {
    const { router, start } = await pipelineRig(context);
    const options = { seconds: 3, color: 'green' } as const;
    const [wide, tall] = await Promise.all([
      makeRtpClip(clips, 'wide', options),
      makeRtpClip(clips, 'tall', { ...options, width: 180, height: 320 }),
    ]);
    const run = await start({ ...COMPOSITE, audio: null });
    const startedAt = performance.now();
    const whole = { x: 0, y: 0, width: 640, height: 360 };
    await run.host.send({ cmd: 'layout', tiles: [tile('green', whole)] });
    const published = await router.publish([wide, tall], { only: 'video', held: true });
    await join_(router, run, 'green', published);
    published.source.start();
    // A source may take long to start: each size is looked at from when it came.
    const came = async (count: number): Promise<number> => {
      await run.until(() => run.of('trackFormat').length === count, `size ${count}`);
      return (performance.now() - startedAt) / 1000;
    };
    const wideAt = await came(1);
    const tallAt = await came(2);
    await sleep(2700);
    await run.stop();
    expect(run.of('trackFormat').map(({ width, height }) => [width, height])).toEqual([
      [320, 180],
      [180, 320],
    ]);
    const upright = { x: 219, y: 0, width: 202, height: 360 };
    const report = await analyse(await run.joined(), {
      tiles: [
        { name: 'wide', color: 'green', region: whole, from: wideAt + 1, to: tallAt },
        { name: 'tall', color: 'green', region: upright, from: tallAt + 1, to: tallAt + 2.5 },
        {
          name: 'bar',
          color: 'green',
          region: { x: 20, y: 20, width: 120, height: 300 },
          from: tallAt + 1,
          to: tallAt + 2.5,
        },
      ],
    });
    expect(tallAt - wideAt).toBeGreaterThan(2);
    expect(report.tiles[0]?.color.closest).toBe('green');
    expect(report.tiles[1]?.color.closest).toBe('green');
    expect(report.tiles[2]?.color.closest).toBe('black');
    expect(report.video?.maxGapMs).toBeLessThan(35);
  });
});

describe.concurrent('clock and channels of a composite', () => {
  test('a later attempt goes on where the clock of the egress is', async (context) => {
    const { router, start } = await pipelineRig(context);
    const published = await router.publish([red]);
    const epochMs = Date.now();
    const sinceNs = () => (Date.now() - epochMs) * 1e6;
    const first = await start(COMPOSITE, { epochMs });
    await first.host.send({ cmd: 'layout', tiles: [tile('red', LEFT)] });
    await join_(router, first, 'red', published);
    await sleep(2000);
    await first.host.kill();
    await sleep(500);
    const beforeNs = sinceNs();
    const second = await start(COMPOSITE, { epochMs, dir: first.dir, run: 1 });
    const afterNs = sinceNs();
    await second.host.send({ cmd: 'layout', tiles: [tile('red', LEFT)] });
    await join_(router, second, 'red', published);
    await sleep(3500);
    await second.stop();
    expect(second.of('chunk')[0]?.startNs).toBeGreaterThanOrEqual(beforeNs - AAC_FRAME_NS);
    expect(second.of('chunk')[0]?.startNs).toBeLessThan(afterNs + 0.4e9);
    const report = await analyse(await second.joined(), {
      tiles: [{ name: 'red', color: 'red', region: LEFT, from: 1 }],
    });
    expect(report.tiles[0]?.share).toBeGreaterThanOrEqual(0.97);
    expect(report.tiles[0]?.avOffset.p95).toBeLessThan(80);
    await second.host.kill();
  });

  test('puts each voice into the ear it belongs to', async (context) => {
    const { router, start } = await pipelineRig(context);
    const run = await start({ ...COMPOSITE, video: null });
    for (const [name, clip, channel] of [
      ['red', red, 'left'],
      ['blue', blue, 'right'],
    ] as const) {
      const { audio } = await router.publish([clip], { only: 'audio' });
      if (!audio) throw new Error('no audio');
      await router.subscribe(run.host, { trackId: name, producer: audio, syncGroup: name, channel });
    }
    await sleep(4500);
    await run.stop();
    const file = await run.joined();
    const tiles = (['red', 'blue'] as const).map((color) => ({ name: color, color, from: 1 }));
    const left = await analyse(file, { tiles, channel: 'left' });
    const right = await analyse(file, { tiles, channel: 'right' });
    expect(left.tiles.map(({ beepShare }) => beepShare)).toEqual([1, 0]);
    expect(right.tiles.map(({ beepShare }) => beepShare)).toEqual([0, 1]);
  });
});

describe.concurrent('a composite of few', () => {
  test('a receiver that fails is taken out, and nothing else notices', async (context) => {
    const { router, start } = await pipelineRig(context);
    const run = await start(COMPOSITE);
    await run.host.send({ cmd: 'layout', tiles: [tile('red', LEFT)] });
    await join_(router, run, 'red', await router.publish([red]));
    const { port } = await run.host.send({ cmd: 'bind', trackId: 'broken', ip: '127.0.0.1' });
    await run.host.send({
      cmd: 'connect',
      trackId: 'broken',
      syncGroup: 'broken',
      kind: 'video',
      codec: CODECS.vp8,
      ssrc: 7,
      remote: { ip: '127.0.0.1', port: 9 },
      muted: false,
    });
    // A stream that was not announced has nowhere to go in the receiver.
    const stranger = new RtpSource({
      clips: [blue],
      codec: 'vp8',
      videoPort: port,
      videoSsrc: 8,
      audioSsrc: 9,
    });
    await sleep(1500);
    stranger.start();
    await run.until(() => run.of('trackError').length > 0, 'error of the receiver');
    await stranger.stop();
    expect(run.of('trackError')[0]?.trackId).toBe('broken');
    // Its place is free again.
    await run.host.send({ cmd: 'bind', trackId: 'broken', ip: '127.0.0.1', portMin: port, portMax: port });
    await sleep(2000);
    await run.stop();
    const report = await analyse(await run.joined(), {
      tiles: [{ name: 'red', color: 'red', region: LEFT, from: 1 }],
    });
    expect(report.tiles[0]?.share).toBeGreaterThanOrEqual(0.97);
    expect(report.tiles[0]?.longestGapMs).toBeLessThan(100);
  });

  test('an empty room is black and silent, from start to stop', async (context) => {
    const { start } = await pipelineRig(context);
    const run = await start(COMPOSITE);
    await sleep(3000);
    await run.host.send({ cmd: 'keyFrame' });
    await sleep(1500);
    await run.stop();
    const report = await analyse(await run.joined(), { tiles: [] });
    expect(report.duration).toBeGreaterThan(4);
    expect(report.video?.maxGapMs).toBeLessThan(35);
    expect(report.video?.black[0]?.to).toBeGreaterThan(4);
    expect(report.audio?.silence[0]?.to).toBeGreaterThan(4);
  });
});
