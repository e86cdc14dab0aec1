/** WebSocket upgrades: each path has one owner, the rest is answered and closed. */
import type { IncomingMessage, Server } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Logger } from 'pino';

/** Takes the socket over, and closes it. */
export type UpgradeHandler = (request: IncomingMessage, socket: Duplex, head: Buffer) => void;

/**
 * @param handlers by path, without query.
 * @returns closes the sockets that are still open, for when the server closes.
 */
export function routeUpgrades(
  server: Server,
  handlers: Readonly<Record<string, UpgradeHandler>>,
  logger: Logger,
): () => void {
  const open = new Set<Duplex>();
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    open.add(socket);
    socket.once('close', () => open.delete(socket));
    // A peer that resets the connection is not worth a crash; the handler sees the close.
    socket.on('error', (error) => logger.debug({ err: error }, 'upgraded connection'));
    const [path = ''] = (request.url ?? '').split('?', 1);
    const handler = Object.hasOwn(handlers, path) ? handlers[path] : undefined;
    if (handler) {
      handler(request, socket, head);
      return;
    }
    socket.end('HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n');
  });
  return () => {
    for (const socket of open) socket.destroy();
  };
}
