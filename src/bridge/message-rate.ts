/** How much a worker may say: far more than any does, and far less than would hold the server up. */
import type { WebSocket } from 'ws';
import { RateLimit } from '../limits/rate.ts';
import { closeSocket } from './close-socket.ts';
import { BridgeCloseCode } from './protocol.ts';

/** A room full of people whose layers all change at once is some hundreds of requests. */
const MESSAGES = { perSecond: 200, burst: 2000 };

/** Ends the socket of whoever says too much; to be called before anybody else listens to it. */
export function limitMessages(socket: WebSocket, onExceeded: () => void): void {
  const rate = new RateLimit(MESSAGES);
  socket.on('message', () => {
    if (rate.take('') === 0) return;
    // What has come already is not answered any more.
    socket.removeAllListeners('message');
    onExceeded();
    closeSocket(socket, BridgeCloseCode.protocolError, 'too many messages');
  });
}
