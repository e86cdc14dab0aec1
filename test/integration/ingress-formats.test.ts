/** What an ingress program makes of unusual sources: sizes, turned pictures, changes, few or many channels. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, test, type TestContext } from 'vitest';

import type { IngressEvent } from '../../pipelines/shared/ingress-protocol.ts';
import { runTool } from '../../src/demo/content/tool.ts';
import { H264, IngressRig, makeSource, OPUS } from '../support/ingress-rig.ts';

const X264 = ['-c:v', 'libx264', '-preset', 'superfast', '-pix_fmt', 'yuv420p'];
const ONE_LAYER = {
  ...H264,
  layers: [{ width: 320, height: 180, bitrate: 300_000, ssrc: 7 }],
} as typeof H264;

function layer(width: number, height: number): typeof H264 {
  return { ...ONE_LAYER, layers: [{ width, height, bitrate: 300_000, ssrc: 7 }] } as typeof H264;
}

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sluice-ingress-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function start(
  { onTestFinished }: Pick<TestContext, 'onTestFinished'>,
  init: Parameters<typeof IngressRig.start>[0],
): Promise<IngressRig> {
  const rig = await IngressRig.start(init);
  onTestFinished(() => rig.close());
  return rig;
}

function formats(rig: IngressRig, kind: 'audio' | 'video'): IngressEvent[] {
  return rig.events.filter((event) => event.event === 'inputFormat' && event.kind === kind);
}

async function sizes(rig: IngressRig): Promise<string[]> {
  return [...new Set((await rig.decoded(7)).map(({ width, height }) => `${width}x${height}`))];
}

// At once: sources are played at their own pace.
describe.concurrent('video', () => {
  test('of an odd size, in a codec nobody named, becomes even layers', async (context) => {
    const file = join(folder, 'odd.mkv');
    await makeSource(
      file,
      ['testsrc2=s=640x360:r=25:d=2,format=yuv444p,scale=431:241,setsar=1'],
      ['-c:v', 'libvpx', '-deadline', 'realtime', '-pix_fmt', 'yuv420p'],
    );
    const rig = await start(context, {
      input: { type: 'pipe', container: 'matroska' },
      pacing: 'timestamps',
      video: layer(430, 240),
      audio: null,
    });
    await rig.receive();
    await rig.play(file);
    await rig.ended();
    expect(formats(rig, 'video')).toEqual([
      { event: 'inputFormat', kind: 'video', width: 431, height: 241, framerate: 25 },
    ]);
    expect(await sizes(rig)).toEqual(['430x240']);
    expect(rig.frames(7).length).toBeGreaterThanOrEqual(40);
  });

  test('that is to be shown turned is turned', async (context) => {
    const file = join(folder, 'turned.mkv');
    // White on the left: turned clockwise by 90 degrees it is at the top.
    const half = 'color=black:s=320x180:r=30:d=2,drawbox=x=0:y=0:w=160:h=180:c=white:t=fill';
    await makeSource(file, [half], X264);
    const rig = await start(context, {
      input: { type: 'pipe', container: 'matroska', video: { codec: 'h264', rotation: 90 } },
      pacing: 'timestamps',
      video: layer(180, 320),
      audio: null,
    });
    await rig.receive();
    await rig.play(file);
    await rig.ended();
    expect(formats(rig, 'video')).toMatchObject([{ width: 180, height: 320 }]);
    const picture = await rig.picture(7);
    expect(picture.length).toBe(180 * 320);
    expect(picture[90 + 40 * 180]).toBeGreaterThan(200);
    expect(picture[90 + 280 * 180]).toBeLessThan(50);
  });

  test('whose size changes goes on, in new sizes when told', async (context) => {
    const [first, second] = [join(folder, 'wide.h264'), join(folder, 'tall.h264')];
    const file = join(folder, 'change.flv');
    await makeSource(first, ['testsrc2=s=640x360:r=30:d=2'], [...X264, '-bf', '0']);
    await makeSource(second, ['testsrc2=s=480x360:r=30:d=2'], [...X264, '-bf', '0']);
    await joinInFlv([first, second], file);
    const rig = await start(context, {
      input: { type: 'pipe', container: 'flv', video: { codec: 'h264', rotation: 0 } },
      pacing: 'arrival',
      video: ONE_LAYER,
      audio: null,
    });
    await rig.receive();
    rig.stream(file);
    await rig.until('the other size', () => formats(rig, 'video').length === 2);
    await rig.pipeline.setLayerSizes([{ width: 240, height: 180 }]);
    await rig.ended();
    expect(formats(rig, 'video')).toMatchObject([
      { width: 640, height: 360 },
      { width: 480, height: 360 },
    ]);
    expect(await sizes(rig)).toEqual(['320x180', '240x180']);
    expect(rig.frames(7).length).toBeGreaterThan(100);
    expect(rig.frames(7).filter(({ key }) => key).length).toBe(2);
  });

  test('with twice the frames asked for loses every other one', async (context) => {
    const file = join(folder, 'fast.flv');
    await makeSource(file, ['testsrc2=s=320x180:r=60:d=3'], [...X264, '-bf', '2']);
    const rig = await start(context, {
      input: { type: 'pipe', container: 'flv', video: { codec: 'h264', rotation: 0, framerate: 60 } },
      pacing: 'timestamps',
      video: ONE_LAYER,
      audio: null,
    });
    await rig.receive();
    await rig.play(file);
    await rig.ended();
    expect(rig.frames(7).length).toBeGreaterThanOrEqual(80);
    expect(rig.frames(7).length).toBeLessThanOrEqual(92);
  });

  test('copied goes on with the new parameter sets', async (context) => {
    const [first, second] = [join(folder, 'a.h264'), join(folder, 'b.h264')];
    const file = join(folder, 'copy.flv');
    await makeSource(first, ['testsrc2=s=640x360:r=30:d=1'], [...X264, '-bf', '0']);
    await makeSource(second, ['testsrc2=s=480x360:r=30:d=1'], [...X264, '-bf', '0']);
    await joinInFlv([first, second], file);
    const rig = await start(context, {
      input: { type: 'pipe', container: 'flv', video: { codec: 'h264', rotation: 0 } },
      pacing: 'arrival',
      video: { mode: 'copy', codec: 'h264', payloadType: 96, ssrc: 7 },
      audio: null,
    });
    await rig.receive();
    rig.stream(file);
    await rig.ended();
    expect(await sizes(rig)).toEqual(['640x360', '480x360']);
    expect((await rig.decoded(7)).length).toBe(60);
  });
});

describe.concurrent('audio', () => {
  test('of six channels at 44.1 kHz becomes stereo, without any video', async (context) => {
    const file = join(folder, 'surround.mkv');
    await makeSource(
      file,
      ['sine=frequency=440:sample_rate=44100:duration=3'],
      ['-af', 'pan=5.1|FL=c0|FR=c0|FC=c0|LFE=c0|BL=c0|BR=c0', '-c:a', 'aac'],
    );
    const rig = await start(context, {
      input: { type: 'pipe', container: 'matroska', audio: { codec: 'aac' } },
      pacing: 'timestamps',
      video: null,
      audio: OPUS,
    });
    await rig.receive();
    await rig.play(file);
    await rig.ended();
    expect(formats(rig, 'audio')).toEqual([
      { event: 'inputFormat', kind: 'audio', channels: 6, rate: 44_100 },
    ]);
    const { packets } = rig.receivers.get('audio')!;
    expect(packets.length).toBeGreaterThanOrEqual(148);
    expect(rig.events.filter(({ event }) => event === 'warning')).toEqual([]);
    // RFC 6716, 3.1: the third bit says stereo.
    expect(packets.every(({ payload }) => (payload.readUInt8(0) & 4) !== 0)).toBe(true);
    // The first frame's beginning is the encoder's, not the source's.
    const steps = packets.slice(1).map(({ timestamp }, index) => timestamp - packets[index]!.timestamp);
    expect(new Set(steps.slice(1))).toEqual(new Set([960]));
  });

  test('that is silent is hardly sent with DTX, and alone of a source with video', async (context) => {
    const file = join(folder, 'silent.flv');
    await makeSource(
      file,
      ['testsrc2=s=320x180:r=30:d=4', 'anullsrc=r=44100:cl=stereo:d=4'],
      [...X264, '-c:a', 'libmp3lame'],
    );
    const rig = await start(context, {
      input: { type: 'pipe', container: 'flv', audio: { codec: 'mp3' } },
      pacing: 'timestamps',
      video: null,
      audio: { ...OPUS, mode: 'encode', bitrate: 64_000, channels: 1, dtx: true },
    });
    await rig.receive();
    await rig.play(file);
    await rig.ended();
    const { packets } = rig.receivers.get('audio')!;
    expect(packets.length).toBeGreaterThan(3);
    expect(packets.length).toBeLessThan(80);
    expect(packets.every(({ payload }) => (payload.readUInt8(0) & 4) === 0)).toBe(true);
  });

  test('that was promised but never comes does not keep the end away', async (context) => {
    const file = join(folder, 'mute.flv');
    await makeSource(file, ['testsrc2=s=320x180:r=30:d=3'], X264);
    const rig = await start(context, {
      input: {
        type: 'pipe',
        container: 'flv',
        video: { codec: 'h264', rotation: 0, framerate: 60 },
        audio: { codec: 'aac' },
      },
      pacing: 'timestamps',
      video: ONE_LAYER,
      audio: OPUS,
    });
    await rig.receive();
    await rig.play(file);
    await rig.ended();
    expect(rig.frames(7).length).toBeGreaterThanOrEqual(87);
    expect(rig.events).toContainEqual({ event: 'warning', message: 'there is no audio in the input' });
  });
});

/** One FLV whose H.264 changes its parameter sets in the middle, as an encoder that is set anew sends it. */
async function joinInFlv(files: readonly string[], target: string): Promise<void> {
  const parts: Buffer[] = [];
  let offset = 0;
  for (const [index, file] of files.entries()) {
    const flv = `${file}.flv`;
    await runTool('ffmpeg', ['-v', 'error', '-y', '-r', '30', '-i', file, '-c', 'copy', flv]);
    const bytes = await readFile(flv);
    // Header and first tag size are the first file's; script data is left out.
    if (index === 0) parts.push(bytes.subarray(0, 13));
    let last = 0;
    for (let at = 13; at + 15 <= bytes.length;) {
      const size = 11 + bytes.readUIntBE(at + 1, 3) + 4;
      const tag = Buffer.from(bytes.subarray(at, at + size));
      const time = bytes.readUIntBE(at + 4, 3) + offset;
      tag.writeUIntBE(time, 4, 3);
      // The end of sequence of the first is not the end of all.
      const endOfSequence = bytes[at + 12] === 2;
      if (bytes[at] === 9 && !endOfSequence) parts.push(tag);
      last = time;
      at += size;
    }
    offset = last + 33;
  }
  await writeFile(target, Buffer.concat(parts));
}
