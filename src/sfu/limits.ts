/** What names and metadata may be. */
import { SfuError } from './types.ts';

/** Characters of a room's name, an identity or a participant's name. */
export const MAX_NAME_LENGTH = 256;
/** Bytes of metadata, and of all attributes together (UTF-8). */
export const MAX_METADATA_BYTES = 64_000;

/**
 * @param what how an error calls it, e.g. `room name`
 * @throws SfuError `invalid_argument`
 */
export function checkName(what: string, value: string): void {
  if (value === '') throw new SfuError('invalid_argument', `${what} must not be empty`);
  checkOptionalName(what, value);
}

/** Like {@link checkName}, but may be empty. @throws SfuError `invalid_argument` */
export function checkOptionalName(what: string, value: string): void {
  if (value.length > MAX_NAME_LENGTH) {
    throw new SfuError(
      'invalid_argument',
      `${what} has ${value.length} characters; at most ${MAX_NAME_LENGTH} are allowed`,
    );
  }
  // eslint-disable-next-line no-control-regex -- control characters are what is looked for
  if (/[\u0000-\u001f\u007f]/.test(value)) {
    throw new SfuError('invalid_argument', `${what} must not contain control characters`);
  }
}

/** @throws SfuError `invalid_argument` */
export function checkMetadata(what: string, metadata: string): void {
  checkBytes(what, Buffer.byteLength(metadata));
}

/** @throws SfuError `invalid_argument` */
export function checkAttributes(attributes: Readonly<Record<string, string>>): void {
  let bytes = 0;
  for (const [key, value] of Object.entries(attributes)) {
    bytes += Buffer.byteLength(key) + Buffer.byteLength(value);
  }
  checkBytes('attributes', bytes);
}

function checkBytes(what: string, bytes: number): void {
  if (bytes > MAX_METADATA_BYTES) {
    throw new SfuError(
      'invalid_argument',
      `${what} has ${bytes} bytes; at most ${MAX_METADATA_BYTES} are allowed`,
    );
  }
}

/** @throws SfuError `invalid_argument` unless a whole number of at least 0. */
export function checkCount(what: string, value: number): void {
  if (!Number.isInteger(value) || value < 0) {
    throw new SfuError('invalid_argument', `${what} must be a whole number of at least 0, not ${value}`);
  }
}

/** @throws SfuError `invalid_argument` unless a finite number of at least 0. */
export function checkSeconds(what: string, value: number): void {
  if (!Number.isFinite(value) || value < 0) {
    throw new SfuError('invalid_argument', `${what} must be a number of seconds of at least 0, not ${value}`);
  }
}
