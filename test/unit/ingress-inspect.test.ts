import { execFile } from 'node:child_process';
import { Readable } from 'node:stream';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { FlvInspector, MkvInspector, inspect } from '../../src/ingress/inputs/inspect/index.ts';
import { InputError } from '../../src/ingress/inputs/types.ts';

const run = promisify(execFile);
const options = (): { signal: AbortSignal; timeoutMs: number; maxBytes: number } => ({
  signal: new AbortController().signal,
  timeoutMs: 3000,
  maxBytes: 8e6,
});

type Container = 'flv' | 'matroska';

/** A clip on FFmpeg's standard output, which it cannot seek in. */
async function clip(container: Container, args: string, seconds = 3): Promise<Buffer> {
  const { stdout } = await run(
    'ffmpeg',
    [
      ...'-v error -f lavfi -i testsrc2=s=322x182:r=25 -f lavfi -i sine=r=44100'.split(' '),
      ...args.split(' '),
      ...['-t', String(seconds), '-f', container, '-'],
    ],
    { encoding: 'buffer', maxBuffer: 64e6 },
  );
  return stdout;
}

const inspector = (container: Container): FlvInspector | MkvInspector =>
  container === 'flv' ? new FlvInspector() : new MkvInspector();

function feed(container: Container, bytes: Buffer, step: number): FlvInspector | MkvInspector {
  const looking = inspector(container);
  for (let at = 0; at < bytes.length; at += step) looking.push(bytes.subarray(at, at + step));
  return looking;
}

const X264 = '-c:v libx264 -preset veryfast -g 50 -b:v 400k -maxrate 400k -bufsize 400k';
const VIDEO = '-pix_fmt yuv420p';

describe.each<[Container, string, object, object]>([
  [
    'flv',
    `${X264} ${VIDEO} -bf 2 -profile:v high -c:a aac -ac 2`,
    { codec: 'h264', profile: 'High', width: 322, height: 182, framerate: 25, bFrames: true },
    { codec: 'aac', sampleRate: 44_100, channels: 2 },
  ],
  [
    'flv',
    `${X264} ${VIDEO} -bf 0 -c:a libmp3lame -ac 1`,
    { codec: 'h264', width: 322, height: 182, bFrames: false },
    { codec: 'mp3', sampleRate: 44_100, channels: 1 },
  ],
  [
    'flv',
    `${X264} ${VIDEO} -profile:v baseline -an`,
    { codec: 'h264', profile: 'Constrained Baseline', bFrames: false },
    {},
  ],
  ['flv', '-vn -c:a pcm_mulaw -ar 8000 -ac 1', {}, { codec: 'pcm_mulaw', sampleRate: 8000, channels: 1 }],
  [
    'matroska',
    `${X264} ${VIDEO} -bf 2 -c:a libopus -ac 2 -ar 48000`,
    { codec: 'h264', bFrames: true, framerate: 25 },
    { codec: 'opus', sampleRate: 48_000, channels: 2 },
  ],
  [
    'matroska',
    `${X264} ${VIDEO} -bf 0 -c:a aac -ac 1`,
    { codec: 'h264', width: 322, height: 182, bFrames: false },
    { codec: 'aac', sampleRate: 44_100, channels: 1 },
  ],
  [
    'matroska',
    '-c:v mjpeg -pix_fmt yuvj420p -c:a pcm_mulaw -ar 8000',
    { codec: 'mjpeg', width: 322, height: 182, framerate: 25, bFrames: undefined },
    { codec: 'pcm_mulaw', sampleRate: 8000, channels: 1 },
  ],
  [
    'matroska',
    '-c:v libx265 -preset ultrafast -x265-params log-level=none -c:a pcm_alaw -ar 8000',
    { codec: 'hevc', width: 322, height: 182, bFrames: undefined },
    { codec: 'pcm_alaw', sampleRate: 8000 },
  ],
  [
    'matroska',
    '-c:v libvpx -deadline realtime -cpu-used 8 -c:a libvorbis',
    { codec: 'vp8', width: 322, height: 182 },
    { codec: 'vorbis', sampleRate: 44_100 },
  ],
  ['matroska', '-c:v mpeg4 -c:a ac3', { codec: 'mpeg4', width: 322 }, { codec: 'ac3', sampleRate: 44_100 }],
])('%s with %s', (container, args, video, audio) => {
  it('is described and measured, however it is cut', async () => {
    const bytes = await clip(container, args);
    for (const step of [1, 7, 1000, 65_537, bytes.length]) {
      const looking = feed(container, bytes, step);
      expect(looking.failure).toBeUndefined();
      const { description } = looking;
      if ('codec' in video) expect(description?.video).toMatchObject(video);
      else expect(description?.video).toBeUndefined();
      if ('codec' in audio) expect(description?.audio).toMatchObject(audio);
      else expect(description?.audio).toBeUndefined();
      const measures = looking.measures();
      if ('codec' in video) {
        expect(measures.video).toMatchObject({ width: 322, height: 182 });
        expect(measures.video?.framerate).toBeCloseTo(25, 0);
        expect(measures.video?.bitrate).toBeGreaterThan(20_000);
      }
      if ('codec' in audio) {
        expect(measures.audio?.bitrate).toBeGreaterThan(10_000);
        if (/mulaw|alaw/.test(args)) expect(measures.audio?.bitrate).toBeCloseTo(64_000, -4);
      }
    }
  });
});

