/** Finds, at start, what lies in the spool and is not queued: Redis may have lost its data, or a crash come between. */
import { randomUUID } from 'node:crypto';
import { readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { EgressStatus } from '@livekit/protocol';
import type { Logger } from 'pino';
import { hasEnded } from '../store/record.ts';
import type { EgressRecord, EgressStore } from '../store/types.ts';
import type { UploadList } from './list.ts';
import { egressFolder, isKept, readNotes } from './notes.ts';
import { uploadId, uploadName } from './types.ts';
import type { Upload } from './types.ts';

export interface LeftoverOptions {
  spoolDir: string;
  store: Pick<EgressStore, 'get'>;
  list: Pick<UploadList, 'add' | 'of' | 'release'>;
  logger: Logger;
}

/** Whether the media of an upload is (still) on this machine. */
export async function isThere(spoolDir: string, upload: Upload): Promise<boolean> {
  const folder = egressFolder(spoolDir, upload.egressId);
  return stat(upload.kind === 'file' ? join(folder, upload.file) : folder).then(
    () => true,
    () => false,
  );
}

/**
 * Queues what is noted and not queued. Folders of egresses that are complete and stored are removed; what belongs to
 * running egresses is theirs, and whatever else there is stays and is logged.
 */
export async function findLeftovers({ spoolDir, store, list, logger }: LeftoverOptions): Promise<void> {
  const names = await readdir(spoolDir, { withFileTypes: true });
  for (const { name: egressId } of names.filter((each) => each.isDirectory())) {
    const record = await store.get(egressId);
    if (record && !hasEnded(record.info.status)) continue;
    const queued = new Set(await list.of(egressId));
    const notes = await readNotes(spoolDir, egressId);
    let waiting = queued.size > 0;
    for (const upload of notes) {
      const id = uploadId(upload);
      if (queued.has(id) || !(await isThere(spoolDir, upload))) continue;
      waiting = true;
      const token = randomUUID();
      await list.add(upload, token);
      await list.release({ id, token }, 0, false);
      logger.warn({ egressId, upload: uploadName(upload) }, 'found what was not uploaded');
    }
    if (waiting || (await isKept(spoolDir, egressId))) continue;
    // Its worker died between the last word about it and tidying up.
    if (record && (await isFinishedHere(record, spoolDir)))
      await rm(egressFolder(spoolDir, egressId), { recursive: true, force: true });
    else logger.warn({ egressId, folder: egressFolder(spoolDir, egressId) }, 'media of an egress is kept');
  }
}

/** What only an earlier attempt has left here, and the last one on another machine never saw, is nowhere else. */
async function isFinishedHere({ egressId, attempt, info }: EgressRecord, spoolDir: string): Promise<boolean> {
  const { status } = info;
  if (status !== EgressStatus.EGRESS_COMPLETE && status !== EgressStatus.EGRESS_LIMIT_REACHED) return false;
  return stat(join(egressFolder(spoolDir, egressId), `attempt-${attempt}`)).then(
    () => true,
    () => false,
  );
}
