/**
 * TLS for FFmpeg: it talks to a port of this machine, and what it says goes on over TLS to the address that was
 * checked. Given an address, FFmpeg itself would not tell the server which name it wants, and given the name it would
 * look it up once more.
 */
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect, getCACertificates } from 'node:tls';
import type { TLSSocket } from 'node:tls';

export interface TlsGateOptions {
  /** Connected to. */
  address: string;
  port: number;
  /** The certificate must be for it; an address when the URL names one. */
  name: string;
  /** Trusted certificates (PEM) instead of the system's and Node's. */
  ca?: Buffer;
}

/** What is on its way when FFmpeg has ended may take this long to be sent, ms. */
const FLUSH_MS = 2000;

let systemCertificates: string[] | undefined;
/** As FFmpeg trusts: what the system does; and what Node brings, for systems without. */
const trusted = (): string[] =>
  (systemCertificates ??= [...getCACertificates('system'), ...getCACertificates('default')]);

export class TlsGate {
  readonly #options: TlsGateOptions;
  readonly #server: Server;
  #upstream: TLSSocket | undefined;
  #failure: string | undefined;

  private constructor(options: TlsGateOptions) {
    this.#options = options;
    this.#server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
      // One caller, FFmpeg: nobody else on this machine is to come after it.
      this.#server.close();
      this.#join(socket);
    });
  }

  /** Listens on a port of 127.0.0.1, for one connection. */
  static async open(options: TlsGateOptions): Promise<TlsGate> {
    const gate = new TlsGate(options);
    gate.#server.listen(0, '127.0.0.1');
    await once(gate.#server, 'listening');
    return gate;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Why the server was not reached, or is not trusted. */
  get failure(): string | undefined {
    return this.#failure;
  }

  /** Lets go of everything, once what FFmpeg said last is sent. */
  async close(): Promise<void> {
    if (this.#server.listening) this.#server.close();
    const upstream = this.#upstream;
    if (!upstream || upstream.destroyed) return;
    const sent = upstream.writableEnded && once(upstream, 'close').catch(() => undefined);
    if (sent) await Promise.race([sent, sleep(FLUSH_MS)]);
    upstream.destroy();
  }

  #join(socket: Socket): void {
    const { address, port, name, ca } = this.#options;
    const upstream = connect({
      ...{ host: address, port, ca: ca ?? trusted(), noDelay: true },
      // An address is no name to ask for, but what the certificate is held against.
      ...(name === address ? {} : { servername: name }),
    });
    this.#upstream = upstream;
    upstream.on('error', (error: NodeJS.ErrnoException) => {
      this.#failure ??= reasonOf(error, name);
      socket.destroy();
    });
    socket.on('error', () => upstream.destroy());
    socket.once('close', (failed) => (failed ? upstream.destroy() : upstream.end()));
    upstream.once('close', () => socket.destroy());
    socket.pipe(upstream).pipe(socket);
  }
}

function reasonOf({ code, message }: NodeJS.ErrnoException, name: string): string | undefined {
  switch (code) {
    case 'ECONNREFUSED':
      return `connection refused by ${name}`;
    case 'ETIMEDOUT':
      return `${name} did not answer in time`;
    case 'EHOSTUNREACH':
    case 'ENETUNREACH':
      return `there is no way to ${name}`;
    case 'ECONNRESET':
    case 'EPIPE':
      return `${name} closed the connection`;
    default:
      return `no secure connection to ${name}: its certificate or TLS was refused (${code ?? message})`;
  }
}
