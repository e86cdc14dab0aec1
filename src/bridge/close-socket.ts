/** How the SFU closes a worker's WebSocket. */
import type { WebSocket } from 'ws';

/** How long a peer may take to answer a close frame, ms. */
const CLOSE_DEADLINE_MS = 1000;

/** Closes with a code; a peer that does not answer is cut off. */
export function closeSocket(socket: WebSocket, code: number, reason: string): void {
  if (socket.readyState === socket.CLOSED) return;
  // A close frame holds 123 bytes of reason (RFC 6455 §5.5).
  socket.close(
    code,
    Buffer.from(reason)
      .subarray(0, 123)
      .toString()
      .replace(/\ufffd$/, ''),
  );
  const deadline = setTimeout(() => socket.terminate(), CLOSE_DEADLINE_MS);
  socket.once('close', () => clearTimeout(deadline));
}
