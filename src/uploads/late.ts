/** What follows when an upload comes to its end after its egress. */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { EgressStore } from '../store/types.ts';
import type { Claim, UploadList } from './list.ts';
import { egressFolder, isKept, keepFolder, removeNote } from './notes.ts';
import type { Stored, UploadWork } from './types.ts';

/** The egress may be about to end; it is asked again after this, ms. */
const AGAIN_MS = 500;

export interface LateOptions {
  store: Pick<EgressStore, 'amendEnded'>;
  list: UploadList;
  spoolDir: string;
  work: Pick<UploadWork, 'amend'>;
  signal: AbortSignal;
}

/** Tells that it is stored, and then removes what is on this machine, unless it is kept for another reason. */
export async function storedLate(claim: Claim, stored: Stored, options: LateOptions): Promise<void> {
  const { list, spoolDir } = options;
  const { upload } = claim;
  await amend(claim, stored, options);
  const left = await list.remove(claim);
  // Somebody else has taken it meanwhile, and needs the file.
  if (left === undefined) return;
  await removeNote(spoolDir, upload);
  const folder = egressFolder(spoolDir, upload.egressId);
  if (upload.kind === 'file') await rm(join(folder, upload.file), { force: true });
  if (left === 0 && !(await isKept(spoolDir, upload.egressId)))
    await rm(folder, { recursive: true, force: true });
}

/** Tells that it is not tried any more. What is on this machine stays, for somebody to look after. @throws Error */
export async function givenUp(claim: Claim, options: LateOptions): Promise<void> {
  await keepFolder(options.spoolDir, claim.upload.egressId, 'an upload was given up');
  await amend(claim, undefined, options);
  await removeNote(options.spoolDir, claim.upload);
  await options.list.remove(claim);
}

async function amend({ upload }: Claim, stored: Stored | undefined, options: LateOptions): Promise<void> {
  const { store, work, signal } = options;
  for (;;) {
    const state = await store.amendEnded(upload.egressId, (info) => work.amend(info, upload, stored));
    if (state !== 'running') return;
    await sleep(AGAIN_MS, undefined, { signal });
  }
}
