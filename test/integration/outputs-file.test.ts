/** Files made of real chunks: every frame, every gap, whatever happened to the chunks. */
import { mkdir, readFile, readdir, rename, truncate, writeFile } from 'node:fs/promises';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { dirname, join } from 'node:path';
import { pino } from 'pino';
import { describe, expect, it } from 'vitest';
import { readLog } from '../../src/egress/log/reader.ts';
import type { SegmentLog } from '../../src/egress/log/reader.ts';
import { SegmentLogWriter } from '../../src/egress/log/writer.ts';
import { naturalFormat, writeFileView } from '../../src/egress/outputs/file/index.ts';
import { readMp4 } from '../../src/egress/outputs/file/mp4-reader.ts';
import { makeChunks } from '../support/chunks.ts';
import type { ChunkRecipe } from '../support/chunks.ts';
import { ffprobe, ffprobeFrames, ffprobePackets } from '../../src/demo/content/ffprobe.ts';
import { EPOCH_MS, silent, withFolder } from '../support/log-fixtures.ts';
import { runTool } from '../../src/demo/content/tool.ts';

type Take = Omit<ChunkRecipe, 'folder'> & { attempt?: number };

/** Records takes into a log, an attempt or run each, and reads it back. */
async function record(dir: string, takes: readonly Take[], endS?: number): Promise<SegmentLog> {
  let log: SegmentLogWriter | undefined;
  let current = 0;
  for (const { attempt = 1, ...take } of takes) {
    if (attempt !== current) {
      await log?.close();
      const matroska = take.video === 'vp8' || take.audio === 'opus' || take.audio === 'mp3';
      const container = matroska ? 'matroska' : 'mpegts';
      log = await SegmentLogWriter.open({
        dir,
        egressId: 'EG_1',
        attempt,
        epochMs: EPOCH_MS,
        container,
        logger: silent,
      });
      current = attempt;
    }
    for (const file of await makeChunks({ ...take, folder: log!.folder })) {
      await log!.addChunk({ file, startNs: (take.offset ?? 0) * 1e9, durationNs: 0 });
    }
  }
  if (endS !== undefined) await log?.end(endS * 1e9);
  await log?.close();
  return readLog(dir);
}

/** FFmpeg's decoder has nothing to say about the whole file. */
async function expectDecodes(path: string): Promise<void> {
  const { stderr } = await runTool('ffmpeg', ['-v', 'warning', '-i', path, '-f', 'null', '-']);
  expect(stderr).toBe('');
}

/** Largest distance between neighbouring presentation times, and where it begins, seconds. */
function largestGap(times: readonly number[]): { at: number; length: number } {
  const sorted = [...times].sort((a, b) => a - b);
  return sorted.slice(1).reduce(
    (largest, time, i) => {
      const before = sorted[i] ?? 0;
      return time - before > largest.length ? { at: before, length: time - before } : largest;
    },
    { at: 0, length: 0 },
  );
}

const times = (packets: readonly { pts: number | undefined }[]): number[] =>
  packets.map(({ pts }) => pts ?? NaN);

