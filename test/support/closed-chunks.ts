/** Logs of attempts that are over, and what outputs have made of them. */
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Chunk } from '../../src/egress/log/types.ts';
import { SegmentLogWriter } from '../../src/egress/log/writer.ts';
import { makeChunks } from './chunks.ts';
import type { ChunkRecipe } from './chunks.ts';
import { silent } from './log-fixtures.ts';
import type { MemoryStorage } from './log-fixtures.ts';

/** An attempt's log of MPEG-TS, open. @param epochMs wall clock of the egress's zero */
export function openLog(epochMs: number, dir: string, attempt: number): Promise<SegmentLogWriter> {
  return SegmentLogWriter.open({
    ...{ dir, egressId: 'EG_1', attempt, epochMs, container: 'mpegts', logger: silent },
  });
}

/** An attempt's chunks, closed and in the log. */
export async function closedChunks(
  epochMs: number,
  dir: string,
  attempt: number,
  takes: readonly Omit<ChunkRecipe, 'folder'>[],
): Promise<{ earlier: Chunk[]; chunks: Chunk[] }> {
  const log = await openLog(epochMs, dir, attempt);
  const chunks: Chunk[] = [];
  log.onChunk((chunk) => chunks.push(chunk));
  for (const take of takes) {
    for (const file of await makeChunks({ ...take, folder: log.folder })) {
      await log.addChunk({ file, startNs: (take.offset ?? 0) * 1e9, durationNs: 0 });
    }
  }
  await log.close();
  return { earlier: log.earlier.chunks, chunks };
}

/** Puts a storage's objects on disk, for FFmpeg to read. @returns the path of `key` */
export async function saveObjects(storage: MemoryStorage, folder: string, key: string): Promise<string> {
  for (const [name, bytes] of storage.objects) {
    await mkdir(dirname(join(folder, name)), { recursive: true });
    await writeFile(join(folder, name), bytes);
  }
  return join(folder, key);
}
