/** The test publisher's own media, received over real ICE, DTLS and SRTP. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { describe, expect, test, type TestContext } from 'vitest';

import {
  startTestPublisher,
  type TestPublisher,
  type TestPublisherOptions,
} from '../../src/demo/publisher.ts';
import { analyse, type TileReport } from '../../src/demo/content/analyse.ts';
import { ffprobeFrames } from '../../src/demo/content/ffprobe.ts';
import { runTool } from '../../src/demo/content/tool.ts';
import {
  h264Pictures,
  startWhipReceiver,
  toIvf,
  toRtpStream,
  vp8Pictures,
  wallClock,
  type ReceivedPicture,
  type WhipReceiver,
} from '../support/whip-receiver.ts';

const TOKEN = 'a-token';
const TICKS = 90_000;

interface Published {
  folder: string;
  receiver: WhipReceiver;
  publisher: TestPublisher;
}

/** A receiver and its publisher, until the test is over. */
async function publish(
  { onTestFinished }: Pick<TestContext, 'onTestFinished'>,
  options: Partial<TestPublisherOptions>,
): Promise<Published> {
  const folder = await mkdtemp(join(tmpdir(), 'sluice-publisher-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const receiver = await startWhipReceiver({ token: TOKEN });
  onTestFinished(() => receiver.close());
  const publisher = await startTestPublisher({
    whipUrl: receiver.url,
    token: TOKEN,
    color: 'green',
    logger: pino({ level: 'silent' }),
    width: 320,
    height: 180,
    ...options,
  });
  onTestFinished(() => publisher.stop());
  return { folder, receiver, publisher };
}

const seconds = (count: number) => new Promise((resolve) => setTimeout(resolve, count * 1000));

/** Decodes H.264 pictures and reads them; each gets the time its RTP time says. */
async function readH264(
  folder: string,
  pictures: ReceivedPicture[],
): Promise<{ file: string; tile: TileReport }> {
  const raw = join(folder, 'video.h264');
  const file = join(folder, 'video.mkv');
  await writeFile(raw, Buffer.concat(pictures.map(({ data }) => data)));
  await runTool('ffmpeg', ['-v', 'error', '-y', '-r', '30', '-f', 'h264', '-i', raw, '-c', 'copy', file]);
  const report = await analyse(file, { tiles: [{ name: 'green', color: 'green' }] });
  expect(report.decodeErrors).toEqual([]);
  return { file, tile: report.tiles[0]! };
}

/** Every picture's RTP time is its counter's, exactly. */
function expectOneClock(pictures: ReceivedPicture[], tile: TileReport, fps: number): void {
  expect(tile.unreadable).toBe(0);
  expect(tile.read).toBe(pictures.length);
  for (const [i, { counter }] of tile.frames.entries()) {
    const ticks = (pictures[i]!.rtp - pictures[0]!.rtp) >>> 0;
    expect(Math.abs(ticks - ((counter! - tile.first!) * TICKS) / fps)).toBeLessThanOrEqual(1);
  }
}

// At once: they wait for media, and are held to what it says.
describe.concurrent('a test publisher', () => {
  test('VP8 and Opus say the same time in their Sender Reports, and flash and beep are together', async (context) => {
    const { folder, receiver, publisher } = await publish(context, { videoCodec: 'vp8', color: 'yellow' });
    await seconds(4.5);
    await publisher.stop();
    const video = receiver.video!;
    const audio = receiver.audio!;
    // In the first second already, so that a recording is in sync from its start.
    expect(video.reports.length).toBeGreaterThanOrEqual(4);
    expect(audio.reports.length).toBeGreaterThanOrEqual(4);

    const pictures = vp8Pictures(video.packets);
    const ivf = join(folder, 'video.ivf');
    await writeFile(ivf, toIvf(pictures, 320, 180));
    const seen = (await analyse(ivf, { tiles: [{ name: 'yellow', color: 'yellow' }] })).tiles[0]!;
    expectOneClock(pictures, seen, 30);
    expect(seen.color.closest).toBe('yellow');

    const stream = join(folder, 'audio.rtp');
    const wav = join(folder, 'audio.wav');
    await writeFile(stream, toRtpStream(audio.packets));
    const caps = 'application/x-rtp-stream,media=audio,encoding-name=OPUS,clock-rate=48000,payload=111';
    const pipeline = `filesrc location=${stream} ! ${caps} ! rtpstreamdepay ! rtpopusdepay ! opusdec ! wavenc ! filesink location=${wav}`;
    await runTool('gst-launch-1.0', ['-q', ...pipeline.split(' ')]);
    const heard = (await analyse(wav, { tiles: [{ name: 'yellow', color: 'yellow' }] })).tiles[0]!;
    expect(heard.soundGaps).toEqual([]);
    const beeps = heard.beeps.filter((beep) => beep > 0.3);
    expect(beeps.length).toBeGreaterThanOrEqual(3);

    // Counter 0 is a second's beginning: everything on the sender's wall clock. The first packet is stamped
    // shorter than it is, by what the codec looks ahead, so the sound is anchored at a later one.
    const anchor = { rtp: audio.packets[10]!.header.timestamp, time: 10 * 0.02 };
    const zero = wallClock(video, pictures[0]!.rtp, TICKS) - seen.first! / 30;
    for (const beep of beeps) {
      const at = wallClock(audio, anchor.rtp, 48_000) + beep - anchor.time - zero;
      expect(Math.abs(at - Math.round(at))).toBeLessThan(0.003);
    }
  });

  test('H.264 of one keyframe and four slices: a keyframe when asked, every frame in its place', async (context) => {
    const { folder, receiver, publisher } = await publish(context, { gopSeconds: 600, slices: 4 });
    await seconds(2);
    const before = h264Pictures(receiver.video!.packets).length;
    await receiver.sendPli();
    await seconds(1.5);
    await publisher.stop();

    expect(receiver.offer).toMatch(/a=rtpmap:96 H264\/90000/);
    expect(receiver.offer).toMatch(/profile-level-id=42e01f/);
    const pictures = h264Pictures(receiver.video!.packets);
    const keys = pictures.flatMap(({ key }, i) => (key ? [i] : []));
    // The first, and the one that was asked for, within a few frames.
    expect(keys).toHaveLength(2);
    expect(keys[0]).toBe(0);
    expect(keys[1]! - before).toBeLessThan(8);
    for (const { nals } of pictures) expect(nals.filter((type) => type === 1 || type === 5)).toHaveLength(4);
    // Each keyframe has its parameter sets, and once only.
    for (const key of keys)
      expect(pictures[key]!.nals.filter((type) => type >= 7 && type <= 8)).toEqual([7, 8]);
    // profile_idc 66 with constraint_set1: constrained baseline.
    const sps = pictures[0]!.data.subarray(pictures[0]!.data.indexOf(Buffer.from([0, 0, 0, 1, 0x67])) + 5);
    expect(sps[0]).toBe(66);
    expect(sps[1]! & 0x40).toBe(0x40);

    const { tile } = await readH264(folder, pictures);
    expectOneClock(pictures, tile, 30);
    expect(tile).toMatchObject({ first: 0, missing: [], inOrder: true, held: 0 });
    expect(tile.color).toMatchObject({ closest: 'green', share: 1 });
    expect(tile.flashes.length).toBeGreaterThanOrEqual(3);
  });

  test.for([
    ['main', 77],
    ['high', 100],
  ] as const)('H.264 %s, a keyframe every second, at 25 frames a second', async ([profile, idc], context) => {
    const { folder, receiver, publisher } = await publish(context, {
      profile,
      gopSeconds: 1,
      fps: 25,
      audio: false,
    });
    await seconds(2.5);
    await publisher.stop();
    expect(receiver.audio).toBeUndefined();
    const pictures = h264Pictures(receiver.video!.packets);
    const keys = pictures.flatMap(({ key }, i) => (key ? [i] : []));
    expect(keys.slice(0, 3)).toEqual([0, 25, 50]);
    const sps = pictures[0]!.data.subarray(pictures[0]!.data.indexOf(Buffer.from([0, 0, 0, 1, 0x67])) + 5);
    expect(sps[0]).toBe(idc);
    const { tile } = await readH264(folder, pictures);
    expectOneClock(pictures, tile, 25);
  });

  test('mute stops a track and its clock runs on; a picture comes back with a keyframe; the size changes', async (context) => {
    const { folder, receiver, publisher } = await publish(context, { gopSeconds: 600 });
    await seconds(1);
    publisher.muteVideo(true);
    publisher.muteAudio(true);
    await seconds(0.3);
    const [video, audio] = [receiver.video!.packets.length, receiver.audio!.packets.length];
    await seconds(1);
    expect(receiver.video!.packets).toHaveLength(video);
    expect(receiver.audio!.packets).toHaveLength(audio);
    publisher.muteVideo(false);
    publisher.muteAudio(false);
    await seconds(0.7);
    publisher.setResolution(640, 360);
    await seconds(0.7);
    await publisher.stop();

    const pictures = h264Pictures(receiver.video!.packets);
    expect(pictures.filter(({ key }) => key)).toHaveLength(3);
    const { file, tile } = await readH264(folder, pictures);
    expectOneClock(pictures, tile, 30);
    // The only hole is the mute.
    expect(tile.missing.length).toBeGreaterThan(30);
    expect(tile.missing.at(-1)! - tile.missing[0]!).toBe(tile.missing.length - 1);
    const sizes = (await ffprobeFrames(file)).map(({ width, height }) => `${width}x${height}`);
    expect([...new Set(sizes)]).toEqual(['320x180', '640x360']);

    const times = receiver.audio!.packets.map(({ header }) => header.timestamp);
    const jumps = times.slice(1).map((time, i) => (time - times[i]!) >>> 0);
    // The first packet is 6.5 ms short: what the codec looks ahead.
    expect(jumps.shift()).toBe(960 - 312);
    const holes = jumps.filter((jump) => jump !== 960);
    expect(holes).toHaveLength(1);
    expect(holes[0]).toBeGreaterThan(1.2 * 48_000);
    expect(holes[0]! % 960).toBe(0);
  });

  test('two at once share a computer with others: nothing is left out', async (context) => {
    const other = await startWhipReceiver({ token: TOKEN });
    try {
      const { publisher } = await publish(context, {});
      const second = await startTestPublisher({
        whipUrl: other.url,
        token: TOKEN,
        color: 'blue',
        logger: pino({ level: 'silent' }),
        width: 320,
        height: 180,
      });
      await seconds(3);
      await second.stop();
      for (const { progress } of [publisher, second]) {
        expect(progress.skipped).toBe(0);
        expect(progress.frames).toBeGreaterThanOrEqual(60);
        expect(progress.chunks).toBeGreaterThanOrEqual(100);
      }
    } finally {
      await other.close();
    }
  });
});
