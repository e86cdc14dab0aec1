/** What an egress's outputs do when their storage fails. */
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { readLog } from '../../src/egress/log/reader.ts';
import { StorageError } from '../../src/storage/types.ts';
import type { PutOptions, StoredObject } from '../../src/storage/types.ts';
import { EPOCH_MS, MemoryStorage, withFolder } from '../support/log-fixtures.ts';
import { broadcastSinks, EGRESS_ID } from '../support/sinks.ts';

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
