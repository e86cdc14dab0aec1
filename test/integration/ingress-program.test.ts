/** The ingress program's core: layers, pace, keyframes, copying, and its end. Received by plain sockets. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, test, type TestContext } from 'vitest';

import { ffprobePackets } from '../../src/demo/content/ffprobe.ts';
import { runTool } from '../../src/demo/content/tool.ts';
import { H264, IngressRig, LAYERS, makeSource, OPUS } from '../support/ingress-rig.ts';
import { silentLogger, sleep, until } from '../support/sfu.ts';
import { IngressPipeline } from '../../src/ingress/pipeline.ts';

const SECONDS = 8;

let folder: string;
/** H.264 with B-frames and AAC, as OBS sends it, of a picture no encoder has an easy time with. */
let bFrames: string;
/** H.264 without B-frames and Opus. */
let fit: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sluice-ingress-'));
  bFrames = join(folder, 'b.flv');
  const picture = 'testsrc2=s=640x360:r=30,noise=alls=20:allf=t';
  const x264 = [
    '-t',
    `${SECONDS}`,
    '-c:v',
    'libx264',
    '-preset',
    'superfast',
    '-pix_fmt',
    'yuv420p',
    '-g',
    '60',
  ];
  const aac = ['-c:a', 'aac', '-b:a', '128k', '-ac', '2'];
  fit = join(folder, 'fit.mkv');
  const sources = [
    makeSource(
      bFrames,
      [picture, 'sine=frequency=440:sample_rate=44100'],
      [...x264, '-bf', '2', '-b:v', '2M', ...aac],
    ),
    makeSource(
      fit,
      ['testsrc2=s=640x360:r=30', 'sine=frequency=440:sample_rate=48000'],
      [...x264, '-t', '4', '-bf', '0', '-c:a', 'libopus', '-ac', '2'],
    ),
  ];
  await Promise.all(sources);
}, 60_000);
afterAll(() => rm(folder, { recursive: true, force: true }));

async function start(
  { onTestFinished }: Pick<TestContext, 'onTestFinished'>,
  init: Parameters<typeof IngressRig.start>[0],
): Promise<IngressRig> {
  const rig = await IngressRig.start(init);
  onTestFinished(() => rig.close());
  return rig;
}

const FLV = {
  type: 'pipe',
  container: 'flv',
  video: { codec: 'h264', rotation: 0 },
  audio: { codec: 'aac' },
} as const;
const MKV = { type: 'pipe', container: 'matroska' } as const;