describe('B-frames without a hint in the parameter set', () => {
  // The rewritten parameter sets lose what x264 says about reordering.
  it.each<[Container, number]>([
    ['flv', 0],
    ['flv', 2],
    ['matroska', 0],
    ['matroska', 2],
  ])('%s, %i of them', async (container, count) => {
    const bytes = await clip(container, `${X264} ${VIDEO} -profile:v main -bf ${count} -an`);
    const looking = inspector(container);
    const plain = withoutReorderHint(bytes);
    expect(plain.equals(bytes)).toBe(false);
    looking.push(plain);
    expect(looking.description?.video).toMatchObject({
      codec: 'h264',
      profile: 'Main',
      width: 322,
      bFrames: count > 0,
    });
    // Decided after about a second, not at the end.
    const early = feed(container, plain.subarray(0, plain.length * 0.55), 4096);
    expect(early.description?.video?.bFrames).toBe(count > 0);
  });
});

/** Makes the VUI of a 322x182 SPS of x264's unreadable. */
function withoutReorderHint(bytes: Buffer): Buffer {
  const copy = Buffer.from(bytes);
  const from = copy.indexOf(Buffer.from([0x67, 0x4d]));
  if (from < 0) return copy;
  const size = copy.readUInt16BE(from - 2);
  // Everything behind the cropping is filled with ones: the VUI runs out of bits and counts as none.
  copy.fill(0xff, from + 11, from + size);
  return copy;
}

describe('inspect', () => {
  it('hands on every byte, and ends its source when it is closed', async () => {
    const bytes = await clip('flv', `${X264} ${VIDEO} -c:a aac`);
    const pieces: Buffer[] = [];
    for (let at = 0; at < bytes.length; at += 5000) pieces.push(bytes.subarray(at, at + 5000));
    const { data, description, measures } = await inspect(Readable.from(pieces), 'flv', options());
    expect(description.audio?.codec).toBe('aac');
    expect(Buffer.concat(await data.toArray()).equals(bytes)).toBe(true);
    expect(measures().video?.framerate).toBeCloseTo(25, 0);

    const source = Readable.from(pieces, { objectMode: false });
    const second = await inspect(source, 'flv', options());
    expect(source.readableFlowing).not.toBe(true);
    second.data.destroy();
    await expect.poll(() => source.destroyed).toBe(true);
  });

  it('takes what is there when the rest does not come', async () => {
    const bytes = await clip('flv', `${X264} ${VIDEO} -an`);
    bytes[4] = 5; // says that there is audio
    const source = new Readable({ read: () => undefined });
    source.push(bytes.subarray(0, 6000));
    const { description, data } = await inspect(source, 'flv', { ...options(), timeoutMs: 300 });
    expect(description).toMatchObject({ video: { codec: 'h264' }, audio: undefined });
    data.destroy();
    expect(
      source.destroyed || (await new Promise((resolve) => source.once('close', () => resolve(true)))),
    ).toBe(true);
  });

  it('says what is wrong', async () => {
    const refused = (source: Readable): Promise<unknown> =>
      inspect(source, 'matroska', { ...options(), timeoutMs: 100 }).catch((error: unknown) => error);
    const garbage = await refused(Readable.from([Buffer.from('<html>no</html>')]));
    expect(garbage).toBeInstanceOf(InputError);
    expect(garbage).toMatchObject({ retry: false });
    expect(await refused(Readable.from([]))).toMatchObject({ retry: true });
    const silent = new Readable({ read: () => undefined });
    expect(await refused(silent)).toMatchObject({ message: expect.stringContaining('0.1 s') as string });
    expect(silent.destroyed).toBe(true);
  });

  it('gives up when told to', async () => {
    const silent = new Readable({ read: () => undefined });
    const reason = new Error('enough');
    const signal = AbortSignal.abort(reason);
    await expect(inspect(silent, 'flv', { ...options(), signal })).rejects.toBe(reason);
    const later = new AbortController();
    const waiting = inspect(new Readable({ read: () => undefined }), 'flv', {
      ...options(),
      signal: later.signal,
    });
    later.abort(reason);
    await expect(waiting).rejects.toBe(reason);
  });
});

describe('garbage', () => {
  it.each<Container>(['flv', 'matroska'])('in %s never throws', async (container) => {
    const whole = await clip(container, `${X264} ${VIDEO} -c:a aac`, 1);
    let seed = 1;
    const random = (below: number): number => {
      seed = (seed * 1_103_515_245 + 12_345) & 0x7fffffff;
      return seed % below;
    };
    let failed = 0;
    let described = 0;
    for (let round = 0; round < 400; round++) {
      const bytes = Buffer.from(whole);
      const flips = 1 + random(30);
      for (let i = 0; i < flips; i++) bytes[random(round % 2 ? 600 : bytes.length)] = random(256);
      const looking = feed(container, bytes, 1 + random(20_000));
      looking.settle();
      looking.measures();
      if (looking.failure) {
        failed++;
        expect(looking.failure).toBeInstanceOf(InputError);
      }
      if (looking.description) described++;
    }
    // It got past the first header, and it noticed damage.
    expect(described).toBeGreaterThan(100);
    expect(failed).toBeGreaterThan(20);
  });
});
