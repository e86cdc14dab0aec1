/** Keys for the RTP between this worker and the SFU. */
import { randomBytes } from 'node:crypto';
import type { BridgeSrtpParameters } from './protocol.ts';

/** A new key. AES_CM_128_HMAC_SHA1_80: 16 bytes of key and 14 of salt (RFC 3711). */
export function newSrtpKey(): BridgeSrtpParameters {
  return { cryptoSuite: 'AES_CM_128_HMAC_SHA1_80', keyBase64: randomBytes(30).toString('base64') };
}