// Each file's tests wait for media as it plays, two encoders at most at once.
describe.concurrent('encoding', () => {
  test('makes three layers of their sizes and bitrates, at the pace of the timestamps', async (context) => {
    const rig = await start(context, { input: FLV, pacing: 'timestamps', video: H264, audio: OPUS });
    await rig.receive();
    const started = performance.now();
    await rig.play(bFrames);
    // The pipe is not drained at once: what is early waits in it.
    await rig.ended();
    const took = (performance.now() - started) / 1000;
    expect(took).toBeGreaterThan(SECONDS - 0.2);
    expect(took).toBeLessThan(SECONDS + 1.5);
    expect(rig.exitReason).toBe('exited with code 0');
    expect(rig.events).toContainEqual({
      event: 'inputFormat',
      kind: 'video',
      width: 640,
      height: 360,
      framerate: 30,
    });
    expect(rig.events).toContainEqual({ event: 'inputFormat', kind: 'audio', channels: 2, rate: 44_100 });
    for (const kind of ['audio', 'video'] as const)
      expect(rig.events).toContainEqual({ event: 'flowing', kind });

    for (const { ssrc, width, height, bitrate } of LAYERS) {
      const frames = rig.frames(ssrc);
      const pictures = await rig.decoded(ssrc);
      expect(pictures.length).toBeGreaterThanOrEqual(SECONDS * 30 * 0.95);
      expect(new Set(pictures.map((each) => `${each.width}x${each.height}`))).toEqual(
        new Set([`${width}x${height}`]),
      );
      expect(pictures.some(({ pictureType }) => pictureType === 'B')).toBe(false);
      // Of all layers: to convert the small ones, GStreamer's default, costs as much as to encode them.
      expect(await rig.colors(ssrc)).toBe('bt709,bt709,bt709');
      // One keyframe, at the start: nobody asked for another.
      expect(frames.filter(({ key }) => key).length).toBe(1);
      expect(frames[0]?.key).toBe(true);
      const seconds = (frames.at(-1)!.timestamp - frames[0]!.timestamp) / 90_000;
      expect(seconds).toBeCloseTo(SECONDS, 0);
      const measured = (frames.reduce((sum, { bytes }) => sum + bytes, 0) * 8) / seconds;
      expect(Math.abs(measured / bitrate - 1), `${width}x${height}: ${measured}`).toBeLessThan(0.1);
      // An SFU switches layers by their Sender Reports.
      expect(
        rig.receivers.get('video')!.reports.filter((report) => report.ssrc === ssrc).length,
      ).toBeGreaterThan(5);
    }
    // All layers show a picture at the same RTP time.
    expect(new Set(LAYERS.map(({ ssrc }) => rig.frames(ssrc)[0]!.timestamp)).size).toBe(1);
    const sound = rig.receivers.get('audio')!.packets;
    expect(sound.length).toBeGreaterThan(SECONDS * 50 - 10);
    const soundBitrate = (sound.reduce((sum, { payload }) => sum + payload.length, 0) * 8) / SECONDS;
    expect(Math.abs(soundBitrate / 96_000 - 1)).toBeLessThan(0.1);
  });

  test('makes VP8 of the layers’ bitrates, too', async (context) => {
    const video = { ...H264, codec: 'vp8' } as typeof H264;
    const rig = await start(context, { input: FLV, pacing: 'timestamps', video, audio: null });
    await rig.receive();
    await rig.play(bFrames);
    await rig.ended();
    for (const { ssrc, width, height, bitrate } of LAYERS) {
      const packets = rig.receivers.get('video')!.packets.filter((packet) => packet.ssrc === ssrc);
      const pictures = new Set(packets.map(({ timestamp }) => timestamp)).size;
      // A layer leaves pictures out when its encoder gets no processor time, and has more bits for the others.
      expect(pictures).toBeGreaterThanOrEqual(SECONDS * 30 * 0.9);
      const bytes = packets.reduce((sum, { payload }) => sum + payload.length, 0);
      const measured = (bytes * 8) / SECONDS;
      // The first packet of a picture, behind its descriptor of four bytes.
      const keys = packets.filter(
        ({ payload }) => (payload[0]! & 0x10) !== 0 && (payload[4]! & 1) === 0,
      ).length;
      const what = `${width}x${height}: ${measured} bit/s in ${pictures} pictures, ${keys} keyframes`;
      expect(Math.abs(measured / bitrate - 1), what).toBeLessThan(0.25);
      expect(keys, what).toBe(1);
      // RFC 6386, 9.1, behind a descriptor with a 15 bit picture id: start code, width, height.
      const key = packets[0]!.payload.subarray(4 + 3);
      expect(key.subarray(0, 3)).toEqual(Buffer.from([0x9d, 0x01, 0x2a]));
      expect([key.readUInt16LE(3) & 0x3fff, key.readUInt16LE(5) & 0x3fff]).toEqual([width, height]);
    }
  });
});

