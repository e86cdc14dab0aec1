/** A TCP relay to a server of this machine that can go down, drop its connections and come up again. */
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { Server, Socket } from 'node:net';
import { freePort } from './ports.ts';

const LOOPBACK = '127.0.0.1';

export interface TcpSwitch {
  readonly port: number;
  /** Drops every connection; new ones are taken. */
  cut(): void;
  /** Drops every connection and refuses new ones. */
  down(): Promise<void>;
  up(): Promise<void>;
  close(): Promise<void>;
}

/** @param up whether it listens from the first moment */
export async function startTcpSwitch(serverPort: number, up = true): Promise<TcpSwitch> {
  const port = await freePort();
  const open = new Set<Socket>();
  let server: Server | undefined;
  const cut = (): void => {
    for (const socket of open) socket.destroy();
  };
  const accept = (client: Socket): void => {
    const upstream = connect(serverPort, LOOPBACK);
    for (const [socket, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      open.add(socket);
      socket.on('error', () => undefined);
      socket.once('close', () => {
        open.delete(socket);
        other.destroy();
      });
      socket.pipe(other);
    }
  };
  const relay: TcpSwitch = {
    port,
    cut,
    down: async () => {
      const was = server;
      server = undefined;
      cut();
      if (!was) return;
      was.close();
      await once(was, 'close');
    },
    up: async () => {
      if (server) return;
      server = createServer(accept).listen(port, LOOPBACK);
      await once(server, 'listening');
    },
    close: () => relay.down(),
  };
  if (up) await relay.up();
  return relay;
}
