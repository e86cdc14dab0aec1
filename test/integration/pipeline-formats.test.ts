/** What a composite encodes for each kind of file: through an SFU, the pipeline and the log into the file, looked at. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { AudioEncoding, Container, VideoEncoding } from '../../pipelines/shared/protocol.ts';
import { analyse } from '../../src/demo/content/analyse.ts';
import { ffprobe, ffprobePackets } from '../../src/demo/content/ffprobe.ts';
import { readLog } from '../../src/egress/log/reader.ts';
import type { SegmentLog } from '../../src/egress/log/reader.ts';
import { SegmentLogWriter } from '../../src/egress/log/writer.ts';
import { naturalFormat, writeFileView } from '../../src/egress/outputs/file/index.ts';
import type { FileViewFormat } from '../../src/egress/outputs/file/index.ts';
import { HlsOutput } from '../../src/egress/outputs/hls/index.ts';
import { EPOCH_MS, MemoryStorage, silent } from '../support/log-fixtures.ts';
import { sleep, TestPipeline } from '../support/pipeline.ts';
import { makeRtpClip, TestRouter } from '../support/rtp-source.ts';

const PICTURE: VideoEncoding & { background: string } = {
  ...{ codec: 'h264', profile: 'main', width: 320, height: 180, framerate: 15, bitrate: 400 },
  ...{ keyFrameInterval: 1, preset: 'superfast', background: '#000000' },
};
const SOUND: AudioEncoding = { codec: 'opus', bitrate: 96, frequency: 48_000, channels: 2 };
/** How long everything is recorded, s. */
const SECONDS = 6.5;
/** Longer than a chunk of sound alone would be if nobody asked. */
const SEGMENT_SECONDS = 3;

const vp8 = { ...PICTURE, codec: 'vp8' } as const;
const vp9 = { ...PICTURE, codec: 'vp9' } as const;
const mp3 = { ...SOUND, codec: 'mp3', frequency: 44_100, bitrate: 112 } as const;
const aac = { ...SOUND, codec: 'aac', frequency: 44_100, exact: true } as const;

const RECIPES = {
  vp8: { video: vp8, audio: SOUND, container: 'matroska' },
  vp9: { video: vp9, audio: SOUND, container: 'matroska' },
  h264opus: { video: PICTURE, audio: SOUND, container: 'matroska' },
  opus: { video: null, audio: { ...SOUND, frequency: 16_000, bitrate: 32 }, container: 'matroska' },
  mp3: { video: null, audio: mp3, container: 'matroska' },
  aac: { video: null, audio: aac, container: 'mpegts' },
  // 21 frames from keyframe to keyframe.
  hls: { video: { ...PICTURE, keyFrameInterval: 1.4 }, audio: aac, container: 'mpegts' },
} satisfies Record<
  string,
  { video: typeof PICTURE | typeof vp8 | typeof vp9 | null; audio: AudioEncoding; container: Container }
>;
type Name = keyof typeof RECIPES;

let folder: string;
let router: TestRouter;
const logs = new Map<Name, SegmentLog>();

async function record(name: Name, published: Awaited<ReturnType<TestRouter['publish']>>): Promise<void> {
  const { video, audio, container } = RECIPES[name];
  const dir = join(folder, name);
  const writer = await SegmentLogWriter.open({
    ...{ dir, egressId: `EG_${name}`, attempt: 1, epochMs: EPOCH_MS, container, logger: silent },
  });
  const run = await TestPipeline.start(
    { program: 'composite', video, audio },
    {
      ...{ container, tap: false, dir: writer.folder },
      ...(container === 'mpegts' && { soundChunkNs: SEGMENT_SECONDS * 1e9 }),
    },
  );
  try {
    const place = { x: 0, y: 0, width: PICTURE.width, height: PICTURE.height, z: 1 };
    if (video && published.video) {
      await run.host.send({ cmd: 'layout', tiles: [{ trackId: 'video', ...place }] });
      await router.subscribe(run.host, { trackId: 'video', producer: published.video });
    }
    if (published.audio) await router.subscribe(run.host, { trackId: 'audio', producer: published.audio });
    await sleep(SECONDS * 1000);
    expect(await run.stop()).toBe('exited with code 0');
    for (const { file, startNs, durationNs } of run.of('chunk')) {
      await writer.addChunk({ file, startNs, durationNs });
    }
    await writer.endRun(0);
    await writer.end(Math.max(...run.of('chunk').map(({ startNs, durationNs }) => startNs + durationNs)));
  } finally {
    await run.host.kill();
    await writer.close();
  }
  logs.set(name, await readLog(dir));
}

function logOf(name: Name): SegmentLog {
  const log = logs.get(name);
  if (!log) throw new Error(`${name} was not recorded`);
  return log;
}

