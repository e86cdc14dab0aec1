import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  FfmpegError,
  countPackets,
  FfmpegProcess,
  ffmpegArguments,
  parseProgress,
  runFfmpeg,
} from '../../src/pipeline/ffmpeg.ts';
import { silent, withFolder } from '../support/log-fixtures.ts';

describe('arguments', () => {
  it('are built word by word, ours first', () => {
    const args = ffmpegArguments((command) => {
      command.input('pipe:0').inputOptions('-f', 'mpegts');
      command.output('/tmp/a file.mp4').outputOptions('-c', 'copy', '-metadata', 'title=two words');
    });
    expect(args.slice(0, 4)).toEqual(['-hide_banner', '-nostdin', '-loglevel', 'warning']);
    expect(args).toContain('title=two words');
    expect(args.slice(-6)).toEqual(['-y', '-c', 'copy', '-metadata', 'title=two words', '/tmp/a file.mp4']);
    expect(args.join(' ')).toContain('-f mpegts -i pipe:0');
  });
});

describe('progress', () => {
  it.each([
    [
      'frame=  123 fps= 30 q=-1.0 size=    1234kB time=00:00:04.10 bitrate=2465.1kbits/s speed=1.01x',
      { frames: 123, kilobytes: 1234, seconds: 4.1 },
    ],
    [
      'size=     100kB time=01:00:00.50 bitrate= 128.0kbits/s speed= 1x',
      { frames: 0, kilobytes: 100, seconds: 3600.5 },
    ],
    [
      'frame=    0 fps=0.0 q=-1.0 size=       0kB time=N/A bitrate=N/A speed=N/A',
      { frames: 0, kilobytes: 0, seconds: 0 },
    ],
    [
      'frame=    1 fps=0.0 q=0.0 Lsize=N/A time=-00:00:00.02 bitrate=N/A speed=N/A',
      { frames: 1, kilobytes: 0, seconds: 0 },
    ],
  ])('%s', (line, expected) => expect(parseProgress(line)).toEqual(expected));

  it.each(['', 'Connection refused', '[mpegts @ 0x1] time=1 is not what it seems', 'Stream mapping:'])(
    'is not in %j',
    (line) => expect(parseProgress(line)).toBeUndefined(),
  );
});

/** A picture test source of some seconds into a file. */
function makeClip(path: string, seconds: number, realTime = false): string[] {
  return ffmpegArguments((command) => {
    command.input(`testsrc=size=64x64:rate=30:duration=${seconds}`).inputOptions('-f', 'lavfi');
    if (realTime) command.inputOptions('-re');
    command.output(path).outputOptions('-c:v', 'libx264', '-preset', 'ultrafast', '-f', 'matroska');
  });
}

describe('a run', () => {
  it('makes its file and tells how far it is', () =>
    withFolder(async (dir) => {
      const seconds: number[] = [];
      const path = join(dir, 'clip.mkv');
      await runFfmpeg({
        args: makeClip(path, 2),
        logger: silent,
        onProgress: (progress) => seconds.push(progress.seconds),
      });
      expect((await stat(path)).size).toBeGreaterThan(1000);
      expect(seconds.at(-1)).toBeCloseTo(2, 0);
    }));

  it('that fails says what FFmpeg said, without keys', async () => {
    const args = ffmpegArguments((command) => {
      command.input('rtmp://127.0.0.1:1/live/secretkey').output('/dev/null').outputOptions('-f', 'null');
    });
    const failed = runFfmpeg({ args, logger: silent, secrets: ['live'] });
    await expect(failed).rejects.toThrow(FfmpegError);
    // It has no network, where the system allows that.
    await expect(failed).rejects.toThrow(/failed with code 1: .*(Connection refused|Network is unreachable)/);
    await expect(failed).rejects.not.toThrow(/secretkey|live/);
  });

  it('that leaves input unread is a failure', async () => {
    // More than pipe and buffers hold, of which FFmpeg wants one second only.
    async function* zeros(): AsyncGenerator<Uint8Array> {
      for (let i = 0; i < 100; i++) yield new Uint8Array(1024 * 1024);
    }
    const args = ffmpegArguments((command) => {
      command
        .input('pipe:0')
        .inputOptions('-f', 's16le', '-t', '1')
        .output('/dev/null')
        .outputOptions('-f', 'null');
    });
    await expect(runFfmpeg({ args, input: zeros(), logger: silent })).rejects.toThrow(
      'before the end of its input',
    );
  });

  it('whose input fails fails with that, and is ended', async () => {
    async function* broken(): AsyncGenerator<Uint8Array> {
      yield new Uint8Array(1000);
      throw new Error('the disk is gone');
    }
    const args = ffmpegArguments((command) => {
      command.input('pipe:0').inputOptions('-f', 's16le').output('/dev/null').outputOptions('-f', 'null');
    });
    await expect(runFfmpeg({ args, input: broken(), logger: silent })).rejects.toThrow('the disk is gone');
  });

  it('can be aborted', () =>
    withFolder(async (dir) => {
      const cancel = new AbortController();
      const run = runFfmpeg({
        args: makeClip(join(dir, 'clip.mkv'), 600, true),
        logger: silent,
        signal: cancel.signal,
      });
      setTimeout(() => cancel.abort(new Error('no longer wanted')), 300);
      await expect(run).rejects.toThrow('no longer wanted');
    }));
});

describe('a process', () => {
  it('finishes what it writes when it is stopped', () =>
    withFolder(async (dir) => {
      const path = join(dir, 'clip.mkv');
      let frames = 0;
      const child = new FfmpegProcess({
        args: makeClip(path, 600, true),
        stdin: 'none',
        logger: silent,
        onProgress: (progress) => (frames = progress.frames),
      });
      try {
        await expect.poll(() => frames, { timeout: 10_000 }).toBeGreaterThan(10);
        // 255: FFmpeg's way of saying that it was asked to end.
        expect(await child.stop()).toEqual({ code: 255, signal: null });
      } finally {
        await child.kill();
      }
      expect(child.running).toBe(false);
      expect(await child.stop()).toEqual({ code: 255, signal: null });
      const { streams, duration } = await countPackets(path, silent);
      expect(streams[0]?.packets).toBe(frames);
      // Written with the trailer only.
      expect(duration).toBeCloseTo(frames / 30, 1);
    }));

  it('that does not listen is killed at its deadline', () =>
    withFolder(async (dir) => {
      const child = new FfmpegProcess({
        args: makeClip(join(dir, 'clip.mkv'), 600, true),
        stdin: 'none',
        logger: silent,
      });
      await new Promise((resolve) => setTimeout(resolve, 300));
      process.kill(child.pid ?? 0, 'SIGSTOP');
      expect(await child.stop(500)).toEqual({ code: null, signal: 'SIGKILL' });
    }));
});
