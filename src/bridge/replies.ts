/** Errors as a reply tells them: what the worker got wrong in full, what went wrong here in the log only. */
import type { Logger } from 'pino';
import { SfuError } from '../sfu/types.ts';
import { BridgeRequestError } from './errors.ts';
import type { BridgeErrorBody } from './protocol.ts';

const SFU_CODES: Readonly<Record<SfuError['code'], BridgeErrorBody['code']>> = {
  not_found: 'not_found',
  already_exists: 'invalid',
  invalid_argument: 'invalid',
  resource_exhausted: 'not_allowed',
  failed_precondition: 'not_found',
  permission_denied: 'not_allowed',
  unavailable: 'internal',
};

export function errorBody(err: unknown, logger: Logger): BridgeErrorBody {
  if (err instanceof BridgeRequestError && err.code !== 'timeout' && err.code !== 'closed') {
    return { code: err.code, message: err.message };
  }
  if (err instanceof SfuError) return { code: SFU_CODES[err.code], message: err.message };
  // mediasoup's: a TypeError is a parameter it cannot take, an UnsupportedError a codec.
  if (err instanceof Error && err.name === 'UnsupportedError') {
    return { code: 'unsupported_codec', message: err.message };
  }
  if (err instanceof TypeError) return { code: 'invalid', message: err.message };
  logger.error({ err }, 'bridge: request failed');
  return { code: 'internal', message: 'the SFU could not do it; its log says why' };
}
