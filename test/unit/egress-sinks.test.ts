/** What an egress's outputs do when their storage fails, and when one of them is removed. */
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { SegmentedFileOutput } from '@livekit/protocol';
import { withRunningOutputs } from '../../src/egress/added-outputs.ts';
import { readLog } from '../../src/egress/log/reader.ts';
import type { AddedOutput } from '../../src/store/types.ts';
import { StorageError } from '../../src/storage/types.ts';
import type { PutOptions, StoredObject } from '../../src/storage/types.ts';
import { EPOCH_MS, MemoryStorage, withFolder, writeChunk } from '../support/log-fixtures.ts';
import { broadcastSinks, EGRESS_ID, OUTPUT_ID } from '../support/sinks.ts';

/** Takes nothing: refuses, or never answers. */
class DeadStorage extends MemoryStorage {
  readonly #refusal: Error | undefined;

  constructor(refusal?: Error) {
    super();
    this.#refusal = refusal;
  }

  override async putBytes(_key: string, _bytes: Uint8Array, { signal }: PutOptions): Promise<StoredObject> {
    if (this.#refusal) throw this.#refusal;
    return new Promise((_, reject) => {
      signal?.addEventListener('abort', () => reject(new StorageError('destination', 504, 'no answer')));
    });
  }
}

/** Remembers every playlist. */
class PlaylistStorage extends MemoryStorage {
  readonly playlists: string[] = [];
  /** Awaited before a part is taken. */
  gate: Promise<undefined> | undefined;

