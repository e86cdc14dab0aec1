import { describe, expect, it } from 'vitest';
import type { S3Config } from '../../src/config/index.ts';
import type { S3Settings } from '../../src/egress/plan/types.ts';
import { StorageError } from '../../src/storage/index.ts';
import { encodeKey, normaliseKey } from '../../src/storage/key.ts';
import { explainS3Error } from '../../src/storage/s3-errors.ts';
import { retryPause, s3RetryStrategy } from '../../src/storage/s3-retry.ts';
import { objectUrl, partSize, requestedS3 } from '../../src/storage/s3-settings.ts';

const MIB = 1024 * 1024;

const s3 = (over: Partial<S3Settings> = {}): S3Settings => ({
  bucket: 'bkt',
  region: 'eu-central-1',
  endpoint: '',
  accessKey: '',
  secret: '',
  sessionToken: '',
  forcePathStyle: false,
  metadata: {},
  tagging: '',
  contentDisposition: '',
  ...over,
});

describe('normaliseKey', () => {
  it.each([
    ['a.mp4', 'a.mp4'],
    ['rec/demo/a b.mp4', 'rec/demo/a b.mp4'],
    ['./rec//./a.mp4', 'rec/a.mp4'],
    ['rec/..a/a..mp4', 'rec/..a/a..mp4'],
    ['ünï/çødé.ts', 'ünï/çødé.ts'],
    ['back\\..\\slash', 'back\\..\\slash'],
  ])('%j -> %j', (key, normal) => {
    expect(normaliseKey(key)).toBe(normal);
  });

  it.each([
    '',
    '.',
    './',
    '/etc/passwd',
    '//a',
    '..',
    '../a',
    'a/../../b',
    'a/..',
    'a/../b',
    'a\0b',
    'a\r\nb',
    'a\u009bb',
    'a/',
    'a/.',
    'x'.repeat(1025),
  ])('refuses %j', (key) => {
    expect(() => normaliseKey(key)).toThrow(expect.objectContaining({ blame: 'user', code: 400 }) as Error);
  });
});

it.each([
  ['a/b.mp4', 'a/b.mp4'],
  ['a b/ü+#?%.mp4', 'a%20b/%C3%BC%2B%23%3F%25.mp4'],
  ["it's(1)*!.ts", 'it%27s%281%29%2A%21.ts'],
])('encodeKey(%j)', (key, encoded) => {
  expect(encodeKey(key)).toBe(encoded);
});

describe('partSize', () => {
  it.each([
    [0, 5 * MIB],
    [44 * 1024 * MIB, 6 * MIB],
    [500 * 1024 * MIB, 57 * MIB],
    [5 * 1024 * 1024 * MIB, 583 * MIB],
  ])('for %i bytes', (size, part) => {
    expect(partSize(size)).toBe(part);
    expect(size / part).toBeLessThan(9001);
  });
});

describe('objectUrl', () => {
  it.each([
    [{}, 'https://bkt.s3.eu-central-1.amazonaws.com/a/b%20c.mp4'],
    [{ forcePathStyle: true }, 'https://s3.eu-central-1.amazonaws.com/bkt/a/b%20c.mp4'],
    [{ endpoint: 'http://store:9000', forcePathStyle: true }, 'http://store:9000/bkt/a/b%20c.mp4'],
    [{ endpoint: 'https://r2.example.com/base/' }, 'https://bkt.r2.example.com/base/a/b%20c.mp4'],
    [
      { endpoint: 'http://me:TOPSECRET@store:9000', forcePathStyle: true },
      'http://store:9000/bkt/a/b%20c.mp4',
    ],
    [{ endpoint: 'http://127.0.0.1:9000' }, 'http://127.0.0.1:9000/bkt/a/b%20c.mp4'],
    [{ bucket: 'With.Dots' }, 'https://s3.eu-central-1.amazonaws.com/With.Dots/a/b%20c.mp4'],
  ])('%j', (over, url) => {
    expect(objectUrl(s3(over), 'a/b c.mp4')).toBe(url);
  });
});

describe('requestedS3', () => {
  const ours: S3Config = {
    bucket: 'ours',
    region: 'us-east-1',
    endpoint: 'http://ours:9000',
    accessKey: 'OUR',
    secret: 'OURSECRET',
    sessionToken: 'OURTOKEN',
    forcePathStyle: true,
  };
  const storage = { type: 'local' as const, local: { path: '/x' }, s3: ours };

  it('takes our credentials, and the endpoint they are for, when the request has none', () => {
    expect(requestedS3(s3({ region: '' }), storage)).toEqual({
      ...s3({ bucket: 'bkt', region: 'us-east-1', contentDisposition: 'inline' }),
      endpoint: ours.endpoint,
      accessKey: 'OUR',
      secret: 'OURSECRET',
      sessionToken: 'OURTOKEN',
      forcePathStyle: true,
    });
  });

  it('gives nothing of ours to a request with its own', () => {
    const own = s3({ accessKey: 'THEIR', secret: 'THEIRS', contentDisposition: 'attachment' });
    expect(requestedS3(own, storage)).toEqual(own);
  });

  it.each([
    ['no bucket', { bucket: '' }],
    ['half a credential', { accessKey: 'A' }],
    ['our credentials at their endpoint', { endpoint: 'http://evil' }],
  ])('refuses %s', (_, over) => {
    expect(() => requestedS3(s3(over), storage)).toThrow(
      expect.objectContaining({ blame: 'user', code: 400 }) as Error,
    );
  });
});

