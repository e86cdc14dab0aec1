/** Whether two secrets are the same, without telling by the time it takes how much of them is. */
import { createHash, timingSafeEqual } from 'node:crypto';

const digest = (text: string): Buffer => createHash('sha256').update(text).digest();

/** Hashes are compared: they are of one length, whatever the secrets' is. */
export function sameSecret(given: string, expected: string): boolean {
  return timingSafeEqual(digest(given), digest(expected));
}
