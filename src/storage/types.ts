/** Where finished media goes. One implementation a kind of store; all pass test/integration/storage.test.ts. */

/** Where outputs go. `default` is the service's own configuration. */
export type StoragePlan = { type: 'default' } | { type: 'local' } | { type: 's3'; s3: S3Settings };

export interface S3Settings {
  bucket: string;
  region: string;
  endpoint: string;
  accessKey: string;
  secret: string;
  sessionToken: string;
  forcePathStyle: boolean;
  metadata: Record<string, string>;
  /** `a=b&c=d` as S3 wants it. */
  tagging: string;
  contentDisposition: string;
  /** A role to take on with the credentials above; its own then reach the bucket. */
  assumeRole?: { arn: string; externalId: string };
  /** STS; absent or empty: AWS's own in the region. */
  stsEndpoint?: string;
  /** An HTTP proxy on the way to the store, and to STS. */
  proxy?: { url: string; username: string; password: string };
}

export interface PutOptions {
  contentType: string;
  /** Expected bytes, when known: sizes multipart parts. */
  size?: number;
  /** `no-store` style header for live playlists. */
  cacheControl?: string;
  /** Of use for seconds only: nothing waits until it is on disk. */
  fleeting?: boolean;
  signal?: AbortSignal;
}

export interface StoredObject {
  /** Key inside the store, without a leading slash. */
  key: string;
  /** A path or URL that opens from this machine: what EgressInfo shows as `location`. Never holds a credential. */
  location: string;
  bytes: number;
}

export interface Storage {
  readonly kind: 'local' | 's3';
  /** For messages: the bucket or folder, never a secret. */
  readonly name: string;
  /**
   * Puts the file at `path` under `key`, whole or not at all, replacing what was there. Resolves when the store has
   * confirmed that it has every byte.
   * @throws StorageError
   */
  putFile(key: string, path: string, options: PutOptions): Promise<StoredObject>;
  /** @throws StorageError */
  putBytes(key: string, bytes: Uint8Array, options: PutOptions): Promise<StoredObject>;
  /** Nothing good has been heard of it since it was last needed: it is down, or hangs. */
  readonly away: boolean;
  /** Bytes of the object, or undefined when there is none. @throws StorageError */
  size(key: string): Promise<number | undefined>;
  /** @throws StorageError */
  delete(key: string): Promise<void>;
  /** Where `key` would be found. */
  location(key: string): string;
  close(): Promise<void>;
}

/**
 * Whose fault a failed operation is, in livekit/egress's sense: `user` (missing bucket, wrong secret, bad key),
 * `destination` (unreachable, slow, 5xx: worth another try) or `internal`.
 */
export class StorageError extends Error {
  readonly blame: 'user' | 'destination' | 'internal';
  /** LiveKit's HTTP-like code for EgressInfo.error_code. */
  readonly code: number;
  constructor(
    blame: 'user' | 'destination' | 'internal',
    code: number,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.name = 'StorageError';
    this.blame = blame;
    this.code = code;
  }
}
