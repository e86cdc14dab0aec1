/** A file: made of the whole log when the egress ends, then put into its storage. */
import { rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { FileInfo } from '@livekit/protocol';
import type { Storage } from '../../storage/types.ts';
import type { FileUpload, UploadOutcome } from '../../uploads/index.ts';
import { fileName } from '../filename.ts';
import { withinSize } from '../limits.ts';
import { PAUSED, PauseSeams } from '../log/pauses.ts';
import type { SegmentLog } from '../log/reader.ts';
import { writeFileView } from '../outputs/file/index.ts';
import type { FileViewFormat, FileViewResult } from '../outputs/file/index.ts';
import type { FileOutput } from '../plan/types.ts';
import { nowNs } from '../status.ts';
import { CONTENT_TYPES, fileFormat, nameValues } from './names.ts';
import { aside, isFree, nameOwner } from './free-name.ts';
import type { ManifestFile, ManifestPart } from '../manifest.ts';
import { uploadNote } from './late.ts';
import { folderOf } from './manifest.ts';
import { storeStoryboard } from './storyboard.ts';
import type { NameClaims, Sink, SinkContext, SinkUploads } from './types.ts';

/** Where the file is now. */
interface Uploaded {
  outcome: UploadOutcome;
  location: string;
  bytes: number;
}

export interface FileSinkOptions {
  output: FileOutput;
  /** Of the output in the plan. */
  index: number;
  /** Of the output among EgressInfo's file results. */
  result: number;
  storage: Storage;
  claims: NameClaims;
  context: SinkContext;
  uploads: SinkUploads;
}

export class FileSink implements Sink {
  readonly #context: SinkContext;
  readonly #output: FileOutput;
  readonly #index: number;
  readonly #result: number;
  readonly #uploads: SinkUploads;
  readonly #storage: Storage;
  readonly #claims: NameClaims;
  readonly #format: FileViewFormat;
  /** Name in the storage; another one when it turns out to be another output's. */
  #key: string;
  /** The finished file until the storage has it. */
  readonly #path: string;
  readonly #abort = new AbortController();
  #stored: ManifestFile | undefined;

  constructor({ output, index, result, storage, claims, context, uploads }: FileSinkOptions) {
    this.#context = context;
    this.#output = output;
    this.#index = index;
    this.#result = result;
    this.#uploads = uploads;
    this.#storage = storage;
    this.#claims = claims;
    const known = context.attempt > 1 ? context.record.info.fileResults[result]?.filename : undefined;
    const hasVideo = context.tracks.some(({ track }) => track.kind === 'video');
    this.#format = formatOf(known) ?? fileFormat(output, context.program, hasVideo);
    this.#key = known || fileName(output.filepath, nameValues(context), `.${this.#format}`);
    this.#path = join(context.logDir, `output-${context.attempt}-${index}.${this.#format}`);
    const file = new FileInfo({ filename: this.#key });
    context.status.update((info) => {
      info.fileResults[result] = file;
    });
  }

  async finish(whole: SegmentLog): Promise<'done' | 'pending'> {
    const { plan, status, logger, epochMs } = this.#context;
    const { signal } = this.#abort;
    const audio = plan.audio ?? undefined;
    const log = withinSize(whole, plan, this.#output.fileType);
    const made = await writeFileView(this.#format, { log, path: this.#path, logger, signal, audio });
    logger.info(
      {
        file: this.#key,
        bytes: made.bytes,
        frames: made.videoFrames,
        gaps: made.gaps.length,
        reencoded: made.reencoded,
      },
      'file made',
    );
    await this.#context.assertCurrent();
    await this.#takeName();
    // The storage may have taken a while to say.
    await this.#context.assertCurrent();
    const { outcome, location, bytes } = await this.#upload(made);
    const { storyboard, result } = await storeStoryboard(this.#context, this.#uploads, {
      ...{ log, key: this.#key, output: this.#index, storage: this.#output.storage, signal },
      recording: outcome.state,
    });
    this.#stored = {
      ...{ filename: this.#key, location, bytes, startNs: made.startNs, durationNs: made.durationNs },
      ...(storyboard && { storyboard }),
    };
    const startedAtMs = epochMs + made.startNs / 1e6;
    const file = new FileInfo({
      filename: this.#key,
      startedAt: nowNs(startedAtMs),
      endedAt: nowNs(startedAtMs + (made.durationNs + new PauseSeams(made.gaps).inside(log)) / 1e6),
      duration: BigInt(Math.round(made.durationNs)),
      size: BigInt(bytes),
      location,
    });
    status.update((info) => {
      info.fileResults[this.#result] = file;
      if (outcome.state === 'stored' && outcome.stored.backup) info.backupStorageUsed = true;
    });
    for (const gap of made.gaps) {
      const from = (gap.startNs / 1e9).toFixed(1);
      const to = (gap.endNs / 1e9).toFixed(1);
      const paused = gap.reason === PAUSED;
      status.remark(
        paused ? `paused from ${from} s to ${to} s` : `gap from ${from} s to ${to} s: ${gap.reason}`,
      );
    }
    if (outcome.state === 'refused') throw outcome.error;
    return outcome.state === 'pending' ? 'pending' : result;
  }

  /** At the end, when the name is needed: a start waits for nobody's storage. */
  async #takeName(): Promise<void> {
    const { status, logger } = this.#context;
    const { holder, mark } = nameOwner(this.#context, this.#index);
    const wanted = this.#key;
    const free = await isFree({
      ...{ keys: [wanted], holder, storage: this.#storage, claims: this.#claims, logger },
    });
    if (free || wanted.includes(mark)) return;
    this.#key = aside(wanted, mark);
    status.remark(`${wanted} is another output's: the file is called ${this.#key}`);
  }

  /** What could not be stored yet stays where it was made, with the log it was made of. */
  async #upload({ path, bytes }: FileViewResult): Promise<Uploaded> {
    const { plan, record, status, logger, logDir } = this.#context;
    const storage = plan.storages[this.#output.storage];
    if (!storage) throw new Error(`the plan has no storage ${this.#output.storage}`);
    const upload: FileUpload = {
      ...{ kind: 'file', egressId: record.egressId, output: this.#index, storage: this.#output.storage },
      ...{ own: storage.type === 'default', file: basename(path), key: this.#key, bytes },
      contentType: CONTENT_TYPES[this.#format],
    };
    const outcome = await this.#uploads.store(upload, storage);
    if (outcome.state === 'stored') {
      await rm(path, { force: true });
      return { outcome, location: outcome.stored.location, bytes: outcome.stored.bytes };
    }
    const isRefused = outcome.state === 'refused';
    const err = isRefused ? outcome.error : undefined;
    logger.warn({ err, file: this.#key, kept: path }, 'file not stored yet, kept here');
    status.remark(uploadNote(upload, logDir, isRefused ? 'kept' : 'pending'));
    return { outcome, location: path, bytes };
  }

  manifest(): ManifestPart | undefined {
    if (!this.#stored) return undefined;
    const { storage, disableManifest: disabled } = this.#output;
    return { storage, folder: folderOf(this.#key), disabled, files: [this.#stored] };
  }

  async close(): Promise<void> {
    this.#abort.abort(new Error('the egress was given up'));
  }
}

function formatOf(name: string | undefined): FileViewFormat | undefined {
  const extension = name?.slice(name.lastIndexOf('.') + 1);
  return extension !== undefined && Object.hasOwn(CONTENT_TYPES, extension)
    ? (extension as FileViewFormat)
    : undefined;
}