describe('MP4', () => {
  it('holds exactly the frames of the log, in time, index in front', () =>
    withFolder(async (dir) => {
      const log = await record(dir, [{ seconds: 6 }]);
      const progress: number[] = [];
      const path = join(dir, 'out', 'room.mp4');
      const result = await writeFileView('mp4', {
        log,
        path,
        logger: silent,
        onProgress: (done) => progress.push(done),
      });
      expect(result).toMatchObject({
        path,
        videoFrames: 180,
        audioFrames: log.audioFrames,
        reencoded: false,
        gaps: [],
      });
      const index = await readMp4(path);
      expect(index.fastStart).toBe(true);
      const video = await ffprobePackets(path, 'v:0');
      expect(video).toHaveLength(180);
      expect(video[0]?.pts).toBe(0);
      expect(largestGap(times(video)).length).toBeLessThan(0.035);
      expect(await ffprobePackets(path, 'a:0')).toHaveLength(log.audioFrames);
      expect(result.durationNs / 1e9).toBeCloseTo(6, 1);
      expect(progress.at(-1)).toBe(1);
      expect([...progress].sort((a, b) => a - b)).toEqual(progress);
      expect(await readdir(dirname(path))).toEqual(['room.mp4']);
      await expectDecodes(path);
    }));

  it('copies the picture: the same slices in the same order', () =>
    withFolder(async (dir) => {
      const log = await record(dir, [{ seconds: 4, pattern: 'ball' }]);
      const path = join(dir, 'room.mp4');
      await writeFileView('mp4', { log, path, logger: silent });
      // Slices only, as Annex B, so that both containers' framing is out of the way.
      const slices = async (input: string): Promise<string[]> => {
        const filter = `${input === path ? 'h264_mp4toannexb,' : ''}filter_units=pass_types=1-5`;
        const args = [
          '-v',
          'error',
          '-i',
          input,
          '-map',
          '0:v',
          '-c',
          'copy',
          '-bsf:v',
          filter,
          '-f',
          'framemd5',
          '-',
        ];
        const lines = (await runTool('ffmpeg', args)).stdout.split('\n');
        return lines
          .filter((line) => line && !line.startsWith('#'))
          .map((line) => line.split(',')[5]?.trim() ?? '');
      };
      const joined = join(dir, 'joined.ts');
      await writeFile(
        joined,
        Buffer.concat(await Promise.all(log.chunks.map((chunk) => readFile(chunk.path)))),
      );
      const ofLog = await slices(joined);
      expect(new Set(ofLog).size).toBeGreaterThan(100);
      expect(await slices(path)).toEqual(ofLog);
    }));

  it('keeps the gap between two attempts', () =>
    withFolder(async (dir) => {
      const log = await record(dir, [{ seconds: 6 }, { attempt: 2, offset: 14, seconds: 6 }], 20);
      const path = join(dir, 'room.mp4');
      const result = await writeFileView('mp4', { log, path, logger: silent });
      expect(result).toMatchObject({ videoFrames: 360, reencoded: false });
      expect(result.gaps).toMatchObject([{ reason: 'another worker took over', endNs: 14e9 }]);
      expect(Math.abs(result.durationNs / 1e9 - 20)).toBeLessThan(0.5);
      for (const stream of ['v:0', 'a:0']) {
        const gap = largestGap(times(await ffprobePackets(path, stream)));
        expect(gap.at).toBeCloseTo(6, 0);
        expect(gap.length).toBeCloseTo(8, 0);
      }
    }));

  it('keeps a gap of more than ten seconds, which FFmpeg takes for a fault by itself', () =>
    withFolder(async (dir) => {
      const log = await record(dir, [{ seconds: 2 }, { run: 1, offset: 47, seconds: 2 }], 49);
      const result = await writeFileView('mp4', { log, path: join(dir, 'room.mp4'), logger: silent });
      expect(Math.abs(result.durationNs / 1e9 - 49)).toBeLessThan(0.5);
      expect(result.videoFrames).toBe(120);
    }));

  it('is encoded again, at the largest size, where the picture changed', () =>
    withFolder(async (dir) => {
      const log = await record(dir, [
        { seconds: 2, width: 320, height: 180 },
        { run: 1, offset: 2, seconds: 2, width: 480, height: 360, pattern: 'ball' },
        { run: 2, offset: 8, seconds: 2, width: 180, height: 320 },
      ]);
      const path = join(dir, 'room.mp4');
      const result = await writeFileView('mp4', { log, path, logger: silent });
      expect(result).toMatchObject({ videoFrames: 180, reencoded: true });
      const frames = await ffprobeFrames(path);
      expect(frames).toHaveLength(180);
      expect(new Set(frames.map(({ width, height }) => `${width}x${height}`))).toEqual(new Set(['480x360']));
      const gap = largestGap(times(frames));
      expect(gap.at).toBeCloseTo(4, 1);
      expect(gap.length).toBeCloseTo(4, 1);
      expect(Math.abs(result.durationNs / 1e9 - 10)).toBeLessThan(0.5);
      await expectDecodes(path);
    }));

  it('of sound alone', () =>
    withFolder(async (dir) => {
      const log = await record(dir, [{ video: 'none', audio: 'aac', seconds: 4 }]);
      expect(naturalFormat(log)).toBe('mp4');
      const path = join(dir, 'room.mp4');
      const result = await writeFileView('mp4', { log, path, logger: silent });
      expect(result.audioFrames).toBe(log.audioFrames);
      expect((await ffprobe(path)).audio?.codec).toBe('aac');
    }));

  it('never hides damage: a missing, empty or cut chunk is a gap of the right length', () =>
    withFolder(async (dir) => {
      const whole = await record(dir, [{ seconds: 12 }], 12);
      expect(whole.chunks).toHaveLength(6);
      const [, missing, empty, cut] = whole.chunks;
      await rename(missing!.path, `${missing!.path}.gone`);
      await truncate(empty!.path, 0);
      await truncate(cut!.path, Math.floor(cut!.bytes / 2));
      const log = await readLog(dir);
      expect(log.gaps.length).toBeGreaterThanOrEqual(3);
      expect(log.problems).toHaveLength(3);
      const path = join(dir, 'room.mp4');
      const result = await writeFileView('mp4', { log, path, logger: silent });
      expect(result.videoFrames).toBe(log.videoFrames);
      expect(log.videoFrames).toBeGreaterThan(180);
      expect(log.videoFrames).toBeLessThan(240);
      expect(await ffprobePackets(path, 'v:0')).toHaveLength(log.videoFrames);
      expect(Math.abs(result.durationNs / 1e9 - 12)).toBeLessThan(0.5);
    }));

  it('is an error when a chunk shrinks while the file is made', () =>
    withFolder(async (dir) => {
      const log = await record(dir, [{ seconds: 4 }]);
      await truncate(log.chunks[1]!.path, 1000);
      const path = join(dir, 'out', 'room.mp4');
      await expect(writeFileView('mp4', { log, path, logger: silent })).rejects.toMatchObject({
        name: 'OutputError',
        code: 'damaged',
      });
      expect(await readdir(dirname(path))).toEqual([]);
    }));

  it('is an error when the log says there was more', () =>
    withFolder(async (dir) => {
      const log = await record(dir, [{ seconds: 4 }]);
      const lying = { ...log, videoFrames: log.videoFrames + 10 };
      await expect(
        writeFileView('mp4', { log: lying, path: join(dir, 'x.mp4'), logger: silent }),
      ).rejects.toThrow('10 of 130 video frames are not in the file');
      expect((await readdir(dir)).filter((name) => name.startsWith('x'))).toEqual([]);
      const nearly = { ...log, videoFrames: log.videoFrames + 1 };
      const result = await writeFileView('mp4', { log: nearly, path: join(dir, 'y.mp4'), logger: silent });
      expect(result.gaps).toMatchObject([{ reason: '1 of 121 video frames are not in the file' }]);
    }));

  it('can be given up', () =>
    withFolder(async (dir) => {
      const log = await record(dir, [
        { seconds: 4, width: 320 },
        { run: 1, offset: 4, width: 480, seconds: 6 },
      ]);
      const cancel = new AbortController();
      const path = join(dir, 'out', 'room.mp4');
      const made = writeFileView('mp4', {
        log,
        path,
        logger: silent,
        signal: cancel.signal,
        onProgress: () => cancel.abort(new Error('no longer wanted')),
      });
      await expect(made).rejects.toThrow('no longer wanted');
      expect(await readdir(dirname(path))).toEqual([]);
    }));

  it('refuses what does not go into it, by name', () =>
    withFolder(async (dir) => {
      const log = await record(dir, [{ video: 'vp8', seconds: 2 }]);
      await expect(writeFileView('mp4', { log, path: join(dir, 'x.mp4'), logger: silent })).rejects.toThrow(
        'vp8 and opus cannot be copied into mp4: it goes into webm',
      );
      const empty = { ...log, chunks: [] };
      await expect(
        writeFileView('mp4', { log: empty, path: join(dir, 'x.mp4'), logger: silent }),
      ).rejects.toThrow('holds no media');
    }));
});

