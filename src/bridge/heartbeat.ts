/** Notices a peer that has stopped answering, through WebSocket pings. */
import type { WebSocket } from 'ws';

/** Pings without an answer after which the peer is given up. */
const MAX_MISSED = 4;

/**
 * Pings every `intervalMs`; calls `onDead` once, when {@link MAX_MISSED} pings in a row went unanswered. Pings are
 * counted, not time: while this process itself is held up, nobody is given up for it.
 *
 * @returns ends the heartbeat
 */
export function startHeartbeat(socket: WebSocket, intervalMs: number, onDead: () => void): () => void {
  let missed = 0;
  const heard = (): void => void (missed = 0);
  const timer = setInterval(() => {
    if (missed >= MAX_MISSED) {
      stop();
      onDead();
      return;
    }
    missed += 1;
    if (socket.readyState === socket.OPEN) socket.ping();
  }, intervalMs);
  const stop = (): void => {
    clearInterval(timer);
    socket.off('pong', heard);
    socket.off('message', heard);
  };
  socket.on('pong', heard);
  socket.on('message', heard);
  socket.once('close', stop);
  return stop;
}
