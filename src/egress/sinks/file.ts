/** A file: made of the whole log when the egress ends, then put into its storage. */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { FileInfo } from '@livekit/protocol';
import type { Storage, StoredObject } from '../../storage/types.ts';
import { fileName } from '../filename.ts';
import type { SegmentLog } from '../log/reader.ts';
import { writeFileView } from '../outputs/file/index.ts';
import type { FileViewFormat, FileViewResult } from '../outputs/file/index.ts';
import type { FileOutput } from '../plan-types.ts';
import { nowNs } from '../status.ts';
import { CONTENT_TYPES, fileFormat, nameValues } from './names.ts';
import type { Sink, SinkContext } from './types.ts';

export class FileSink implements Sink {
  readonly #context: SinkContext;
  readonly #storage: Storage;
  readonly #format: FileViewFormat;
  /** Name in the storage. */
  readonly #key: string;
  /** The finished file until the storage has it. */
  readonly #path: string;
  readonly #abort = new AbortController();

  constructor(output: FileOutput, storage: Storage, context: SinkContext) {
    this.#context = context;
    this.#storage = storage;
    const known = context.attempt > 1 ? context.record.info.fileResults[0]?.filename : undefined;
    const hasVideo = context.tracks.some(({ track }) => track.kind === 'video');
    this.#format = formatOf(known) ?? fileFormat(output, context.program, hasVideo);
    this.#key = known || fileName(output.filepath, nameValues(context), `.${this.#format}`);
    this.#path = join(context.logDir, `output-${context.attempt}.${this.#format}`);
    const file = new FileInfo({ filename: this.#key });
    context.status.update((info) => {
      info.fileResults = [file];
    });
  }

  async finish(log: SegmentLog): Promise<void> {
    const { status, logger, epochMs } = this.#context;
    const { signal } = this.#abort;
    const made = await writeFileView(this.#format, { log, path: this.#path, logger, signal });
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
    const stored = await this.#put(made);
    await rm(made.path, { force: true });
    const startedAtMs = epochMs + made.startNs / 1e6;
    const file = new FileInfo({
      filename: this.#key,
      startedAt: nowNs(startedAtMs),
      endedAt: nowNs(startedAtMs + made.durationNs / 1e6),
      duration: BigInt(Math.round(made.durationNs)),
      size: BigInt(stored.bytes),
      location: stored.location,
    });
    status.update((info) => {
      info.fileResults = [file];
    });
    for (const gap of made.gaps) {
      const from = (gap.startNs / 1e9).toFixed(1);
      const to = (gap.endNs / 1e9).toFixed(1);
      status.remark(`gap from ${from} s to ${to} s: ${gap.reason}`);
    }
  }

  /** What could not be stored stays where it was made, with the log it was made of. */
  async #put({ path, bytes }: FileViewResult): Promise<StoredObject> {
    const { status, logger } = this.#context;
    const { signal } = this.#abort;
    try {
      return await this.#storage.putFile(this.#key, path, {
        contentType: CONTENT_TYPES[this.#format],
        size: bytes,
        signal,
      });
    } catch (error) {
      if (!signal.aborted) {
        logger.error({ err: error, file: this.#key, kept: path }, 'file not stored, kept here');
        status.remark(`${this.#key} is kept at ${path}`);
      }
      throw error;
    }
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
