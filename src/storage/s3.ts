/** A bucket of an S3 store as storage. */
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { DeleteObjectCommand, HeadObjectCommand, S3Client } from '@aws-sdk/client-s3';
import { Upload } from '@aws-sdk/lib-storage';
import type { Logger } from 'pino';
import type { CheckedAgents } from '../outbound/index.ts';
import { normaliseKey } from './key.ts';
import { explainS3Error } from './s3-errors.ts';
import { multipartNote } from './s3-leftovers.ts';
import type { MultipartNote } from './s3-leftovers.ts';
import { withCredentials } from './s3-credentials.ts';
import { MAX_ATTEMPTS, s3RetryStrategy } from './s3-retry.ts';
import { objectUrl, partSize } from './s3-settings.ts';
import { StorageError } from './types.ts';
import type { PutOptions, S3Settings, Storage, StoredObject } from './types.ts';

/** Parts of one upload on their way at once; each is in memory. */
const PARTS_AT_ONCE = 4;
const CONNECT_MS = 5000;
/** No byte either way for this long: the store hangs, and the request is made again. */
const IDLE_MS = 30_000;
/** Time to take the parts of an upload away that was broken off here, ms. */
const TIDY_MS = 2000;

export class S3Storage implements Storage {
  readonly kind = 's3';
  /** The bucket. */
  readonly name: string;
  readonly #settings: S3Settings;
  readonly #client: S3Client;
  readonly #host: string;
  readonly #logger: Logger;
  readonly #agents: CheckedAgents | undefined;
  /** By key: the multipart uploads under way. */
  readonly #notes = new Map<string, MultipartNote>();
  #away = true;
  #closed = false;