describe('WebM', () => {
  it('holds exactly the frames of two attempts, copied', () =>
    withFolder(async (dir) => {
      const vp8 = { video: 'vp8', seconds: 4 } as const;
      const log = await record(dir, [vp8, { ...vp8, attempt: 2, offset: 9 }], 13);
      const path = join(dir, 'room.webm');
      const result = await writeFileView('webm', { log, path, logger: silent });
      expect(result).toMatchObject({ videoFrames: 240, audioFrames: log.audioFrames, reencoded: false });
      const gap = largestGap(times(await ffprobePackets(path, 'v:0')));
      expect(gap.length).toBeCloseTo(5, 0);
      expect(Math.abs(result.durationNs / 1e9 - 13)).toBeLessThan(0.5);
      await expectDecodes(path);
    }));

  it('is encoded again where the picture changed', () =>
    withFolder(async (dir) => {
      const log = await record(dir, [
        { video: 'vp8', seconds: 2 },
        { video: 'vp8', run: 1, offset: 2, seconds: 2, width: 160, height: 120 },
      ]);
      const path = join(dir, 'room.webm');
      const result = await writeFileView('webm', { log, path, logger: silent });
      expect(result).toMatchObject({ videoFrames: 120, reencoded: true });
      expect((await ffprobe(path)).video).toMatchObject({ codec: 'vp8', width: 320, height: 240 });
    }));
});