describe.concurrent('on the way, and at the end', () => {
  test('answers a request for a keyframe at once, in that layer alone', async (context) => {
    const rig = await start(context, { input: FLV, pacing: 'arrival', video: H264, audio: OPUS });
    await rig.receive();
    rig.stream(bFrames);
    await rig.until('pictures', (events) => events.some((e) => e.event === 'flowing' && e.kind === 'video'));
    await sleep(1000);
    const keys = (ssrc: number): number[] =>
      rig
        .frames(ssrc)
        .filter(({ key }) => key)
        .map(({ at }) => at);
    for (const { ssrc } of LAYERS) {
      const before = LAYERS.map((layer) => keys(layer.ssrc).length);
      const asked = performance.now();
      rig.receivers.get('video')!.pli(rig.ports.get('video')!, ssrc);
      await until(`a keyframe of ${ssrc}`, () => keys(ssrc).some((at) => at > asked), 1000);
      expect(keys(ssrc).at(-1)! - asked).toBeLessThan(500);
      await sleep(200);
      const after = LAYERS.map((layer) => keys(layer.ssrc).length);
      expect(after).toEqual(before.map((count, index) => count + (LAYERS[index]!.ssrc === ssrc ? 1 : 0)));
    }
    const before = LAYERS.map((layer) => keys(layer.ssrc).length);
    await rig.pipeline.keyFrame();
    await sleep(300);
    expect(LAYERS.map((layer) => keys(layer.ssrc).length)).toEqual(before.map((count) => count + 1));
  });

  test.for([
    ['flv', 'FLV'],
    ['matroska', 'Matroska'],
  ] as const)('garbage instead of %s is an error, not a hang', async ([container, name], context) => {
    const rig = await start(context, {
      input: { type: 'pipe', container },
      pacing: 'arrival',
      video: H264,
      audio: OPUS,
    });
    await rig.receive();
    rig.pipeline.input.write(Buffer.alloc(200_000, 'no container at all'));
    await until('the exit', () => rig.exitReason !== undefined, 12_000);
    const error = rig.events.find(({ event }) => event === 'error');
    expect(error).toMatchObject({ message: expect.stringContaining(`cannot be read as ${name}`) as string });
  });

  test('stop and a closed stdin end it in the middle', async (context) => {
    const rig = await start(context, { input: FLV, pacing: 'timestamps', video: H264, audio: OPUS });
    await rig.receive();
    void rig.play(bFrames);
    await rig.until('pictures', (events) => events.some(({ event }) => event === 'flowing'));
    const began = performance.now();
    expect(await rig.pipeline.stop()).toBe('exited with code 0');
    expect(performance.now() - began).toBeLessThan(1500);
    // Nobody initialised this one.
    const other = await IngressPipeline.start({ logger: silentLogger });
    expect(await other.stop()).toBe('exited with code 0');
  });

  test('says what is wrong with what it is told', async (context) => {
    const rig = await start(context, { input: FLV, pacing: 'arrival', video: H264, audio: null });
    const { pipeline } = rig;
    await expect(pipeline.start()).rejects.toThrow('video is not connected');
    await expect(pipeline.bind('audio', { ip: '127.0.0.1' })).rejects.toThrow('this ingress has no audio');
    await expect(pipeline.bindInput('video', { ip: '127.0.0.1' })).rejects.toThrow('this input is not rtp');
    await rig.receive();
    await expect(pipeline.setLayerSizes([{ width: 2, height: 2 }])).rejects.toThrow('1 sizes for 3 layers');
    const odd = LAYERS.map(() => ({ width: 33, height: 20 }));
    await expect(pipeline.setLayerSizes(odd)).rejects.toThrow('33x20 pixels is not even');
  });

  test('copying decodes and encodes nothing, and changes no picture', async (context) => {
    const rig = await start(context, {
      input: { ...MKV, video: { codec: 'h264', rotation: 0 }, audio: { codec: 'opus' } },
      pacing: 'arrival',
      video: { mode: 'copy', codec: 'h264', payloadType: 96, ssrc: 1 },
      audio: { mode: 'copy', codec: 'opus', payloadType: 111, ssrc: 2 },
    });
    await rig.receive();
    const { elements } = await rig.pipeline.describe();
    expect(elements.filter(({ klass }) => /Decoder|Encoder/.test(klass))).toEqual([]);
    rig.stream(fit);
    await rig.ended();
    expect(rig.events).toContainEqual({
      event: 'inputFormat',
      kind: 'video',
      width: 640,
      height: 360,
      framerate: 30,
    });
    const bytes = join(folder, 'fit.h264');
    await runTool('ffmpeg', [
      '-v',
      'error',
      '-y',
      '-i',
      fit,
      '-c:v',
      'copy',
      '-bsf:v',
      'h264_mp4toannexb',
      bytes,
    ]);
    const sent = rig.frames(1);
    expect(sent.length).toBe((await ffprobePackets(fit, 'v:0')).length);
    expect(Buffer.concat(sent.flatMap(({ slices }) => slices)).equals(await slicesOf(bytes))).toBe(true);
    // Whoever joins at a keyframe gets the parameter sets with it.
    for (const { data } of sent.filter(({ key }) => key)) expect(data.readUInt8(4) & 31).toBe(7);
    const sound = rig.receivers.get('audio')!.packets;
    expect(sound.length).toBe((await ffprobePackets(fit, 'a:0')).length);
    const steps = sound.slice(1).map(({ timestamp }, index) => timestamp - sound[index]!.timestamp);
    // A sound that is not where the one before it ends is a click. The first frame's beginning is the encoder's alone.
    expect(new Set(steps.slice(1))).toEqual(new Set([960]));
  });
});

/** Coded slices of a byte stream, without start codes. */
async function slicesOf(file: string): Promise<Buffer> {
  const bytes = await readFile(file);
  const starts: number[] = [];
  for (
    let at = bytes.indexOf('\0\0\x01', 0, 'latin1');
    at >= 0;
    at = bytes.indexOf('\0\0\x01', at + 3, 'latin1')
  )
    starts.push(at + 3);
  const units = starts.map((start, index) => {
    let end = (starts[index + 1] ?? bytes.length + 3) - 3;
    if (index + 1 < starts.length && bytes[end - 1] === 0) end--;
    return bytes.subarray(start, end);
  });
  return Buffer.concat(units.filter((unit) => [1, 5].includes((unit[0] ?? 0) & 31)));
}
