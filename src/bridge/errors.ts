/** Errors of the bridge, on both ends. */
import type { BridgeErrorBody } from './protocol.ts';

/** Codes of the protocol, and two of the client's own: no answer in time, and the bridge is closed. */
export type BridgeErrorCode = BridgeErrorBody['code'] | 'timeout' | 'closed';

/** A request that failed. */
export class BridgeRequestError extends Error {
  readonly code: BridgeErrorCode;
  /** With `closed`: the WebSocket's close code (see BridgeCloseCode), when there was one. */
  readonly closeCode: number | undefined;

  constructor(code: BridgeErrorCode, message: string, closeCode?: number) {
    super(message);
    this.name = 'BridgeRequestError';
    this.code = code;
    this.closeCode = closeCode;
  }
}
