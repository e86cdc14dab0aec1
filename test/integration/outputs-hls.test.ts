/** HLS made of real chunks, read back by FFmpeg and by the RFC's rules. */
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readLog } from '../../src/egress/log/reader.ts';
import { HlsOutput } from '../../src/egress/outputs/hls/index.ts';
import type { HlsOptions } from '../../src/egress/outputs/hls/index.ts';
import { StorageError } from '../../src/storage/types.ts';
import { ffprobeFrames, ffprobePackets } from '../../src/demo/content/ffprobe.ts';
import { assertPlaylist } from '../support/hls-rules.ts';
import { EPOCH_MS, MemoryStorage, silent, withFolder } from '../support/log-fixtures.ts';
import { runTool } from '../../src/demo/content/tool.ts';
import { closedChunks, saveObjects } from '../support/closed-chunks.ts';

const PLAYLIST = 'room/list.m3u8';
const LIVE = 'room/live.m3u8';

function output(storage: MemoryStorage, change: Partial<HlsOptions> = {}): HlsOutput {
  return new HlsOutput({
    storage,
    segmentPrefix: 'room/seg',
    playlistKey: PLAYLIST,
    livePlaylistKey: LIVE,
    suffix: 'index',
    segmentDuration: 4,
    earlier: [],
    logger: silent,
    ...change,
  });
}

describe('a broadcast', () => {
  it('is stored as it goes, playlists last, and ends as VOD', () =>
    withFolder(async (dir) => {
      const { chunks } = await closedChunks(EPOCH_MS, dir, 1, [{ seconds: 26, pattern: 'ball' }]);
      const storage = new MemoryStorage();
      const texts: string[] = [];
      const hls = output(storage, { onUpdate: () => texts.push(storage.text(PLAYLIST)) });
      for (const chunk of chunks) hls.push(chunk);
      const result = await hls.finish();

      // Every playlist speaks only of what was there, and the next one only adds.
      for (const [i, text] of texts.entries()) {
        assertPlaylist(text);
        expect(text.startsWith(texts[i - 1] ?? '')).toBe(true);
      }
      for (const [i, key] of storage.puts.entries()) {
        if (!key.endsWith('.ts')) continue;
        expect(storage.puts.indexOf(PLAYLIST, i)).toBeGreaterThan(i);
      }
      const list = assertPlaylist(storage.text(PLAYLIST));
      expect(list).toMatchObject({ targetDuration: 6, mediaSequence: 0, type: 'EVENT', ended: true });
      expect(list.segments).toHaveLength(7);
      expect(list.segments.map(({ uri }) => uri)[6]).toBe('seg_00006.ts');
      for (const [i, segment] of list.segments.entries()) {
        const after = list.segments[i + 1];
        if (after) expect(Math.abs(after.date - segment.date - segment.duration * 1000)).toBeLessThan(50);
      }
      expect(Math.abs((list.segments[0]?.date ?? 0) - EPOCH_MS)).toBeLessThan(50);
      const live = assertPlaylist(storage.text(LIVE));
      expect(live).toMatchObject({ mediaSequence: 2, type: undefined, ended: true });
      expect(live.segments).toHaveLength(5);
      expect(result).toMatchObject({ segments: 7, playlist: { key: PLAYLIST }, livePlaylist: { key: LIVE } });
      expect(result.durationNs / 1e9).toBeCloseTo(26, 0);

      const path = await saveObjects(storage, join(dir, 'out'), PLAYLIST);
      const packets = await ffprobePackets(path, 'v:0');
      expect(packets).toHaveLength(780);
      expect((await ffprobePackets(path, 'a:0')).length).toBe(
        chunks.reduce((sum, { audioFrames }) => sum + audioFrames, 0),
      );
      const { stderr } = await runTool('ffmpeg', ['-v', 'warning', '-i', path, '-f', 'null', '-']);
      expect(stderr).toBe('');
      // Each segment can be the first a player loads.
      for (const { uri } of list.segments) {
        const [first] = await ffprobePackets(join(dirname(path), uri), 'v:0');
        expect(first?.key).toBe(true);
      }
    }));

  it('holds the target duration where keyframes do not come', () =>
    withFolder(async (dir) => {
      const { chunks } = await closedChunks(EPOCH_MS, dir, 1, [{ seconds: 15, gop: 3000 }]);
      expect(chunks).toHaveLength(1);
      const storage = new MemoryStorage();
      const hls = output(storage, { segmentDuration: 2 });
      for (const chunk of chunks) hls.push(chunk);
      await hls.finish();
      const list = assertPlaylist(storage.text(PLAYLIST));
      expect(list.targetDuration).toBe(3);
      expect(list.segments.length).toBeGreaterThanOrEqual(5);
      expect(
        await ffprobePackets(await saveObjects(storage, join(dir, 'out'), PLAYLIST), 'v:0'),
      ).toHaveLength(450);
    }));

  it('marks another picture size with a discontinuity, and plays through it', () =>
    withFolder(async (dir) => {
      const { chunks } = await closedChunks(EPOCH_MS, dir, 1, [
        { seconds: 4, width: 320, height: 240 },
        { run: 1, offset: 4, seconds: 4, width: 480, height: 360 },
      ]);
      const storage = new MemoryStorage();
      const hls = output(storage);
      for (const chunk of chunks) hls.push(chunk);
      await hls.finish();
      const list = assertPlaylist(storage.text(PLAYLIST));
      expect(list.segments.map(({ discontinuity }) => discontinuity)).toEqual([false, true]);
      const frames = await ffprobeFrames(await saveObjects(storage, join(dir, 'out'), PLAYLIST));
      expect(frames.filter(({ width }) => width === 320)).toHaveLength(120);
      expect(frames.filter(({ width }) => width === 480)).toHaveLength(120);
    }));

  it('can name its segments by time', () =>
    withFolder(async (dir) => {
      const { chunks } = await closedChunks(EPOCH_MS, dir, 1, [{ seconds: 8 }]);
      const storage = new MemoryStorage();
      const hls = output(storage, { suffix: 'timestamp' });
      for (const chunk of chunks) hls.push(chunk);
      await hls.finish();
      expect(storage.puts.filter((key) => key.endsWith('.ts'))).toEqual([
        'room/seg_20260131120000000.ts',
        'room/seg_20260131120004000.ts',
      ]);
    }));
});

