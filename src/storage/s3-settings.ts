/** Which bucket, reached how. Pure. */
import type { Config, S3Config } from '../config/index.ts';
import { encodeKey } from './key.ts';
import { StorageError } from './types.ts';
import type { S3Settings } from './types.ts';

/** LiveKit's default: a browser shows the recording instead of saving it. */
const DEFAULT_DISPOSITION = 'inline';

/** The bucket of the configuration. */
export function configuredS3({ s3 }: Pick<Config['storage'], 's3'>): S3Settings {
  return bucketOf(s3);
}

/** A bucket of the operator's, with nothing a request could ask for. */
export function bucketOf(s3: S3Config): S3Settings {
  return { ...s3, metadata: {}, tagging: '', contentDisposition: DEFAULT_DISPOSITION };
}

/**
 * What a request named, completed from the configuration: credentials when the request has none, and with them the
 * endpoint they are for. A request with credentials of its own gets nothing from us: they belong to another account.
 *
 * @throws StorageError when no bucket is named.
 */
export function requestedS3(
  request: S3Settings,
  { s3, stsEndpoint = '' }: Pick<Config['storage'], 's3'> & Partial<Pick<Config['storage'], 'stsEndpoint'>>,
): S3Settings {
  if (request.bucket === '') throw new StorageError('user', 400, 'the S3 upload names no bucket');
  if ((request.accessKey === '') !== (request.secret === '')) {
    throw new StorageError('user', 400, `S3 bucket ${request.bucket}: access_key and secret belong together`);
  }
  const contentDisposition = request.contentDisposition || DEFAULT_DISPOSITION;
  const region = request.region || s3.region;
  // Where roles are asked for is the operator's to say, whoever asks.
  const sts = request.assumeRole ? { stsEndpoint } : {};
  if (request.accessKey !== '') return { ...request, ...sts, region, contentDisposition };
  const ownEndpoint = request.endpoint !== '' && request.endpoint !== s3.endpoint;
  if (ownEndpoint && s3.accessKey !== '') {
    throw new StorageError(
      'user',
      400,
      `S3 bucket ${request.bucket}: an endpoint of its own needs access_key and secret`,
    );
  }
  return {
    ...request,
    ...sts,
    region,
    contentDisposition,
    endpoint: request.endpoint || s3.endpoint,
    accessKey: s3.accessKey,
    secret: s3.secret,
    sessionToken: s3.sessionToken,
    forcePathStyle: request.forcePathStyle || s3.forcePathStyle,
  };
}

/** S3 allows 10,000 parts; some room for a file that turns out larger than expected. */
const MAX_PARTS = 9000;
const MIN_PART_BYTES = 5 * 1024 * 1024;
const MEBIBYTE = 1024 * 1024;

/** Bytes a part of an upload of `size` bytes; whole mebibytes. */
export function partSize(size: number): number {
  return Math.max(MIN_PART_BYTES, Math.ceil(size / MAX_PARTS / MEBIBYTE) * MEBIBYTE);
}

/** A proxy's URL with its user and password: a secret. */
export function proxyUrl({ url, username, password }: NonNullable<S3Settings['proxy']>): URL {
  const whole = new URL(url);
  if (username !== '') {
    whole.username = encodeURIComponent(username);
    whole.password = encodeURIComponent(password);
  }
  return whole;
}

/** The URL of an object, without credentials: by host name, or by path where the store wants it. */
export function objectUrl(settings: S3Settings, key: string): string {
  const { bucket, region, endpoint, forcePathStyle } = settings;
  const base = endpoint === '' ? new URL(`https://s3.${region}.amazonaws.com`) : new URL(endpoint);
  const folder = base.pathname.replace(/\/+$/, '');
  const isHostName = /^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$/.test(bucket) && !/^[\d.]+$|^\[/.test(base.hostname);
  return forcePathStyle || !isHostName
    ? `${base.protocol}//${base.host}${folder}/${bucket}/${encodeKey(key)}`
    : `${base.protocol}//${bucket}.${base.host}${folder}/${encodeKey(key)}`;
}