async function make(name: Name, format: FileViewFormat, bitrate?: number): Promise<string> {
  const path = join(folder, `${name}.${format}`);
  const audio = bitrate === undefined ? undefined : { bitrate };
  const made = await writeFileView(format, { log: logOf(name), path, logger: silent, audio });
  expect(made.gaps).toEqual([]);
  expect(made.reencoded).toBe(false);
  return path;
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sluice-formats-'));
  const clip = await makeRtpClip(folder, 'red', { seconds: 10, color: 'red' });
  router = await TestRouter.start();
  const published = await router.publish([clip]);
  await Promise.all((Object.keys(RECIPES) as Name[]).map((name) => record(name, published)));
}, 60_000);
afterAll(async () => {
  await router.close();
  await rm(folder, { recursive: true, force: true });
});

describe('a picture', () => {
  test.each([
    ['vp8', 'webm', 'vp8'],
    ['vp9', 'webm', 'vp9'],
    ['h264opus', 'mp4', 'h264'],
  ] as const)('%s with Opus is copied into %s', async (name, format, codec) => {
    const path = await make(name, format);
    const { video, audio } = await ffprobe(path);
    expect(video).toMatchObject({ codec, width: 320, height: 180 });
    expect(audio).toMatchObject({ codec: 'opus' });
    const report = await analyse(path, { tiles: [{ name: 'red', color: 'red', from: 2, to: 6 }] });
    expect(report.decodeErrors).toEqual([]);
    expect(report.video?.fps).toBeCloseTo(15, 0);
    expect(report.video?.maxGapMs).toBeLessThan(75);
    expect(report.tiles[0]?.inOrder).toBe(true);
    expect(report.tiles[0]?.beepShare).toBe(1);
    expect(report.tiles[0]?.avOffset.p95).toBeLessThan(120);
    const keys = (await ffprobePackets(path, 'v:0')).filter(({ key }) => key).map(({ pts }) => pts ?? 0);
    keys.slice(1).forEach((at, i) => expect(at - (keys[i] ?? 0)).toBeCloseTo(1, 1));
  });
});

describe('sound alone', () => {
  test.each([
    ['opus', 'ogg', 'opus', 32],
    ['mp3', 'mp3', 'mp3', 112],
    ['aac', 'mp4', 'aac', 96],
    // Beside segments the log is AAC, and the file is encoded of it.
    ['aac', 'ogg', 'opus', 64],
    ['aac', 'mp3', 'mp3', 160],
  ] as const)('%s becomes %s', async (name, format, codec, bitrate) => {
    const path = await make(name, format, bitrate);
    const { audio, video, duration = 0 } = await ffprobe(path);
    expect(video).toBeUndefined();
    expect(audio?.codec).toBe(codec);
    expect(duration).toBeGreaterThan(SECONDS - 1);
    const packets = await ffprobePackets(path, 'a:0');
    const rate = (packets.reduce((sum, { size }) => sum + size, 0) * 8) / duration / 1000;
    expect(rate).toBeGreaterThan(bitrate * 0.95);
    expect(rate).toBeLessThan(bitrate * 1.05);
    const report = await analyse(path, { tiles: [{ name: 'red', color: 'red', from: 2, to: 6 }] });
    expect(report.decodeErrors).toEqual([]);
    expect(report.audio?.gaps).toEqual([]);
    expect(report.tiles[0]?.beepShare).toBe(1);
  });

  test('goes by copy into the kind of file that is its own', () => {
    expect([naturalFormat(logOf('opus')), naturalFormat(logOf('mp3')), naturalFormat(logOf('aac'))]).toEqual([
      ...['ogg', 'mp3', 'mp4'],
    ]);
  });
});

describe('segments', () => {
  test.each([
    ['of sound alone', 'aac', SEGMENT_SECONDS, 1024 / aac.frequency],
    ['of pictures and sound', 'hls', 2.8, 1 / PICTURE.framerate],
  ] as const)('%s are as long as was asked for, to a frame', async (_, name, wanted, frame) => {
    const storage = new MemoryStorage();
    const hls = new HlsOutput({
      ...{ storage, segmentPrefix: 'a', playlistKey: 'a.m3u8', suffix: 'index', logger: silent },
      ...{ segmentDuration: wanted, earlier: [] },
    });
    for (const chunk of logOf(name).chunks) hls.push(chunk);
    await hls.finish();
    const playlist = storage.text('a.m3u8');
    const lengths = [...playlist.matchAll(/#EXTINF:([\d.]+)/g)].map(([, length]) => Number(length));
    expect(lengths.length).toBeGreaterThanOrEqual(2);
    for (const length of lengths.slice(0, -1)) {
      expect(Math.abs(length - wanted)).toBeLessThanOrEqual(frame + 0.001);
    }
  });
});
