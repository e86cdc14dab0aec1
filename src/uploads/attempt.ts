/** One try at an upload: where it was asked to go, and, when that fails, into the backup storage. */
import { join } from 'node:path';
import type { Logger } from 'pino';
import { StorageError } from '../storage/types.ts';
import type { Storage, StoragePlan } from '../storage/types.ts';
import { egressFolder } from './notes.ts';
import type { Stored, Upload, UploadWork } from './types.ts';
import { uploadName } from './types.ts';

export interface TryOptions {
  upload: Upload;
  spoolDir: string;
  /** Where it was asked to go; undefined: its settings are not known any more. */
  plan: StoragePlan | undefined;
  open: (plan: StoragePlan) => Storage;
  /** The backup storage; undefined: there is none. Each egress has a folder of its own there. */
  openBackup: (() => Storage) | undefined;
  work: Pick<UploadWork, 'storeSegments' | 'storeImages'>;
  /** Ends the first storage's turn: it has been away for too long. */
  nextStorage: AbortSignal;
  /** Whether the backup storage takes what the first storage cannot take now, not only what it refuses. */
  mayReplaceAway: () => boolean;
  signal: AbortSignal;
  /** Told which storage's turn it is. */
  onStorage?: (storage: Storage) => void;
  logger: Logger;
}

/** Whether the store will say the same next time, unless somebody changes something. */
export function isRefusal(error: unknown): boolean {
  return error instanceof StorageError && error.blame !== 'destination';
}

/** Names what is stored there as one egress's own: two of them may have been given the same name. */
export function backupPrefix(egressId: string): string {
  return `${egressId}/`;
}

/** @throws StorageError of the storage it was asked to go to; the signal's reason */
export async function tryUpload(options: TryOptions): Promise<Stored> {
  const { upload, plan, open, openBackup, nextStorage, signal, logger } = options;
  let failure: unknown;
  try {
    if (!plan) {
      throw new StorageError('user', 404, `the settings of the storage for ${uploadName(upload)} are gone`);
    }
    return await putInto(open(plan), '', AbortSignal.any([signal, nextStorage]), options);
  } catch (error) {
    signal.throwIfAborted();
    failure = nextStorage.aborted
      ? new StorageError('destination', 504, 'the storage was away for too long')
      : error;
  }
  if (!openBackup || !(isRefusal(failure) || options.mayReplaceAway())) throw failure;
  logger.warn({ err: failure }, 'the storage fails: trying the backup storage');
  try {
    const prefix = backupPrefix(upload.egressId);
    return { ...(await putInto(openBackup(), prefix, signal, options)), backup: true };
  } catch (error) {
    signal.throwIfAborted();
    logger.warn({ err: error }, 'the backup storage fails too');
    throw failure;
  }
}

async function putInto(
  storage: Storage,
  prefix: string,
  signal: AbortSignal,
  { upload, spoolDir, work, onStorage }: TryOptions,
): Promise<Stored> {
  try {
    onStorage?.(storage);
    signal.throwIfAborted();
    const folder = egressFolder(spoolDir, upload.egressId);
    const target = { storage, prefix, signal, logDir: folder };
    if (upload.kind === 'images') {
      const images = await work.storeImages(upload, target);
      return {
        location: storage.location(`${prefix}${upload.prefix}.jpeg`),
        bytes: 0,
        backup: false,
        images,
      };
    }
    if (upload.kind === 'segments') {
      const { bytes, ...segments } = await work.storeSegments(upload, target);
      return { location: segments.playlistLocation, bytes, backup: false, segments };
    }
    const { contentType, bytes: size } = upload;
    const stored = await storage.putFile(prefix + upload.key, join(folder, upload.file), {
      ...{ contentType, size, signal },
    });
    if (stored.bytes !== size) {
      throw new StorageError('internal', 500, `${upload.file} has ${stored.bytes} bytes and had ${size}`);
    }
    return { location: stored.location, bytes: stored.bytes, backup: false };
  } finally {
    await storage.close();
  }
}