describe('OGG', () => {
  const opus = { video: 'none', audio: 'opus' } as const;

  it('copies every packet and fills what is missing, also at the end', () =>
    withFolder(async (dir) => {
      const log = await record(
        dir,
        [
          { ...opus, seconds: 4 },
          { ...opus, run: 1, offset: 9, seconds: 3 },
        ],
        15,
      );
      expect(naturalFormat(log)).toBe('ogg');
      const path = join(dir, 'track.ogg');
      const result = await writeFileView('ogg', { log, path, logger: silent });
      expect(result.audioFrames).toBe(log.audioFrames);
      expect(Math.abs(result.durationNs / 1e9 - 15)).toBeLessThan(0.05);
      const probe = await ffprobe(path);
      expect(probe.audio).toMatchObject({ codec: 'opus', sampleRate: 48_000, channels: 2 });
      expect(Math.abs((probe.duration ?? 0) - 15)).toBeLessThan(0.05);
      await expectDecodes(path);
      // What is heard is where it was said: a tone, five seconds of nothing, a tone, nothing.
      const { stderr } = await runTool('ffmpeg', [
        '-i',
        path,
        '-af',
        'silencedetect=n=-50dB:d=1',
        '-f',
        'null',
        '-',
      ]);
      const found = [...stderr.matchAll(/silence_(start|end): ([\d.]+)/g)].map(([, , at]) => Number(at));
      expect(found[0]).toBeCloseTo(4, 1);
      expect(found[1]).toBeCloseTo(9, 1);
      expect(found[2]).toBeCloseTo(12, 1);
    }));

  it('becomes an MP3 of the same length', () =>
    withFolder(async (dir) => {
      const log = await record(dir, [
        { ...opus, seconds: 3 },
        { ...opus, run: 1, offset: 6, seconds: 3 },
      ]);
      const path = join(dir, 'track.mp3');
      const result = await writeFileView('mp3', { log, path, logger: silent });
      expect((await ffprobe(path)).audio?.codec).toBe('mp3');
      expect(Math.abs(result.durationNs / 1e9 - 9)).toBeLessThan(0.5);
    }));
});

describe('sound that needs another codec, or was interrupted', () => {
  const mp3 = { video: 'none', audio: 'mp3' } as const;
  const aac = { video: 'none', audio: 'aac' } as const;

  it('MP3 is copied where it is whole', () =>
    withFolder(async (dir) => {
      const log = await record(dir, [{ ...mp3, seconds: 4 }]);
      expect(naturalFormat(log)).toBe('mp3');
      const path = join(dir, 'track.mp3');
      const result = await writeFileView('mp3', { log, path, logger: silent, audio: { bitrate: 64 } });
      expect(result.audioFrames).toBe(log.audioFrames);
      await expectDecodes(path);
    }));

  it.each([
    ['mp3', mp3],
    ['ogg', aac],
    ['mp3', aac],
  ] as const)('%s of %j has silence for what is missing', (format, take) =>
    withFolder(async (dir) => {
      const log = await record(dir, [
        { ...take, seconds: 3 },
        { ...take, run: 1, offset: 6, seconds: 3 },
      ]);
      const path = join(dir, `track.${format}`);
      const result = await writeFileView(format, { log, path, logger: silent, audio: { bitrate: 96 } });
      expect(Math.abs(result.durationNs / 1e9 - 9)).toBeLessThan(0.2);
      const { stderr } = await runTool('ffmpeg', [
        ...['-i', path, '-af', 'silencedetect=n=-50dB:d=1', '-f', 'null', '-'],
      ]);
      const found = [...stderr.matchAll(/silence_(start|end): ([\d.]+)/g)].map(([, , at]) => Number(at));
      expect(found).toHaveLength(2);
      expect(found[0]).toBeCloseTo(3, 0);
      expect(found[1]).toBeCloseTo(6, 0);
    }),
  );

  it('a picture does not go into a file of sound', () =>
    withFolder(async (dir) => {
      const log = await record(dir, [{ seconds: 2 }]);
      for (const format of ['ogg', 'mp3', 'webm'] as const) {
        const made = writeFileView(format, { log, path: join(dir, `x.${format}`), logger: silent });
        await expect(made).rejects.toThrow(/it goes into mp4/);
      }
    }));
});

