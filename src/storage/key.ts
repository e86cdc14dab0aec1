/** Keys: relative paths with slashes, the same for every kind of store. Pure. */
import { StorageError } from './types.ts';

/** S3's limit, in bytes of UTF-8. */
const MAX_KEY_BYTES = 1024;

// eslint-disable-next-line no-control-regex -- control characters are what is looked for
const CONTROL = /[\u0000-\u001f\u007f-\u009f]/;

/**
 * The key without `./` and doubled slashes.
 * @throws StorageError when it is empty, absolute, leaves the store, or cannot be a name.
 */
export function normaliseKey(key: string): string {
  const refuse = (why: string): never => {
    throw new StorageError('user', 400, `the storage path ${JSON.stringify(key.slice(0, 200))} ${why}`);
  };
  if (CONTROL.test(key)) refuse('has a control character in it');
  if (key.startsWith('/')) refuse('is absolute: it must be relative to the storage');
  const parts = key.split('/').filter((part) => part !== '' && part !== '.');
  if (parts.includes('..')) refuse('has .. in it: it must stay inside the storage');
  if (parts.length === 0) refuse('names no file');
  if (/\/\.?$/.test(key)) refuse('names a folder: it must name a file');
  const normal = parts.join('/');
  if (Buffer.byteLength(normal) > MAX_KEY_BYTES) refuse(`is longer than ${MAX_KEY_BYTES} bytes`);
  return normal;
}

/** For a URL's path: every part encoded, slashes kept. */
export function encodeKey(key: string): string {
  return key
    .split('/')
    .map((part) =>
      encodeURIComponent(part).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`),
    )
    .join('/');
}