  /**
   * @param maxAttempts requests made for one answer before giving up; the default outlives a restart of the store.
   * @param agents connect to what a request named, and are closed with the storage; without them it is the operator's
   * own endpoint.
   */
  constructor(
    settings: S3Settings,
    logger: Logger,
    maxAttempts: number = MAX_ATTEMPTS,
    agents?: CheckedAgents,
  ) {
    this.name = settings.bucket;
    this.#settings = settings;
    const { host } = new URL(objectUrl(settings, 'key'));
    this.#host = settings.proxy ? `${host} through the proxy ${new URL(settings.proxy.url).host}` : host;
    this.#logger = logger.child({ bucket: settings.bucket });
    this.#agents = agents;
    const { region, endpoint, forcePathStyle, proxy, stsEndpoint } = settings;
    const retryStrategy = s3RetryStrategy(
      maxAttempts,
      (good) => {
        this.#away = !good;
      },
      () => this.#closed,
    );
    this.#client = new S3Client({
      region,
      forcePathStyle,
      ...(endpoint === '' ? {} : { endpoint }),
      ...withCredentials(settings, {
        ...{ maxAttempts, retryStrategy },
        // An STS of the configuration's is trusted, wherever a request has the recordings go.
        agents: proxy || !stsEndpoint ? agents : undefined,
      }),
      // Stores that are not AWS know nothing of the newer checksums.
      requestChecksumCalculation: 'WHEN_REQUIRED',
      responseChecksumValidation: 'WHEN_REQUIRED',
      maxAttempts,
      retryStrategy,
      // See proxyAgents.
      ...(proxy && { expectContinueHeader: false }),
      // It follows no redirects.
      requestHandler: {
        connectionTimeout: CONNECT_MS,
        socketTimeout: IDLE_MS,
        ...(this.#agents && { httpAgent: this.#agents.http, httpsAgent: this.#agents.https }),
      },
    });
    this.#client.middlewareStack.add(
      (next, { commandName }) =>
        async (args) => {
          const result = await next(args);
          if (commandName === 'CreateMultipartUploadCommand')
            await this.#noteBegun(args.input, result.output);
          return result;
        },
      { step: 'initialize', name: 'noteMultipartUpload' },
    );
  }

  get away(): boolean {
    return this.#away;
  }

  async putFile(key: string, path: string, options: PutOptions): Promise<StoredObject> {
    return this.#explain(async () => {
      options.signal?.throwIfAborted();
      const { size } = await stat(path);
      const normal = normaliseKey(key);
      const note = multipartNote(path, { host: this.#host, bucket: this.name, key: normal });
      await note.abortEarlier(this.#client, options.signal);
      this.#notes.set(normal, note);
      const body = createReadStream(path);
      // Also when the upload failed before it was looked at, its error is nobody's surprise.
      body.on('error', () => undefined);
      try {
        const stored = await this.#upload(key, body, Math.max(size, options.size ?? 0), size, options);
        if (body.bytesRead !== size) {
          throw new StorageError(
            'internal',
            500,
            `the file for S3 bucket ${this.name} changed while it was uploaded`,
          );
        }
        await this.#confirm(normal, size);
        await note.done();
        return stored;
      } catch (error) {
        // Breaking off does not wait for the SDK to tidy up, and this process may end.
        if (options.signal?.aborted) {
          await note.abortEarlier(this.#client, AbortSignal.timeout(TIDY_MS)).catch(() => undefined);
        }
        throw error;
      } finally {
        this.#notes.delete(normal);
        body.destroy();
      }
    });
  }

  async putBytes(key: string, bytes: Uint8Array, options: PutOptions): Promise<StoredObject> {
    return this.#explain(() => this.#upload(key, bytes, bytes.byteLength, bytes.byteLength, options));
  }

  async size(key: string): Promise<number | undefined> {
    return this.#explain(() => this.#head(normaliseKey(key)));
  }

  async delete(key: string): Promise<void> {
    return this.#explain(async () => {
      await this.#client.send(new DeleteObjectCommand({ Bucket: this.name, Key: normaliseKey(key) }));
    });
  }

  location(key: string): string {
    return objectUrl(this.#settings, normaliseKey(key));
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#client.destroy();
    this.#agents?.http.destroy();
    this.#agents?.https.destroy();
  }

  /** @param expected sizes the parts. @param bytes are what there is. */
  async #upload(
    key: string,
    body: Uint8Array | ReturnType<typeof createReadStream>,
    expected: number,
    bytes: number,
    { contentType, cacheControl, signal }: PutOptions,
  ): Promise<StoredObject> {
    signal?.throwIfAborted();
    const normal = normaliseKey(key);
    const { metadata, tagging, contentDisposition } = this.#settings;
    const abortController = new AbortController();
    const abort = (): void => abortController.abort();
    signal?.addEventListener('abort', abort, { once: true });
    const started = performance.now();
    try {
      const upload = new Upload({
        client: this.#client,
        abortController,
        queueSize: PARTS_AT_ONCE,
        partSize: partSize(expected),
        // A failed upload takes its parts away: nobody else knows of them, and they cost money.
        leavePartsOnError: false,
        params: {
          Bucket: this.name,
          Key: normal,
          Body: body,
          ContentType: contentType,
          ContentDisposition: contentDisposition,
          Metadata: metadata,
          ...(cacheControl === undefined ? {} : { CacheControl: cacheControl }),
          ...(tagging === '' ? {} : { Tagging: tagging }),
        },
      });
      await upload.done();
    } catch (error) {
      if (!(await this.#arrivedAnyway(error, normal, bytes))) throw error;
    } finally {
      signal?.removeEventListener('abort', abort);
    }
    this.#logger.debug({ key: normal, bytes, ms: Math.round(performance.now() - started) }, 'object stored');
    return { key: normal, location: this.location(normal), bytes };
  }

  async #noteBegun(input: object, output: object): Promise<void> {
    if (!('Key' in input && 'UploadId' in output)) return;
    const { Key, UploadId } = { ...input, ...output };
    if (typeof Key === 'string' && typeof UploadId === 'string') await this.#notes.get(Key)?.begun(UploadId);
  }

  /** Asks what the store has. Who may write there and not read has the answer to the upload itself. */
  async #confirm(key: string, bytes: number): Promise<void> {
    const found = await this.#head(key).catch((error: unknown) => {
      const explained = explainS3Error(error, this.name, this.#host);
      if (explained instanceof StorageError && explained.code === 403) return bytes;
      throw error;
    });
    if (found === bytes) return;
    const has = found === undefined ? 'does not have it' : `has ${found} bytes`;
    const what = `S3 bucket ${this.name}: ${bytes} bytes were uploaded, and ${this.#host} ${has}`;
    throw new StorageError('destination', 502, what);
  }

  /** The answer to the last step was lost, and the retry found the upload finished and gone. */
  async #arrivedAnyway(error: unknown, key: string, bytes: number): Promise<boolean> {
    return error instanceof Error && error.name === 'NoSuchUpload' && (await this.#head(key)) === bytes;
  }

  async #head(key: string): Promise<number | undefined> {
    try {
      const { ContentLength } = await this.#client.send(
        new HeadObjectCommand({ Bucket: this.name, Key: key }),
      );
      return ContentLength;
    } catch (error) {
      if (error instanceof Error && (error.name === 'NotFound' || error.name === 'NoSuchKey'))
        return undefined;
      throw error;
    }
  }

  async #explain<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw explainS3Error(error, this.name, this.#host);
    }
  }
}
