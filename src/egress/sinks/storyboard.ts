/** The storyboard beside a recording. One that cannot be made or stored costs no recording. */
import { rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { FileUpload } from '../../uploads/index.ts';
import type { SegmentLog } from '../log/reader.ts';
import type { ManifestFile } from '../manifest.ts';
import { MOST_FILES, STORYBOARD_DEFAULTS, writeStoryboard } from '../outputs/storyboard/index.ts';
import { uploadNote } from './late.ts';
import { folderOf } from './manifest.ts';
import type { SinkContext, SinkUploads } from './types.ts';

/** Uploads of an egress have numbers; these are the storyboards', behind those of outputs and manifests. */
const FIRST_UPLOAD = 2000;
const UPLOADS_EACH = MOST_FILES;

export interface StoryboardOf {
  log: SegmentLog;
  /** Key of the recording. */
  key: string;
  /** Index of the output in the plan. */
  output: number;
  /** Index of the storage in the plan. */
  storage: number;
  /** Whether the storage has taken the recording: one that has just been waited for is not waited for again. */
  recording: 'stored' | 'pending' | 'refused';
  signal: AbortSignal;
}

export interface StoredStoryboard {
  storyboard: ManifestFile['storyboard'];
  result: 'done' | 'pending';
}

/** Makes and stores it when the request asks for one. */
export async function storeStoryboard(
  context: SinkContext,
  uploads: SinkUploads,
  options: StoryboardOf,
): Promise<StoredStoryboard> {
  const { plan, logger, status } = context;
  const asked = plan.options.storyboard;
  const nothing: StoredStoryboard = { storyboard: undefined, result: 'done' };
  if (asked === undefined || asked === false) return nothing;
  const { log, key, signal } = options;
  const settings = { ...STORYBOARD_DEFAULTS, ...(asked === true ? {} : asked) };
  const base = `${key.slice(0, key.length - extensionOf(key).length)}-storyboard`;
  const name = base.slice(folderOf(base).length);
  const local = `storyboard-${context.attempt}-${options.output}`;
  const number = (sheet: number): string => String(sheet).padStart(5, '0');
  try {
    const made = await writeStoryboard({
      ...{ log, settings, logger, signal, folder: context.logDir, vttName: `${local}.vtt` },
      sheetName: (sheet) => `${local}_${number(sheet)}.jpeg`,
      sheetUri: (sheet) => encodeURIComponent(`${name}_${number(sheet)}.jpeg`),
    });
    if (!made) return nothing;
    logger.info({ file: key, pictures: made.pictures.length, sheets: made.sheets }, 'storyboard made');
    const sheets = Array.from({ length: made.sheets }, (_, sheet) => ({
      ...{ file: `${local}_${number(sheet)}.jpeg`, key: `${base}_${number(sheet)}.jpeg` },
      contentType: 'image/jpeg',
    }));
    const vtt = { file: `${local}.vtt`, key: `${base}.vtt`, contentType: 'text/vtt' };
    // What the WebVTT refers to is there when it is.
    return await store(context, uploads, options, [...sheets, vtt]);
  } catch (error) {
    signal.throwIfAborted();
    await context.assertCurrent();
    const why = error instanceof Error ? error.message : String(error);
    logger.warn({ err: error, file: key }, 'no storyboard');
    status.remark(`${key} has no storyboard: ${why}`);
    return nothing;
  }
}

async function store(
  context: SinkContext,
  uploads: SinkUploads,
  { output, storage, recording }: StoryboardOf,
  files: readonly Pick<FileUpload, 'file' | 'key' | 'contentType'>[],
): Promise<StoredStoryboard> {
  const { plan, record, status, logDir, logger } = context;
  const target = plan.storages[storage];
  if (!target) throw new Error(`the plan has no storage ${storage}`);
  const stored: { filename: string; location: string }[] = [];
  let result: StoredStoryboard['result'] = 'done';
  let waits = recording === 'stored';
  let refused = recording === 'refused';
  for (const [i, file] of files.entries()) {
    const path = join(logDir, file.file);
    const upload: FileUpload = {
      ...{ kind: 'file', part: 'storyboard', egressId: record.egressId, storage, ...file },
      ...{ output: FIRST_UPLOAD + output * UPLOADS_EACH + i, own: target.type === 'default' },
      bytes: (await stat(path)).size,
    };
    await context.assertCurrent();
    const outcome = waits ? await uploads.store(upload, target) : undefined;
    if (outcome?.state === 'stored') {
      stored.push({ filename: file.key, location: outcome.stored.location });
      await rm(path, { force: true });
      continue;
    }
    if (!outcome) await uploads.queue(upload, refused);
    waits = false;
    refused ||= outcome?.state === 'refused';
    result = 'pending';
    logger.warn({ file: file.key }, 'a part of the storyboard is not stored yet');
    status.remark(uploadNote(upload, logDir, refused ? 'kept' : 'pending'));
    stored.push({ filename: file.key, location: path });
  }
  const vtt = stored.pop();
  return { storyboard: vtt && { ...vtt, sheets: stored }, result };
}

/** `.mp4`, or nothing. */
function extensionOf(key: string): string {
  return /\.[a-z0-9]{1,5}$/i.exec(key)?.[0] ?? '';
}
