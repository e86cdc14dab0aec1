/**
 * The HTTP proxy a browser gets out by: each connection's host is resolved and checked, and connected to at exactly the
 * checked address. TLS and WebSockets pass through it (CONNECT); it looks into nothing. It is no way to anywhere this
 * machine's own programs could not go by themselves, so it asks for no password.
 */
import { once } from 'node:events';
import { createServer, request as httpRequest } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { pipeline } from 'node:stream/promises';
import type { Duplex } from 'node:stream';
import type { Logger } from 'pino';
import { GuardError } from './errors.ts';
import { plainHost } from './policy.ts';
import type { AddressPolicy } from './policy.ts';

const CONNECT_MS = 10_000;
/** Hosts whose last failure is remembered. */
const REMEMBERED = 100;
/** What belongs to one connection, not to what is sent over it (RFC 9110, 7.6.1). */
const HOP_HEADERS = new Set([
  ...['connection', 'keep-alive', 'proxy-authenticate', 'proxy-authorization', 'proxy-connection', 'te'],
  ...['trailer', 'transfer-encoding', 'upgrade'],
]);

export interface ForwardProxyOptions {
  policy: AddressPolicy;
  /** `host:port`, as URLs write them, that may be reached whatever the policy says. */
  trusted?: readonly string[];
  logger: Logger;
}

export interface ForwardProxy {
  /** `127.0.0.1:port` */
  readonly address: string;
  /** Why this `host` or `host:port` was not reached when it was last asked for; undefined when it was. */
  failureOf(host: string): string | undefined;
  close(): Promise<void>;
}

export async function startForwardProxy(options: ForwardProxyOptions): Promise<ForwardProxy> {
  const proxy = new BrowserProxy(options);
  await proxy.listen();
  return proxy;
}

class BrowserProxy implements ForwardProxy {
  readonly #options: ForwardProxyOptions;
  readonly #server: Server;
  readonly #sockets = new Set<Duplex>();
  readonly #failures = new Map<string, string>();
  #closed = false;

  constructor(options: ForwardProxyOptions) {
    this.#options = options;
    this.#server = createServer((request, response) => {
      this.#forward(request, response).catch((error: unknown) => {
        if (response.headersSent) response.destroy();
        else response.writeHead(statusOf(error), { 'content-length': 0 }).end();
      });
    });
    this.#server.on('connect', (request: IncomingMessage, client: Duplex, head: Buffer) => {
      this.#keep(client);
      this.#tunnel(request.url ?? '', client, head).catch((error: unknown) => {
        client.end(`HTTP/1.1 ${statusOf(error)} Not reached\r\n\r\n`);
      });
    });
  }

  async listen(): Promise<void> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
  }

  get address(): string {
    const address = this.#server.address();
    if (address === null || typeof address === 'string') throw new Error('the proxy is closed');
    return `127.0.0.1:${address.port}`;
  }

  failureOf(host: string): string | undefined {
    return this.#failures.get(plainHost(host.replace(/:\d+$/, '')));
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    // Also one that is still being made, which is waited for.
    for (const socket of this.#sockets) socket.destroy(new Error('the proxy is closed'));
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }

  /** @throws GuardError */
  async #resolve(target: URL, port: string): Promise<string> {
    const name = plainHost(target.hostname);
    const { policy, trusted = [] } = this.#options;
    try {
      // A trusted name is connected to as it is: it is the configuration's.
      const address = trusted.includes(`${target.hostname}:${port}`) ? name : await policy.resolve(name);
      this.#failures.delete(name);
      return address;
    } catch (error) {
      this.#failed(name, error);
      throw error;
    }
  }

  #failed(name: string, error: unknown): void {
    const reason = error instanceof Error ? error.message : String(error);
    this.#options.logger.debug({ host: name, reason }, 'a page did not reach a host');
    if (this.#failures.size >= REMEMBERED) this.#failures.clear();
    this.#failures.set(name, reason);
  }

  async #tunnel(authority: string, client: Duplex, head: Buffer): Promise<void> {
    const target = URL.parse(`http://${authority}`);
    if (!target || !/:\d+$/.test(authority)) throw new GuardError('CONNECT wants host:port');
    const port = /:(\d+)$/.exec(authority)?.[1] ?? '';
    const socket = await this.#connected(await this.#resolve(target, port), Number(port), target.hostname);
    if (client.destroyed) return void socket.destroy();
    client.write('HTTP/1.1 200 Connected\r\n\r\n');
    if (head.length > 0) socket.write(head);
    socket.setNoDelay(true);
    await Promise.all([pipeline(client, socket), pipeline(socket, client)]).catch(() => undefined);
    client.destroy();
    socket.destroy();
  }

  async #connected(host: string, port: number, shown: string): Promise<Socket> {
    if (this.#closed) throw new GuardError('the proxy is closed', { retry: true });
    const socket = connect({ host, port });
    this.#keep(socket);
    const timer = setTimeout(() => socket.destroy(new Error('no connection within 10 s')), CONNECT_MS);
    try {
      await once(socket, 'connect');
      return socket;
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause);
      const error = new GuardError(`${shown} cannot be reached: ${why}`, { retry: true, cause });
      this.#failed(plainHost(shown), error);
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  /** Plain HTTP, asked for by its whole address. */
  async #forward(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const target = URL.parse(request.url ?? '');
    if (target?.protocol !== 'http:') throw new GuardError('only http:// is asked for this way');
    const port = target.port || '80';
    const host = await this.#resolve(target, port);
    // One for each request: of a kept one nobody knows whether its server has just let go of it.
    const socket = await this.#connected(host, Number(port), target.hostname);
    if (response.closed) return void socket.destroy();
    const headers = Object.fromEntries(
      Object.entries(request.headers).filter(([name]) => !HOP_HEADERS.has(name)),
    );
    const asking = httpRequest({
      ...{ host, port, path: target.pathname + target.search, method: request.method },
      ...{ headers: { ...headers, host: target.host }, createConnection: () => socket },
    });
    response.once('close', () => asking.destroy());
    request.pipe(asking);
    let answer: IncomingMessage;
    try {
      [answer] = (await once(asking, 'response')) as [IncomingMessage];
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause);
      const error = new GuardError(`${target.hostname} cannot be read: ${why}`, { retry: true, cause });
      if (!response.destroyed) this.#failed(plainHost(target.hostname), error);
      throw error;
    } finally {
      asking.on('error', () => undefined);
    }
    const given = Object.entries(answer.headers).filter(([name]) => !HOP_HEADERS.has(name));
    response.writeHead(answer.statusCode ?? 502, Object.fromEntries(given));
    await pipeline(answer, response).catch(() => response.destroy());
  }

  #keep(socket: Duplex): void {
    this.#sockets.add(socket);
    socket.on('error', () => undefined);
    socket.once('close', () => this.#sockets.delete(socket));
  }
}

/** What may not be reached, and what could not be. */
function statusOf(error: unknown): 403 | 502 {
  return error instanceof GuardError && !error.retry ? 403 : 502;
}
