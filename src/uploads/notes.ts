/** What is noted in the folders of egresses: which files are to go where, and what is not to be tidied away. */
import { randomUUID } from 'node:crypto';
import { link, mkdir, open, readFile, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { uploadSchema } from './types.ts';
import type { Upload } from './types.ts';

const KEEP = 'keep';
const SPOOL_ID = '.spool';

export function egressFolder(spoolDir: string, egressId: string): string {
  return join(spoolDir, egressId);
}

const notePath = (spoolDir: string, { egressId, output }: Pick<Upload, 'egressId' | 'output'>) =>
  join(egressFolder(spoolDir, egressId), `upload-${output}.json`);

/** Written at once and to the disk: what a crash leaves is the whole note or none. */
async function write(path: string, text: string): Promise<void> {
  const temporary = `${path}.${randomUUID()}.part`;
  const file = await open(temporary, 'wx', 0o644);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
  await rm(path, { force: true });
  await link(temporary, path);
  await rm(temporary, { force: true });
}

/** Notes an upload beside its media, so that it is found again when Redis has forgotten it. */
export async function writeNote(spoolDir: string, upload: Upload): Promise<void> {
  await write(notePath(spoolDir, upload), `${JSON.stringify(upload)}\n`);
}

export async function removeNote(
  spoolDir: string,
  upload: Pick<Upload, 'egressId' | 'output'>,
): Promise<void> {
  await rm(notePath(spoolDir, upload), { force: true });
}

/** The uploads noted in an egress's folder; what cannot be read is left out. */
export async function readNotes(spoolDir: string, egressId: string): Promise<Upload[]> {
  const folder = egressFolder(spoolDir, egressId);
  const names = (await readdir(folder).catch(() => [])).filter((name) => /^upload-\d+\.json$/.test(name));
  const notes: Upload[] = [];
  for (const name of names) {
    try {
      const note = uploadSchema.parse(JSON.parse(await readFile(join(folder, name), 'utf8')));
      // Whoever writes there could name another egress's.
      if (note.egressId === egressId) notes.push(note);
    } catch {
      // Half a note of a crash: its media stays where it is.
    }
  }
  return notes;
}

/** Says that the folder holds what is in no storage: it outlives its uploads. */
export async function keepFolder(spoolDir: string, egressId: string, reason: string): Promise<void> {
  const folder = egressFolder(spoolDir, egressId);
  await mkdir(folder, { recursive: true });
  await write(join(folder, KEEP), `${reason}\n`);
}

export async function isKept(spoolDir: string, egressId: string): Promise<boolean> {
  return stat(join(egressFolder(spoolDir, egressId), KEEP)).then(
    () => true,
    () => false,
  );
}

/** Names the folder, the same for all who share it. */
export async function spoolId(spoolDir: string): Promise<string> {
  await mkdir(spoolDir, { recursive: true });
  const path = join(spoolDir, SPOOL_ID);
  const known = () => readFile(path, 'utf8').then((text) => text.trim());
  const temporary = `${path}.${randomUUID()}.part`;
  const file = await open(temporary, 'wx', 0o644);
  try {
    await file.writeFile(`${randomUUID()}\n`);
    await file.sync();
  } finally {
    await file.close();
  }
  try {
    // Fails when there is one: the first stays.
    await link(temporary, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  } finally {
    await rm(temporary, { force: true });
  }
  return known();
}
