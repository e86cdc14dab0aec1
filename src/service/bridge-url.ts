/** Where workers reach this server's bridge. */
import { createServer } from 'node:http';
import type { IncomingMessage, RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { BRIDGE_PATH } from '../bridge/server.ts';
import { isUnspecified } from '../sfu/sfu.ts';

/**
 * Pure.
 * @param host `http.host`
 * @param external this machine's own address, for a server that listens on every one of them
 */
export function bridgeUrl(host: string, port: number, tls: boolean, external: string | undefined): string {
  const reached = isUnspecified(host) ? (external ?? '127.0.0.1') : host;
  return `${tls ? 'wss' : 'ws'}://${reached.includes(':') ? `[${reached}]` : reached}:${port}${BRIDGE_PATH}`;
}

type Upgrade = (request: IncomingMessage, stream: Duplex, head: Buffer) => void;

/**
 * Where workers reach what the server serves them beside the bridge. Pure.
 * @param bridge URL of the bridge
 */
export function httpUrlOf(bridge: string): string {
  const url = new URL(bridge);
  const path = url.pathname.endsWith(BRIDGE_PATH) ? url.pathname.slice(0, -BRIDGE_PATH.length) : '';
  return `${url.protocol === 'wss:' ? 'https' : 'http'}://${url.host}${path}`;
}

/**
 * Bridge and HTTP on a loopback port of its own, for the worker in the same process: a server with TLS has a
 * certificate for a name that need not lead back to this machine.
 */
export async function listenOnLoopback(
  handleUpgrade: Upgrade,
  handleRequest: RequestListener,
): Promise<{ url: string; close: () => Promise<void> }> {
  const server = createServer(handleRequest);
  server.on('upgrade', handleUpgrade);
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });
  const { port } = server.address() as AddressInfo;
  return {
    url: bridgeUrl('127.0.0.1', port, false, undefined),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
