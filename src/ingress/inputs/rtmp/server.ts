/** Sockets of the RTMP server: listening, counting, TLS, and hanging up. */
import { createServer } from 'node:net';
import type { Server, Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import { Connection } from './connection.ts';
import { DEFAULT_LIMITS } from './types.ts';
import type { RtmpLimits, RtmpServer, RtmpServerOptions } from './types.ts';

/** How often deadlines are looked at, ms. */
const CHECK_MS = 200;
/** Connections over the limits that are still told so, within the protocol; more are hung up on. */
const TOLD_OVER_LIMIT = 16;

/** @throws Error that names what could not be bound, or what is wrong with the certificate */
export async function createRtmpServer(options: RtmpServerOptions): Promise<RtmpServer> {
  const server = new Listener(options);
  await server.listen();
  return server;
}

class Listener implements RtmpServer {
  readonly #options: RtmpServerOptions;
  readonly #limits: RtmpLimits;
  readonly #server: Server;
  readonly #sockets = new Map<Socket, string>();
  readonly #perAddress = new Map<string, number>();
  readonly #open = new Set<Connection>();
  #timer: NodeJS.Timeout | undefined;
  #closing: Promise<void> | undefined;

  constructor(options: RtmpServerOptions) {
    this.#options = options;
    this.#limits = { ...DEFAULT_LIMITS, ...options.limits };
    this.#server = this.#create();
    this.#server.on('connection', (socket) => this.#count(socket));
    // After it is counted; TLS has its own event, when it is through.
    if (!options.tls) this.#server.on('connection', (socket) => this.#serve(socket, false));
  }

  get port(): number {
    const address = this.#server.address();
    return typeof address === 'object' && address ? address.port : 0;
  }

  get connections(): number {
    return this.#sockets.size;
  }

  async listen(): Promise<void> {
    const { host, port, logger } = this.#options;
    const protocol = this.#options.tls ? 'RTMPS' : 'RTMP';
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', (cause) => {
        reject(new Error(`cannot listen for ${protocol} on ${host}:${port}: ${cause.message}`, { cause }));
      });
      this.#server.listen(port, host, resolve);
    });
    this.#server.removeAllListeners('error');
    // E.g. out of file descriptors: those who come meanwhile are lost, the others go on.
    this.#server.on('error', (error) => logger.error({ err: error }, `${protocol} server`));
  }

  close(): Promise<void> {
    return (this.#closing ??= this.#close());
  }

  async #close(): Promise<void> {
    clearInterval(this.#timer);
    const closed = [...this.#sockets.keys()].map(
      (socket) => new Promise((resolve) => socket.once('close', resolve)),
    );
    const stopped = new Promise((resolve) => this.#server.close(resolve));
    for (const connection of this.#open) connection.end('the server is going away');
    for (const socket of this.#sockets.keys()) socket.destroy();
    await Promise.all([stopped, ...closed]);
  }

  #create(): Server {
    const { tls, logger } = this.#options;
    if (!tls) return createServer({ noDelay: true });
    let server;
    try {
      server = createTlsServer({ ...tls, handshakeTimeout: this.#limits.handshakeMs });
    } catch (cause) {
      throw new Error(`the certificate or key for RTMPS cannot be used: ${String(cause)}`, { cause });
    }
    server.on('secureConnection', (socket) => this.#serve(socket, true));
    server.on('tlsClientError', (error, socket) => {
      const remoteAddress = plainAddress(socket.remoteAddress);
      logger.warn({ remoteAddress, reason: `no TLS: ${error.message}` }, 'RTMP connection closed');
      socket.destroy();
    });
    return server;
  }

  /** Every connection counts from its first moment, in TLS's handshake too. */
  #count(socket: Socket): void {
    const address = plainAddress(socket.remoteAddress);
    if (this.#over(address, TOLD_OVER_LIMIT)) {
      this.#options.logger.warn(
        { remoteAddress: address, reason: 'too many connections' },
        'RTMP connection closed',
      );
      socket.destroy();
      return;
    }
    this.#sockets.set(socket, address);
    this.#perAddress.set(address, (this.#perAddress.get(address) ?? 0) + 1);
    socket.once('close', () => {
      this.#sockets.delete(socket);
      const left = (this.#perAddress.get(address) ?? 1) - 1;
      if (left > 0) this.#perAddress.set(address, left);
      else this.#perAddress.delete(address);
    });
  }

  /** Which limit is reached with so many more. */
  #over(address: string, more: number): string | undefined {
    if (this.#sockets.size >= this.#limits.maxConnections + more) return 'too many connections';
    const here = this.#perAddress.get(address) ?? 0;
    return here >= this.#limits.maxConnectionsPerAddress + more
      ? 'too many connections from this address'
      : undefined;
  }

  #serve(socket: Socket, secure: boolean): void {
    if (socket.destroyed) return;
    const address = plainAddress(socket.remoteAddress);
    // This one is counted already.
    const rejection = this.#over(address, 1);
    const connection = new Connection({
      socket,
      secure,
      remoteAddress: address,
      limits: this.#limits,
      authorise: this.#options.authorise,
      logger: this.#options.logger,
      ...(rejection === undefined ? {} : { rejection }),
      gone: () => {
        this.#open.delete(connection);
        if (this.#open.size > 0) return;
        clearInterval(this.#timer);
        this.#timer = undefined;
      },
    });
    this.#open.add(connection);
    this.#timer ??= setInterval(() => {
      for (const each of this.#open) each.check();
    }, CHECK_MS);
  }
}

/** IPv4 as such, also where the socket is one for both. */
function plainAddress(address: string | undefined): string {
  return (address ?? 'unknown').replace(/^::ffff:(?=\d+\.)/i, '');
}
