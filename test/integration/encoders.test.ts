/** Encoders hold what was asked of them, also for pictures that are hard to encode: size, frames, bitrate, profile. */
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { AudioEncoding, VideoEncoding } from '../../pipelines/shared/protocol.ts';
import {
  audioEncoder,
  audioFrame,
  muxer,
  muxPad,
  rawAudio,
  videoEncoder,
} from '../../pipelines/shared/encoders.ts';
import { ffprobe, ffprobePackets } from '../../src/demo/content/ffprobe.ts';

const run = promisify(execFile);
const WITHIN = 0.05;
const PICTURE_SECONDS = 6;
const SOUND_SECONDS = 10;

let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sluice-encoders-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** Bytes of a stream's packets as kbit/s. */
async function rateOf(path: string, stream: 'v:0' | 'a:0', seconds: number): Promise<number> {
  const packets = await ffprobePackets(path, stream);
  return (packets.reduce((sum, { size }) => sum + size, 0) * 8) / seconds / 1000;
}

/** Encodes a source of GStreamer's as a composite does, faster than real time. @returns the file */
async function encode(name: string, text: string): Promise<string> {
  const path = join(folder, `${name}.mkv`);
  await run('gst-launch-1.0', ['-q', ...`${text} ! filesink location=${path}`.split(/\s+/)], {
    timeout: 60_000,
  });
  return path;
}

describe.concurrent('a moving picture of fine detail', () => {
  test.each<[Partial<VideoEncoding>, string]>([
    [{ codec: 'h264', profile: 'baseline', width: 360, height: 640, bitrate: 600 }, 'Constrained Baseline'],
    [{ codec: 'h264', profile: 'main', width: 640, height: 360, framerate: 60 }, 'Main'],
    [{ codec: 'h264', profile: 'high', width: 640, height: 360, bitrate: 1500 }, 'High'],
    [{ codec: 'vp8', width: 640, height: 360 }, ''],
    [{ codec: 'vp9', width: 640, height: 360, framerate: 15, bitrate: 500 }, ''],
  ])('%j', async (change, profile) => {
    const video: VideoEncoding = {
      ...{ codec: 'h264', profile: 'main', width: 640, height: 360, framerate: 30, bitrate: 800 },
      ...{ keyFrameInterval: 2, preset: 'veryfast', ...change },
    };
    const { codec, width, height, framerate, bitrate } = video;
    const frames = PICTURE_SECONDS * framerate;
    const path = await encode(
      `${codec}-${video.profile}`,
      `videotestsrc num-buffers=${frames} pattern=zone-plate kx2=20 ky2=20 kt=3 ! ` +
        `video/x-raw,format=I420,width=${width},height=${height},framerate=${framerate}/1 ! ` +
        `${videoEncoder(video, 'matroska', 2)} ! queue ! ${muxPad('matroska', 'video')} ` +
        muxer('matroska', { video: true, audio: false }),
    );
    const found = await ffprobe(path);
    expect(found.video).toMatchObject({ codec, width, height, ...(profile && { profile }) });
    const packets = await ffprobePackets(path, 'v:0');
    expect(packets).toHaveLength(frames);
    const keys = packets.flatMap(({ key }, at) => (key ? [at] : []));
    expect(keys).toEqual(keys.map((_, i) => i * 2 * framerate));
    const rate = await rateOf(path, 'v:0', PICTURE_SECONDS);
    expect(Math.abs(rate / bitrate - 1)).toBeLessThan(WITHIN);
  });
});

describe.concurrent('a sound', () => {
  test.each<[Omit<AudioEncoding, 'channels'>, string]>([
    [{ codec: 'aac', frequency: 44_100, bitrate: 128, exact: true }, 'pink-noise'],
    [{ codec: 'aac', frequency: 48_000, bitrate: 128, exact: true }, 'sine'],
    [{ codec: 'aac', frequency: 16_000, bitrate: 32 }, 'pink-noise'],
    [{ codec: 'opus', frequency: 48_000, bitrate: 32 }, 'pink-noise'],
    [{ codec: 'opus', frequency: 16_000, bitrate: 24 }, 'sine'],
    [{ codec: 'mp3', frequency: 44_100, bitrate: 192 }, 'sine'],
    [{ codec: 'mp3', frequency: 22_050, bitrate: 64 }, 'pink-noise'],
  ])('%j of %s', async (settings, wave) => {
    const audio: AudioEncoding = { ...settings, channels: 2 };
    const frame = audioFrame(audio);
    const container = audio.codec === 'aac' ? 'mpegts' : 'matroska';
    const path = await encode(
      `${audio.codec}-${audio.frequency}-${wave}`,
      `audiotestsrc num-buffers=${Math.round((SOUND_SECONDS * audio.frequency) / frame)} samplesperbuffer=${frame} ` +
        `wave=${wave} ! ${rawAudio(audio, 'F32LE')} ! ${audioEncoder(audio)} ! queue ! ` +
        `${muxPad(container, 'audio')} ${muxer(container, { video: false, audio: true })}`,
    );
    const { audio: found } = await ffprobe(path);
    expect(found?.codec).toBe(audio.codec);
    const rate = await rateOf(path, 'a:0', SOUND_SECONDS);
    expect(Math.abs(rate / audio.bitrate - 1)).toBeLessThan(WITHIN);
  });
});
