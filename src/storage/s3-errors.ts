/** What went wrong with S3, whose fault it is, in words that name the bucket and no secret. Pure. */
import { GuardError } from '../outbound/index.ts';
import { StorageError } from './types.ts';

/** What the SDK's errors tell. Their messages may quote the request, so they are not repeated. */
interface SdkError {
  name?: string;
  code?: unknown;
  cause?: unknown;
  $metadata?: { httpStatusCode?: number };
}

const UNREACHABLE = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
  'ENETDOWN',
  'EPROTO',
  'ECONNABORTED',
  'ERR_STREAM_PREMATURE_CLOSE',
]);

const DENIED = new Set([
  'AccessDenied',
  'AccountProblem',
  'ExpiredToken',
  'Forbidden',
  'InvalidAccessKeyId',
  'InvalidToken',
  'SignatureDoesNotMatch',
]);

const WRONG_REGION = new Set([
  'AuthorizationHeaderMalformed',
  'IllegalLocationConstraintException',
  'PermanentRedirect',
]);

/** Refusals of the moment: the same request may be taken next time. */
const PASSING = new Set(['NoSuchUpload', 'RequestTimeout', 'OperationAborted', 'InvalidPart']);

const LOCAL_FILE = new Set(['ENOENT', 'EACCES', 'EISDIR', 'EIO']);

/** An abort stays what it is, and so does a StorageError. */
export function explainS3Error(error: unknown, bucket: string, host: string): Error {
  if (error instanceof StorageError) return error;
  if (error instanceof Error && error.name === 'AbortError') return error;
  const { name, code, status } = facts(error);
  const storage = `S3 bucket ${bucket}`;
  if (error instanceof GuardError && !error.retry) {
    return new StorageError('user', 403, `${storage}: ${error.message}`);
  }
  const detail = status === undefined ? name : `${name}, HTTP ${status}`;
  if (name === 'NoSuchBucket') return new StorageError('user', 404, `${storage} does not exist (${detail})`);
  if (DENIED.has(name) || status === 403 || status === 401) {
    return new StorageError(
      'user',
      403,
      `${storage} denies access (${detail}): check access key, secret and permissions`,
    );
  }
  if (WRONG_REGION.has(name) || status === 301) {
    return new StorageError('user', 400, `${storage} is in another region (${detail})`);
  }
  if (name === 'CredentialsProviderError') {
    return new StorageError('user', 401, `${storage}: there are no credentials for it`);
  }
  if (code !== undefined && UNREACHABLE.has(code)) {
    return new StorageError('destination', 503, `${storage}: ${host} cannot be reached (${code})`);
  }
  if (name === 'NotImplemented' || status === 501) {
    return new StorageError(
      'user',
      501,
      `${storage}: ${host} cannot do what the upload asks for, such as tagging (${detail})`,
    );
  }
  if (name === 'TimeoutError')
    return new StorageError('destination', 504, `${storage}: ${host} does not answer in time`);
  if (code !== undefined && LOCAL_FILE.has(code)) {
    return new StorageError('internal', 500, `the file for ${storage} cannot be read (${code})`);
  }
  if (status !== undefined && (status >= 500 || status === 408 || status === 429 || PASSING.has(name))) {
    return new StorageError('destination', 502, `${storage}: ${host} has a problem (${detail})`);
  }
  if (status !== undefined && status >= 400)
    return new StorageError('user', status, `${storage} refuses (${detail})`);
  return new StorageError('internal', 500, `${storage}: the upload failed (${detail})`);
}

function facts(error: unknown): { name: string; code: string | undefined; status: number | undefined } {
  if (typeof error !== 'object' || error === null)
    return { name: 'unknown error', code: undefined, status: undefined };
  const { name, code, cause, $metadata } = error as SdkError;
  const status = $metadata?.httpStatusCode;
  if (typeof code === 'string') return { name: name ?? code, code, status };
  const inner = cause === undefined ? undefined : facts(cause);
  return { name: name ?? 'unknown error', code: inner?.code, status: status ?? inner?.status };
}
