/** WebSocket messages as JSON. */
import type { RawData } from 'ws';

/** What a text message says; undefined when it is binary or no JSON. */
export function parseMessage(data: RawData, binary: boolean): unknown {
  // A Buffer, unless the socket's binaryType was changed.
  if (binary || !Buffer.isBuffer(data)) return undefined;
  try {
    return JSON.parse(data.toString());
  } catch {
    return undefined;
  }
}