describe('another attempt', () => {
  it('goes on where the first was, without storing again what is there', () =>
    withFolder(async (dir) => {
      const storage = new MemoryStorage();
      const first = await closedChunks(EPOCH_MS, dir, 1, [{ seconds: 10 }]);
      const before = output(storage);
      for (const chunk of first.chunks) before.push(chunk);
      await expect.poll(() => before.status.segments).toBe(2);
      // Its worker is gone: the last two seconds are in the log, in no segment yet.
      await before.close();
      const texts = storage.text(PLAYLIST);
      expect(assertPlaylist(texts).ended).toBe(false);
      storage.puts.length = 0;

      const second = await closedChunks(EPOCH_MS, dir, 2, [{ offset: 15, seconds: 8 }]);
      const after = output(storage, { earlier: second.earlier });
      for (const chunk of second.chunks) after.push(chunk);
      await after.finish();
      expect(storage.puts.filter((key) => key.endsWith('.ts'))).toEqual([
        'room/seg_00002.ts',
        'room/seg_00003.ts',
        'room/seg_00004.ts',
      ]);
      const text = storage.text(PLAYLIST);
      expect(text.startsWith(texts)).toBe(true);
      const list = assertPlaylist(text);
      expect(list.segments.map(({ discontinuity }) => discontinuity)).toEqual([
        false,
        false,
        false,
        true,
        false,
      ]);
      expect(Math.abs((list.segments[3]?.date ?? 0) - EPOCH_MS - 15_000)).toBeLessThan(50);
      const log = await readLog(dir);
      expect(
        await ffprobePackets(await saveObjects(storage, join(dir, 'out'), PLAYLIST), 'v:0'),
      ).toHaveLength(log.videoFrames);
    }));
});

describe('a superseded attempt', () => {
  it('writes nothing more: no segment, no playlist', () =>
    withFolder(async (dir) => {
      const { chunks } = await closedChunks(EPOCH_MS, dir, 1, [{ seconds: 12 }]);
      const storage = new MemoryStorage();
      let superseded = false;
      const failures: string[] = [];
      const hls = output(storage, {
        assertCurrent: async () => {
          if (superseded) throw new Error('a newer attempt has taken over');
        },
        onFailure: (error) => failures.push(error.message),
      });
      hls.push(chunks[0]!);
      hls.push(chunks[1]!);
      await expect.poll(() => hls.status.segments).toBe(1);
      const [puts, playlist] = [storage.puts.length, storage.text(PLAYLIST)];
      superseded = true;
      for (const chunk of chunks.slice(2)) hls.push(chunk);
      await expect(hls.finish()).rejects.toThrow('a newer attempt has taken over');
      expect(failures).toEqual(['a newer attempt has taken over']);
      expect(storage.puts).toHaveLength(puts);
      expect(storage.text(PLAYLIST)).toBe(playlist);
    }));
});

describe('a store that fails', () => {
  it('is tried again when it is its own fault', () =>
    withFolder(async (dir) => {
      const { chunks } = await closedChunks(EPOCH_MS, dir, 1, [{ seconds: 4 }]);
      const storage = new MemoryStorage();
      storage.failures.push(
        new StorageError('destination', 503, 'busy'),
        new StorageError('destination', 503, 'busy'),
      );
      const hls = output(storage);
      for (const chunk of chunks) hls.push(chunk);
      expect((await hls.finish()).segments).toBe(1);
    }));

  it('ends the output when it is the request’s', () =>
    withFolder(async (dir) => {
      const { chunks } = await closedChunks(EPOCH_MS, dir, 1, [{ seconds: 8 }]);
      const storage = new MemoryStorage();
      storage.failures.push(new StorageError('user', 403, 'no such bucket'));
      const failures: string[] = [];
      const hls = output(storage, { onFailure: (error) => failures.push(error.message) });
      for (const chunk of chunks) hls.push(chunk);
      await expect(hls.finish()).rejects.toThrow('no such bucket');
      expect(failures).toEqual(['no such bucket']);
      expect(storage.objects.size).toBe(0);
    }));
});
