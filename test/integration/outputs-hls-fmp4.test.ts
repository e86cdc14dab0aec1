/** HLS of fragmented MP4 and LL-HLS made of real chunks, read back by FFmpeg and by the RFC's rules. */
import { appendFile, open, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { readLog } from '../../src/egress/log/reader.ts';
import type { SegmentLogWriter } from '../../src/egress/log/writer.ts';
import { FragmentedOutput } from '../../src/egress/outputs/hls/fmp4/index.ts';
import type { FragmentedOptions } from '../../src/egress/outputs/hls/fmp4/index.ts';
import { ffprobePackets } from '../../src/demo/content/ffprobe.ts';
import { runTool } from '../../src/demo/content/tool.ts';
import { makeChunks } from '../support/chunks.ts';
import type { ChunkRecipe } from '../support/chunks.ts';
import { assertPlaylist } from '../support/hls-rules.ts';
import { assertFollows, assertLowLatency } from '../support/ll-hls-rules.ts';
import type { ReadLowLatency } from '../support/ll-hls-rules.ts';
import { MemoryStorage, silent, withFolder } from '../support/log-fixtures.ts';
import { closedChunks, openLog, saveObjects } from '../support/closed-chunks.ts';

const PLAYLIST = 'room/list.m3u8';
const LIVE = 'room/live.m3u8';
const PART = 0.4;
/** Timestamps of what grows are near to now. */
const EPOCH_MS = Date.now() - 5000;

function output(storage: MemoryStorage, change: Partial<FragmentedOptions> = {}): FragmentedOutput {
  return new FragmentedOutput({
    storage,
    segmentPrefix: 'room/seg',
    playlistKey: PLAYLIST,
    suffix: 'index',
    segmentDuration: 4,
    earlier: [],
    epochMs: EPOCH_MS,
    logger: silent,
    ...change,
  });
}

/** Remembers every version of a playlist. */
class PlaylistStorage extends MemoryStorage {
  readonly versions: ReadLowLatency[] = [];
  readonly #watched: string;

  constructor(watched: string) {
    super();
    this.#watched = watched;
  }

  override async putBytes(
    ...given: Parameters<MemoryStorage['putBytes']>
  ): ReturnType<MemoryStorage['putBytes']> {
    const stored = await super.putBytes(...given);
    if (given[0] !== this.#watched) return stored;
    const list = assertLowLatency(this.text(this.#watched));
    // What it lists is there.
    for (const { uri } of [...list.parts.values()].flat())
      expect(this.objects.has(`room/${uri}`), uri).toBe(true);
    for (const [uri, map] of list.maps) {
      expect(this.objects.has(`room/${uri}`) && this.objects.has(`room/${map}`), uri).toBe(true);
    }
    const before = this.versions.at(-1);
    if (before) assertFollows(before, list);
    this.versions.push(list);
    return stored;
  }
}

/** Writes chunk files as the pipeline does, a piece at a time, and closes them into the log. */
async function grow(
  log: SegmentLogWriter,
  files: readonly { name: string; bytes: Buffer }[],
  onPiece: () => Promise<void>,
  stopAt = Infinity,
): Promise<void> {
  let written = 0;
  for (const { name, bytes } of files) {
    const path = join(log.folder, name);
    await (await open(path, 'w')).close();
    for (let at = 0; at < bytes.length; at += 7000) {
      await appendFile(path, bytes.subarray(at, at + 7000));
      written += 7000;
      await onPiece();
      if (written >= stopAt) return;
    }
    await log.addChunk({ file: name, startNs: 0, durationNs: 0 });
  }
}

async function chunkFiles(dir: string, take: Omit<ChunkRecipe, 'folder'>) {
  const folder = join(dir, `made-${take.offset ?? 0}`);
  const names = await makeChunks({ ...take, folder });
  return Promise.all(names.map(async (name) => ({ name, bytes: await readFile(join(folder, name)) })));
}

describe('fragmented MP4', () => {
  it('holds every picture and all sound, and each segment can be the first', () =>
    withFolder(async (dir) => {
      const { chunks } = await closedChunks(EPOCH_MS, dir, 1, [{ seconds: 13, pattern: 'ball' }]);
      const storage = new MemoryStorage();
      const hls = output(storage, { livePlaylistKey: LIVE });
      for (const chunk of chunks) hls.push(chunk);
      const result = await hls.finish();
      const text = storage.text(PLAYLIST);
      const list = assertPlaylist(text);
      expect(list).toMatchObject({ version: 6, targetDuration: 6, type: 'EVENT', ended: true });
      expect(list.segments.map(({ uri, duration }) => [uri, Math.round(duration)])).toEqual([
        ['seg_00000.m4s', 4],
        ['seg_00001.m4s', 4],
        ['seg_00002.m4s', 4],
        ['seg_00003.m4s', 1],
      ]);
      expect(text.match(/#EXT-X-MAP:URI="seg_init.mp4"/g)).toHaveLength(1);
      expect(assertPlaylist(storage.text(LIVE)).segments).toHaveLength(4);
      expect(Math.abs((list.segments[1]?.date ?? 0) - EPOCH_MS - 4000)).toBeLessThan(50);
      expect(result).toMatchObject({ segments: 4 });

      const path = await saveObjects(storage, join(dir, 'out'), PLAYLIST);
      expect(await ffprobePackets(path, 'v:0')).toHaveLength(390);
      const sound = chunks.reduce((sum, { audioFrames }) => sum + audioFrames, 0);
      expect(await ffprobePackets(path, 'a:0')).toHaveLength(sound);
      const { stderr } = await runTool('ffmpeg', ['-v', 'warning', '-i', path, '-f', 'null', '-']);
      expect(stderr).toBe('');
      for (const { uri } of list.segments) {
        const alone = join(dir, 'alone.mp4');
        const bytes = ['room/seg_init.mp4', `room/${uri}`].map(
          (key) => storage.objects.get(key) ?? Buffer.alloc(0),
        );
        await writeFile(alone, Buffer.concat(bytes));
        expect((await ffprobePackets(alone, 'v:0'))[0]?.key).toBe(true);
      }
    }));

  it('changes its initialization segment with the picture’s size, and plays through it', () =>
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
      expect(storage.text(PLAYLIST)).toContain('#EXT-X-MAP:URI="seg_init_2.mp4"');
      expect(
        await ffprobePackets(await saveObjects(storage, join(dir, 'out'), PLAYLIST), 'v:0'),
      ).toHaveLength(240);
    }));

  it('of sound alone', () =>
    withFolder(async (dir) => {
      const { chunks } = await closedChunks(EPOCH_MS, dir, 1, [{ seconds: 6, video: 'none', audio: 'aac' }]);
      const storage = new MemoryStorage();
      const hls = output(storage, { segmentDuration: 2 });
      for (const chunk of chunks) hls.push(chunk);
      await hls.finish();
      assertPlaylist(storage.text(PLAYLIST));
      const path = await saveObjects(storage, join(dir, 'out'), PLAYLIST);
      const sound = chunks.reduce((sum, { audioFrames }) => sum + audioFrames, 0);
      expect(await ffprobePackets(path, 'a:0')).toHaveLength(sound);
    }));

  it('holds the target duration where keyframes do not come', () =>
    withFolder(async (dir) => {
      const { chunks } = await closedChunks(EPOCH_MS, dir, 1, [{ seconds: 15, gop: 3000 }]);
      const storage = new MemoryStorage();
      const hls = output(storage, { segmentDuration: 2 });
      for (const chunk of chunks) hls.push(chunk);
      await hls.finish();
      expect(assertPlaylist(storage.text(PLAYLIST)).targetDuration).toBe(3);
      expect(
        await ffprobePackets(await saveObjects(storage, join(dir, 'out'), PLAYLIST), 'v:0'),
      ).toHaveLength(450);
    }));
});

describe('LL-HLS', () => {
  it('publishes parts of the chunk that grows, which are what the segment is made of', () =>
    withFolder(async (dir) => {
      const files = await chunkFiles(dir, { seconds: 13, pattern: 'ball' });
      const log = await openLog(EPOCH_MS, dir, 1);
      const storage = new PlaylistStorage(PLAYLIST);
      const hls = output(storage, { partDuration: PART, live: { attempt: 1, folder: log.folder } });
      log.onChunk((chunk) => hls.push(chunk));
      const media = new Map<string, Buffer>();
      await grow(log, files, async () => {
        await sleep(8);
        for (const [key, bytes] of storage.objects) media.set(key, bytes);
      });
      await log.close();
      await hls.finish();
      const { versions } = storage;
      const last = versions.at(-1);
      expect(last).toMatchObject({ ended: true, targetDuration: 6, mediaSequence: 0 });
      expect(last?.segments.map(({ duration }) => Math.round(duration))).toEqual([4, 4, 4, 1]);
      // Parts came while their segment was open, not with it.
      expect(Math.max(...versions.map(({ open: parts }) => parts.length))).toBeGreaterThanOrEqual(9);
      const partsOf = new Map(versions.flatMap(({ parts }) => [...parts]));
      for (const [i, { uri }] of (last?.segments ?? []).slice(0, 3).entries()) {
        const parts = (partsOf.get(i) ?? []).map((part) => media.get(`room/${part.uri}`) ?? Buffer.alloc(0));
        expect(Buffer.concat(parts).equals(storage.objects.get(`room/${uri}`) ?? Buffer.alloc(0)), uri).toBe(
          true,
        );
      }
      // Nothing of them is left.
      expect([...storage.objects.keys()].filter((key) => key.includes('_part_'))).toEqual([]);
      expect(
        await ffprobePackets(await saveObjects(storage, join(dir, 'out'), PLAYLIST), 'v:0'),
      ).toHaveLength(390);
    }));

  it('goes on after a takeover with the same parts, and those of the lost attempt go', () =>
    withFolder(async (dir) => {
      const files = await chunkFiles(dir, { seconds: 9, pattern: 'ball' });
      const log = await openLog(EPOCH_MS, dir, 1);
      const storage = new PlaylistStorage(LIVE);
      const low = (attempt: number, folder: string) =>
        ({ livePlaylistKey: LIVE, partDuration: PART, live: { attempt, folder } }) as const;
      const lost = output(storage, low(1, log.folder));
      log.onChunk((chunk) => lost.push(chunk));
      // In the middle of the second segment, and of a chunk.
      await grow(log, files, () => sleep(8), 330_000);
      await expect.poll(() => storage.versions.at(-1)?.open.length).toBeGreaterThan(2);
      await lost.close();
      await log.close();

      const later = await chunkFiles(dir, { offset: 12, seconds: 5, pattern: 'ball' });
      const second = await openLog(EPOCH_MS, dir, 2);
      expect(second.earlier.chunks.length).toBeGreaterThan(3);
      // PlaylistStorage holds the two attempts' playlists against each other.
      const hls = output(storage, { ...low(2, second.folder), earlier: second.earlier.chunks });
      second.onChunk((chunk) => hls.push(chunk));
      await grow(second, later, () => sleep(8));
      await second.close();
      await hls.finish();
      const list = assertPlaylist(storage.text(PLAYLIST));
      expect(list.segments.map(({ discontinuity }) => discontinuity)).toEqual([false, false, true, false]);
      expect(Math.abs((list.segments[2]?.date ?? 0) - EPOCH_MS - 12_000)).toBeLessThan(50);
      expect([...storage.objects.keys()].filter((key) => key.includes('_part_'))).toEqual([]);
      const path = await saveObjects(storage, join(dir, 'out'), PLAYLIST);
      const pictures = second.earlier.videoFrames + 150;
      expect(await ffprobePackets(path, 'v:0')).toHaveLength(pictures);
    }));

  it('shows nothing of a pause, although it is in the chunk that grows', () =>
    withFolder(async (dir) => {
      const files = await chunkFiles(dir, { seconds: 11, pattern: 'ball' });
      const log = await openLog(EPOCH_MS, dir, 1);
      const storage = new PlaylistStorage(PLAYLIST);
      const hls = output(storage, { partDuration: PART, live: { attempt: 1, folder: log.folder } });
      log.onChunk((chunk) => hls.push(chunk));
      const size = files.reduce((sum, { bytes }) => sum + bytes.length, 0);
      let written = 0;
      await grow(log, files, async () => {
        written += 7000;
        const at = (seconds: number) =>
          written / size >= seconds / 11 && (written - 7000) / size < seconds / 11;
        if (at(3)) {
          hls.hold(true);
          await log.event('pause', 3.2e9);
        }
        if (at(7)) {
          await log.event('resume', 6.8e9);
          hls.hold(false);
        }
        await sleep(8);
      });
      await log.close();
      await hls.finish();
      const list = assertPlaylist(storage.text(PLAYLIST));
      expect(list.segments.map(({ discontinuity }) => discontinuity)).toEqual([false, true]);
      const whole = await readLog(dir);
      expect(whole.videoFrames).toBeLessThan(240);
      expect(
        await ffprobePackets(await saveObjects(storage, join(dir, 'out'), PLAYLIST), 'v:0'),
      ).toHaveLength(whole.videoFrames);
    }));
});
