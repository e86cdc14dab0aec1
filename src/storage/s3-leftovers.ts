/**
 * The multipart upload that is under way, noted beside its file: a process that is killed in the middle leaves parts in the
 * store that nobody sees and somebody pays for. Whoever uploads the file again takes them away first.
 */
import { createHash } from 'node:crypto';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { AbortMultipartUploadCommand } from '@aws-sdk/client-s3';
import type { S3Client } from '@aws-sdk/client-s3';
import { z } from 'zod';

const noteSchema = z.object({ bucket: z.string(), key: z.string(), uploadId: z.string() });

export interface MultipartNote {
  /** Notes the upload the store has just begun. */
  begun(uploadId: string): Promise<void>;
  /** Takes away the parts of an earlier try, if there was one. @throws what the SDK throws */
  abortEarlier(client: S3Client, signal?: AbortSignal): Promise<void>;
  /** The upload is complete. */
  done(): Promise<void>;
}

/** @param file what is uploaded; the note is beside it. @param host tells stores apart. */
export function multipartNote(
  file: string,
  { host, bucket, key }: { host: string; bucket: string; key: string },
): MultipartNote {
  const name = createHash('sha256')
    .update(JSON.stringify([host, bucket, key]))
    .digest('hex')
    .slice(0, 24);
  const path = join(dirname(file), `.multipart-${name}.json`);
  const done = () => rm(path, { force: true });
  return {
    // A folder that cannot be written to is no reason not to upload what is in it.
    begun: (uploadId) => writeFile(path, JSON.stringify({ bucket, key, uploadId })).catch(() => undefined),
    async abortEarlier(client, signal) {
      const text = await readFile(path, 'utf8').catch(() => undefined);
      if (text === undefined) return;
      const note = noteSchema.safeParse(parseJson(text)).data;
      // The name is a hash of these, so that they differ only when somebody has written it.
      if (note?.bucket === bucket && note.key === key) {
        try {
          const which = { Bucket: bucket, Key: key, UploadId: note.uploadId };
          await client.send(new AbortMultipartUploadCommand(which), signal && { abortSignal: signal });
        } catch (error) {
          if (!(error instanceof Error && error.name === 'NoSuchUpload')) throw error;
        }
      }
      await done();
    },
    done,
  };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