  override async putBytes(key: string, bytes: Uint8Array, options: PutOptions): Promise<StoredObject> {
    if (key.includes('_part_')) await this.gate;
    const stored = await super.putBytes(key, bytes, options);
    if (key.endsWith('.m3u8')) this.playlists.push(this.text(key));
    return stored;
  }
}

const ENDED = '#EXT-X-ENDLIST';

describe('a broadcast whose storage fails as it ends', () => {
  it.each([
    // Shorter than its first segment: nothing was to be stored before.
    ['refuses', new DeadStorage(new StorageError('user', 403, 'denied')), 1],
    // Waited for since the first segment: its time is over before that of the end is.
    ['does not answer', new DeadStorage(), 3],
  ])('goes into the backup storage when it %s', (_, storage, chunks) =>
    withFolder(async (dir) => {
      const backup = new MemoryStorage();
      const rig = await broadcastSinks({ dir, attempt: 1, epochMs: EPOCH_MS, storage, backup, waitMs: 100 });
      for (let i = 0; i < chunks; i++) await rig.addChunk(i);
      await sleep(50);
      await rig.log.close();
      expect(await rig.sinks.finish(await readLog(dir))).toBe('done');
      await rig.sinks.close();
      expect([...backup.objects.keys()].sort()).toEqual([
        `${EGRESS_ID}/list.m3u8`,
        ...Array.from({ length: Math.ceil(chunks / 2) }, (_, i) => `${EGRESS_ID}/seg_0000${i}.ts`),
      ]);
      expect(backup.text(`${EGRESS_ID}/list.m3u8`)).toContain(ENDED);
      expect(rig.info.backupStorageUsed).toBe(true);
      expect([rig.queued, rig.failures]).toEqual([[], []]);
    }),
  );
});

describe('a broadcast that was removed', () => {
  it.each([false, true])('stays ended when another attempt takes over, low latency: %s', (lowLatency) =>
    withFolder(async (dir) => {
      const epochMs = Date.now() - 4000;
      const storage = new PlaylistStorage();
      const common = { dir, epochMs, storage, lowLatency };
      const first = await broadcastSinks({ ...common, attempt: 1 });
      await first.addChunk(0);
      await first.addChunk(1);
      const desired = { revision: 1, streamUrls: [], removedOutputs: { [OUTPUT_ID]: epochMs + 4000 } };
      first.sinks.endRemoved(desired, () => undefined);
      // The chunk behind the end is what tells that it has been reached.
      await first.addChunk(2);
      await expect.poll(() => storage.playlists.at(-1)).toContain(ENDED);
      await first.sinks.close();
      await first.log.close();
      const before = storage.playlists.length;
      const { puts } = storage;
      puts.length = 0;

      const second = await broadcastSinks({
        ...common,
        attempt: 2,
        removedMs: epochMs + 4000,
        info: first.info,
      });
      // What the new attempt records is none of its business.
      await writeChunk(second.pathOf(0), 8);
      second.sinks.onDesired(desired);
      second.sinks.endRemoved(desired, () => undefined);
      second.sinks.onDesired(desired);
      await sleep(100);
      // Not with the egress: with what is closed next.
      await second.addChunk(0, 8);
      await expect.poll(() => storage.playlists.length).toBeGreaterThan(before);
      await sleep(60);
      for (const text of storage.playlists.slice(before)) expect(text).toContain(ENDED);
      expect(storage.playlists.at(-1)?.match(/#EXTINF/g)).toHaveLength(1);
      expect(puts.filter((key) => !key.endsWith('.m3u8'))).toEqual([]);
      await second.sinks.close();
      await second.log.close();
    }),
  );

  it('shows nothing of what follows its end, although that grows where it reads', () =>
    withFolder(async (dir) => {
      const epochMs = Date.now() - 4000;
      const storage = new PlaylistStorage();
      const rig = await broadcastSinks({ dir, attempt: 1, epochMs, storage, lowLatency: true });
      const parts = () => storage.puts.filter((key) => key.includes('_part_')).length;
      await rig.addChunk(0);
      await writeChunk(rig.pathOf(1), 2);
      await expect.poll(parts).toBeGreaterThan(8);
      await rig.addChunk(1);
      await expect.poll(parts).toBe(10);
      const desired = { revision: 1, streamUrls: [], removedOutputs: { [OUTPUT_ID]: epochMs + 4500 } };
      rig.sinks.endRemoved(desired, () => undefined);
      rig.sinks.onDesired(desired);
      // Which of it counts is known when the chunk is closed.
      for (const number of [2, 3]) await writeChunk(rig.pathOf(number), number * 2);
      await sleep(150);
      expect(parts()).toBe(10);
      await rig.addChunk(2);
      await expect.poll(() => storage.playlists.at(-1)).toContain(ENDED);
      expect(storage.playlists.at(-1)?.match(/#EXTINF/g)).toHaveLength(2);
      await rig.sinks.close();
      await rig.log.close();
    }));

  it('stays ended although a look at what grows was on its way', () =>
    withFolder(async (dir) => {
      const storage = new PlaylistStorage();
      const rig = await broadcastSinks({
        ...{ dir, attempt: 1, epochMs: Date.now() - 4000, storage, lowLatency: true },
      });
      const gate = Promise.withResolvers<undefined>();
      storage.gate = gate.promise;
      await writeChunk(rig.pathOf(0), 0);
      await sleep(80);
      await rig.addChunk(0);
      const finished = rig.sinks.finish(await readLog(dir, { recover: false }));
      // The egress goes on, without the broadcast.
      await writeChunk(rig.pathOf(1), 2);
      gate.resolve(undefined);
      await finished;
      await sleep(120);
      expect(storage.playlists.at(-1)).toContain(ENDED);
      expect(storage.playlists.filter((text) => text.includes(ENDED))).toHaveLength(1);
      await rig.sinks.close();
      await rig.log.close();
    }));
});

describe('a broadcast that is added', () => {
  const added = (fromS: number, epochMs: number, more: Partial<AddedOutput> = {}): AddedOutput => ({
    ...{ outputId: 'late', type: 'segments', fromMs: epochMs + fromS * 1000, ...more },
    json: new SegmentedFileOutput({
      ...{ filenamePrefix: 'late', playlistName: 'late', segmentDuration: 4, disableManifest: true },
    }).toJsonString(),
  });

  it.each([
    ['with the keyframe that came for it', 3.9, ['late_00000.ts 4', 'late_00001.ts 2']],
    // Not seconds later, where the next one happens to be.
    ['before it was asked for, where no keyframe came near', 2.5, ['late_00000.ts 4', 'late_00001.ts 4']],
  ])('begins %s, although its storage opens it late', (_, fromS, segments) =>
    withFolder(async (dir) => {
      const storage = new MemoryStorage();
      const rig = await broadcastSinks({ dir, attempt: 1, epochMs: EPOCH_MS, storage });
      for (let i = 0; i < 4; i++) await rig.addChunk(i);
      await rig.sinks.grow(withRunningOutputs(rig.plan, { outputs: [added(fromS, EPOCH_MS)] }));
      await rig.addChunk(4);
      await rig.log.close();
      expect(await rig.sinks.finish(await readLog(dir))).toBe('done');
      await rig.sinks.close();
      const playlist = storage.text('late.m3u8').matchAll(/#EXTINF:([\d.]+).*\n(.*)/g);
      expect([...playlist].map(([, seconds, name]) => `${name} ${Number(seconds)}`)).toEqual(segments);
      expect(storage.text('list.m3u8').match(/#EXTINF/g)).toHaveLength(3);
    }),
  );

  it('shows parts as they come, of what begins behind it', () =>
    withFolder(async (dir) => {
      const epochMs = Date.now() - 4000;
      const storage = new PlaylistStorage();
      const rig = await broadcastSinks({ dir, attempt: 1, epochMs, storage });
      const parts = () => storage.puts.filter((key) => key.startsWith('late_part_')).length;
      await rig.addChunk(0);
      // It grows, and nobody knows yet whether it belongs to the broadcast.
      await writeChunk(rig.pathOf(1), 2);
      const low = { segmentType: 'fmp4', lowLatency: true, partDuration: 0.4 } as const;
      await rig.sinks.grow(withRunningOutputs(rig.plan, { outputs: [added(3.9, epochMs, low)] }));
      rig.sinks.onDesired({ revision: 1, streamUrls: [] });
      await rig.addChunk(1);
      await writeChunk(rig.pathOf(2), 4);
      await sleep(150);
      expect(parts()).toBe(0);
      await rig.addChunk(2);
      await expect.poll(parts).toBe(5);
      await writeChunk(rig.pathOf(3), 6);
      await expect.poll(parts).toBeGreaterThan(8);
      await rig.addChunk(3);
      await rig.log.close();
      await rig.sinks.finish(await readLog(dir));
      await rig.sinks.close();
      expect(storage.text('late.m3u8').match(/#EXTINF:[\d.]+/g)).toEqual(['#EXTINF:4.00000']);
      expect([...storage.objects.keys()].filter((key) => key.startsWith('late')).sort()).toEqual([
        ...['late.m3u8', 'late_00000.m4s', 'late_init.mp4'],
      ]);
    }));
});
