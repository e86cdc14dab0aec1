/** Writes the manifest beside each output, once everything else has reached its storage or been left to the uploads. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { FileUpload } from '../../uploads/index.ts';
import type { SegmentLog } from '../log/reader.ts';
import { manifestText } from '../manifest.ts';
import type { ManifestPart } from '../manifest.ts';
import { uploadNote } from './late.ts';
import type { SinkContext, SinkUploads } from './types.ts';

/** Uploads of an egress have numbers; these are the manifests', behind those of any output. */
const FIRST_UPLOAD = 1000;

/** What became of the outputs: a storage that has just been waited for is not waited for again. */
export type OutputsEnd = 'done' | 'pending' | 'failed';

export type ManifestWriter = (
  log: SegmentLog,
  parts: readonly ManifestPart[],
  outputs: OutputsEnd,
) => Promise<'done' | 'pending'>;

/** One manifest a folder and storage: outputs that share them share it. A manifest that is refused fails no egress. */
export function manifestWriter(context: SinkContext, uploads: SinkUploads): ManifestWriter {
  const { plan, record, room, epochMs, tracks, status, logger, logDir } = context;
  const { egressId } = record;
  return async (log, parts, outputs) => {
    const targets = targetsOf(parts);
    if (targets.length === 0) return 'done';
    const text = manifestText({ plan, roomId: room.roomId, epochMs, tracks, log, parts });
    await context.assertCurrent();
    let result: 'done' | 'pending' = 'done';
    for (const [i, { storage, folder }] of targets.entries()) {
      // A file each: one that is stored is removed.
      const file = `manifest-${context.attempt}-${i}.json`;
      await writeFile(join(logDir, file), text);
      const target = plan.storages[storage];
      if (!target) throw new Error(`the plan has no storage ${storage}`);
      const upload: FileUpload = {
        ...{ kind: 'file', part: 'manifest', egressId, output: FIRST_UPLOAD + i, storage },
        ...{ own: target.type === 'default', file, key: `${folder}${egressId}.json` },
        ...{ contentType: 'application/json', bytes: Buffer.byteLength(text) },
      };
      if (outputs !== 'done') {
        await uploads.queue(upload, outputs === 'failed');
        result = 'pending';
        continue;
      }
      const outcome = await uploads.store(upload, target);
      if (outcome.state === 'stored') {
        const { location, backup } = outcome.stored;
        status.update((info) => {
          info.manifestLocation = location;
          if (backup) info.backupStorageUsed = true;
        });
        continue;
      }
      result = 'pending';
      const refused = outcome.state === 'refused';
      logger.warn(
        { err: refused ? outcome.error : undefined, manifest: upload.key },
        'manifest not stored yet',
      );
      status.remark(uploadNote(upload, logDir, refused ? 'kept' : 'pending'));
    }
    return result;
  };
}

function targetsOf(parts: readonly ManifestPart[]): Pick<ManifestPart, 'storage' | 'folder'>[] {
  const targets = new Map<string, Pick<ManifestPart, 'storage' | 'folder'>>();
  for (const { disabled, storage, folder } of parts) {
    if (!disabled) targets.set(`${storage}:${folder}`, { storage, folder });
  }
  return [...targets.values()];
}

/** `rec/` of `rec/a.mp4`; `''` where there is none. Pure. */
export function folderOf(key: string): string {
  return key.slice(0, key.lastIndexOf('/') + 1);
}
