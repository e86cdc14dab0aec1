/** Taps besides the muxed one: raw sound, and the composed picture at other sizes. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { analyse } from '../../src/demo/content/analyse.ts';
import { ffprobePackets } from '../../src/demo/content/ffprobe.ts';
import { AAC, sleep, X264 } from '../support/pipeline.ts';
import { pipelineRig } from '../support/pipeline-rig.ts';
import { makeRtpClip } from '../support/rtp-source.ts';
import { wavHeader } from '../support/wav.ts';

let clips: string;
let red: string;

beforeAll(async () => {
  clips = await mkdtemp(join(tmpdir(), 'sluice-clips-'));
  red = await makeRtpClip(clips, 'red', { seconds: 10, color: 'red' });
});
afterAll(() => rm(clips, { recursive: true, force: true }));

describe.concurrent('taps', () => {
  test('one composed picture is encoded at several sizes, with one sound and keyframes together', async (context) => {
    const { router, start } = await pipelineRig(context);
    const renditions = [
      { width: 320, height: 180, bitrate: 400 },
      // Another shape: borders left and right.
      { width: 480, height: 360, bitrate: 700 },
    ];
    const run = await start(
      { program: 'composite', video: X264, audio: AAC, renditions },
      { keepTaps: true },
    );
    const tile = { trackId: 'red-video', x: 0, y: 0, width: 640, height: 360, z: 1 };
    await run.host.send({ cmd: 'layout', tiles: [tile] });
    const { video, audio } = await router.publish([red]);
    if (!video || !audio) throw new Error('not published');
    await router.subscribe(run.host, { trackId: 'red-video', producer: video, syncGroup: 'red' });
    await router.subscribe(run.host, { trackId: 'red-audio', producer: audio, syncGroup: 'red' });
    await sleep(6000);
    expect(await run.stop()).toBe('exited with code 0');

    const keys: number[][] = [];
    for (const [tap, size] of [[0, { width: 640, height: 360 }], ...renditions.entries()] as const) {
      const number = tap === 0 && keys.length === 0 ? 0 : tap + 1;
      const file = join(run.dir, `tap${number}.ts`);
      await writeFile(file, Buffer.concat(run.taps.get(number) ?? []));
      const { width, height } = size;
      const scale = height / 360;
      const border = (width - 640 * scale) / 2;
      const region =
        border < 0
          ? { x: 0, y: (height - (width * 9) / 16) / 2, width, height: (width * 9) / 16 }
          : { x: border, y: 0, width: width - 2 * border, height };
      const report = await analyse(file, { tiles: [{ name: 'red', color: 'red', region, from: 2 }] });
      expect(report.decodeErrors).toEqual([]);
      expect(report.video).toMatchObject({ width, height, monotonic: true });
      expect(report.video?.fps).toBeCloseTo(30, 0);
      expect(report.audio?.gaps).toEqual([]);
      expect(report.tiles[0]?.share).toBeGreaterThan(0.95);
      expect(report.tiles[0]?.avOffset.p95).toBeLessThan(80);
      expect(report.tiles[0]?.beepShare).toBe(1);
      keys.push((await ffprobePackets(file, 'v:0')).flatMap(({ key, pts }) => (key ? [pts ?? NaN] : [])));
    }
    expect(keys[0]!.length).toBeGreaterThan(2);
    const shared = Math.min(...keys.map(({ length }) => length));
    for (const each of keys) expect(each.slice(0, shared)).toEqual(keys[0]!.slice(0, shared));
  });

  test('a tap of raw sound carries what is heard, without a gap, whatever the track does', async (context) => {
    const { router, start } = await pipelineRig(context);
    const run = await start(
      { program: 'composite', video: null, audio: AAC, tapFormat: 'pcm' },
      { keepTaps: true },
    );
    const started = performance.now();
    const { audio } = await router.publish([red], { only: 'audio' });
    if (!audio) throw new Error('not published');
    await router.subscribe(run.host, { trackId: 'red-audio', producer: audio, syncGroup: 'red' });
    await sleep(3000);
    await audio.pause();
    await sleep(1500);
    await audio.resume();
    await sleep(1500);
    const seconds = (performance.now() - started) / 1000;
    expect(await run.stop()).toBe('exited with code 0');

    const samples = Buffer.concat(run.taps.get(0) ?? []);
    const heard = samples.length / 2 / 48_000;
    expect(Math.abs(heard - seconds)).toBeLessThan(1);
    const file = join(run.dir, 'sound.wav');
    await writeFile(file, Buffer.concat([wavHeader(samples.length), samples]));
    const report = await analyse(file, { tiles: [] });
    expect(report.audio).toMatchObject({ gaps: [] });
    const loud = peaks(samples).map((peak) => peak > 50);
    // A beep each second, but where it was paused.
    expect(loud.slice(10, 20)).toContain(true);
    expect(loud.slice(20, 30)).toContain(true);
    const silences = loud.map((_, index) => loud.slice(index).findIndex(Boolean));
    expect(Math.max(...silences)).toBeGreaterThan(11);
  });
});

/** Loudest sample of each tenth of a second. */
function peaks(samples: Buffer): number[] {
  const step = 9600;
  return Array.from({ length: Math.floor(samples.length / step) }, (_, index) => {
    let peak = 0;
    for (let at = index * step; at < (index + 1) * step; at += 2)
      peak = Math.max(peak, Math.abs(samples.readInt16LE(at)));
    return peak;
  });
}