describe('s3RetryStrategy', () => {
  it('tries nothing again once its storage is closed', async () => {
    let closed = false;
    const strategy = s3RetryStrategy(undefined, undefined, () => closed);
    const first = await strategy.acquireInitialRetryToken('');
    const failure = { errorType: 'TRANSIENT' } as const;
    const second = await strategy.refreshRetryTokenForRetry(first, failure);
    expect(second.getRetryCount()).toBe(1);
    closed = true;
    await expect(strategy.refreshRetryTokenForRetry(second, failure)).rejects.toThrow(
      'not to be tried again',
    );
  });

  it('tries twenty times, longer and longer up to two seconds', async () => {
    const strategy = s3RetryStrategy();
    let token = await strategy.acquireInitialRetryToken('');
    const pauses: number[] = [];
    for (;;) {
      try {
        token = await strategy.refreshRetryTokenForRetry(token, { errorType: 'TRANSIENT' });
        pauses.push(token.getRetryDelay());
      } catch {
        break;
      }
    }
    expect(pauses).toHaveLength(19);
    expect(Math.max(...pauses)).toBeLessThanOrEqual(2500);
    expect([1, 2, 3, 5, 6, 19].map((retry) => retryPause(retry, 0.5))).toEqual([
      100, 200, 400, 1600, 2000, 2000,
    ]);
  });

  it('does not try again what is refused', async () => {
    const strategy = s3RetryStrategy();
    const token = await strategy.acquireInitialRetryToken('');
    await expect(strategy.refreshRetryTokenForRetry(token, { errorType: 'CLIENT_ERROR' })).rejects.toThrow();
  });
});

describe('explainS3Error', () => {
  const sdk = (name: string, httpStatusCode?: number, code?: string) =>
    Object.assign(new Error('StringToSign TOPSECRET'), {
      name,
      $metadata: { httpStatusCode },
      ...(code ? { code } : {}),
    });

  it.each([
    [
      sdk('RequestTimeout', 400),
      'destination',
      502,
      'S3 bucket bkt: h:1 has a problem (RequestTimeout, HTTP 400)',
    ],
    [
      sdk('NoSuchUpload', 404),
      'destination',
      502,
      'S3 bucket bkt: h:1 has a problem (NoSuchUpload, HTTP 404)',
    ],
    [sdk('SlowDown', 429), 'destination', 502, 'S3 bucket bkt: h:1 has a problem (SlowDown, HTTP 429)'],
    [sdk('NoSuchBucket', 404), 'user', 404, 'S3 bucket bkt does not exist (NoSuchBucket, HTTP 404)'],
    [
      sdk('SignatureDoesNotMatch', 403),
      'user',
      403,
      'S3 bucket bkt denies access (SignatureDoesNotMatch, HTTP 403): check access key, secret and permissions',
    ],
    [
      sdk('403', 403),
      'user',
      403,
      'S3 bucket bkt denies access (403, HTTP 403): check access key, secret and permissions',
    ],
    [
      sdk('PermanentRedirect', 301),
      'user',
      400,
      'S3 bucket bkt is in another region (PermanentRedirect, HTTP 301)',
    ],
    [sdk('CredentialsProviderError'), 'user', 401, 'S3 bucket bkt: there are no credentials for it'],
    [
      sdk('Error', undefined, 'ECONNREFUSED'),
      'destination',
      503,
      'S3 bucket bkt: h:1 cannot be reached (ECONNREFUSED)',
    ],
    [
      Object.assign(new Error('x'), { cause: sdk('Error', undefined, 'ENOTFOUND') }),
      'destination',
      503,
      'S3 bucket bkt: h:1 cannot be reached (ENOTFOUND)',
    ],
    [sdk('TimeoutError'), 'destination', 504, 'S3 bucket bkt: h:1 does not answer in time'],
    [sdk('SlowDown', 503), 'destination', 502, 'S3 bucket bkt: h:1 has a problem (SlowDown, HTTP 503)'],
    [sdk('EntityTooLarge', 400), 'user', 400, 'S3 bucket bkt refuses (EntityTooLarge, HTTP 400)'],
    [
      sdk('Error', undefined, 'ENOENT'),
      'internal',
      500,
      'the file for S3 bucket bkt cannot be read (ENOENT)',
    ],
    ['what?', 'internal', 500, 'S3 bucket bkt: the upload failed (unknown error)'],
  ])('%s', (error, blame, code, message) => {
    const explained = explainS3Error(error, 'bkt', 'h:1');
    expect(explained).toBeInstanceOf(StorageError);
    expect(explained).toMatchObject({ blame, code, message });
    expect(JSON.stringify(explained, Object.getOwnPropertyNames(explained))).not.toContain('TOPSECRET');
  });

  it('leaves an abort an abort', () => {
    const abort = new DOMException('stop', 'AbortError');
    expect(explainS3Error(abort, 'bkt', 'h')).toBe(abort);
  });
});