describe('a pipeline killed with -9', () => {
  it('loses no more than the last moments, starting up included two seconds', () =>
    withFolder(async (dir) => {
      const options = {
        dir,
        egressId: 'EG_1',
        attempt: 1,
        epochMs: EPOCH_MS,
        container: 'mpegts',
        logger: silent,
      } as const;
      const log = await SegmentLogWriter.open(options);
      const pipeline = [
        'mpegtsmux name=m',
        `! multifilesink location=${log.folder}/r0-%06d.ts next-file=key-frame min-keyframe-distance=1900000000`,
        'videotestsrc is-live=true ! video/x-raw,format=I420,width=320,height=240,framerate=30/1',
        '! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=60 ! h264parse config-interval=-1',
        '! video/x-h264,stream-format=byte-stream,alignment=au ! queue ! m.',
        'audiotestsrc is-live=true samplesperbuffer=1024 ! audio/x-raw,rate=48000,channels=2',
        '! avenc_aac ! aacparse ! queue ! m.',
      ].join(' ');
      const child = spawn('gst-launch-1.0', ['-q', ...pipeline.split(' ')], { stdio: 'ignore' });
      await once(child, 'spawn');
      const started = Date.now();
      try {
        while ((await readdir(log.folder)).length < 4)
          await new Promise((resolve) => setTimeout(resolve, 50));
        await new Promise((resolve) => setTimeout(resolve, 1000));
      } finally {
        child.kill('SIGKILL');
        await once(child, 'exit');
      }
      const ran = (Date.now() - started) / 1000;
      const chunks = await log.endRun(0);
      await log.close();
      expect(chunks.length).toBeGreaterThanOrEqual(3);
      const read = await readLog(dir);
      expect(read.endNs / 1e9).toBeGreaterThan(ran - 2);
      const path = join(dir, 'room.mp4');
      const result = await writeFileView('mp4', { log: read, path, logger: silent });
      expect(result.videoFrames).toBe(read.videoFrames);
      expect(result.gaps).toEqual([]);
      await expectDecodes(path);
    }));
});

it('says how much room is wanting', () =>
  withFolder(async (dir) => {
    const log = await record(dir, [{ seconds: 2 }]);
    await writeFile(join(dir, 'x'), '');
    const huge = { ...log, chunks: log.chunks.map((chunk) => ({ ...chunk, bytes: 2 ** 50 })) };
    await expect(
      writeFileView('mp4', { log: huge, path: join(dir, 'x.mp4'), logger: silent }),
    ).rejects.toMatchObject({
      code: 'no_space',
    });
  }));

it('is made once more when FFmpeg hangs', () =>
  withFolder(async (dir) => {
    const log = await record(dir, [{ seconds: 3 }]);
    // In front of the real one: the first to be run stops itself, as SIGSTOP from outside would.
    const { stdout: real } = await runTool('which', ['ffmpeg']);
    const bin = join(dir, 'bin');
    await mkdir(bin);
    const once = `mkdir '${join(dir, 'hung')}' 2>/dev/null && kill -STOP $$`;
    await writeFile(join(bin, 'ffmpeg'), `#!/bin/sh\n${once}\nexec ${real.trim()} "$@"\n`, { mode: 0o755 });
    const path = process.env.PATH;
    process.env.PATH = `${bin}:${path ?? ''}`;
    try {
      const file = join(dir, 'out', 'room.mp4');
      const said: string[] = [];
      const logger = pino({ level: 'warn' }, { write: (line: string) => void said.push(line) });
      const result = await writeFileView('mp4', { log, path: file, logger, hungMs: 2000 });
      expect(said.join('')).toContain('FFmpeg hangs: ended');
      expect(result.videoFrames).toBe(log.videoFrames);
      await expectDecodes(file);
    } finally {
      process.env.PATH = path;
    }
  }));
