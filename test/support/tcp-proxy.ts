/** A TCP proxy in front of a server, for faults between it and its clients: cut, silent, slow. */
import { connect, createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';

export class TcpProxy {
  /** `http://127.0.0.1:port` */
  readonly url: string;
  /** Bytes clients have sent through. */
  bytesUp = 0;
  readonly #target: { host: string; port: number };
  readonly #port: number;
  readonly #sockets = new Set<Socket>();
  #server: Server | undefined;
  #silent = false;
  #bytesPerSecond = Infinity;

  private constructor(server: Server, target: { host: string; port: number }) {
    this.#server = server;
    this.#target = target;
    this.#port = (server.address() as AddressInfo).port;
    this.url = `http://127.0.0.1:${this.#port}`;
    server.on('connection', (socket) => this.#forward(socket));
  }

  /** @param target URL of the server */
  static async start(target: string): Promise<TcpProxy> {
    const { hostname, port } = new URL(target);
    return new TcpProxy(await listen(0), { host: hostname, port: Number(port) });
  }

  /** Breaks every connection and refuses new ones. */
  async cut(): Promise<void> {
    const server = this.#server;
    if (!server) return;
    this.#server = undefined;
    const closed = new Promise((resolve) => server.close(resolve));
    this.#breakAll();
    await closed;
  }

  /** Takes connections, and lets nothing through. */
  silence(): void {
    this.#silent = true;
    this.#breakAll();
  }

  /** What clients send goes on at this pace, of all connections together. */
  slow(bytesPerSecond: number): void {
    this.#bytesPerSecond = bytesPerSecond;
  }

  /** Everything works again. */
  async restore(): Promise<void> {
    this.#silent = false;
    this.#bytesPerSecond = Infinity;
    if (this.#server) return;
    this.#server = await listen(this.#port);
    this.#server.on('connection', (socket) => this.#forward(socket));
  }

  async stop(): Promise<void> {
    await this.cut();
  }

  #breakAll(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.#sockets.clear();
  }

  #forward(client: Socket): void {
    const server = this.#silent ? undefined : connect(this.#target);
    for (const socket of server ? [client, server] : [client]) {
      this.#sockets.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => {
        this.#sockets.delete(socket);
        client.destroy();
        server?.destroy();
      });
    }
    if (!server) return;
    server.pipe(client);
    client.on('data', (data: Buffer) => {
      this.bytesUp += data.length;
      server.write(data);
      if (this.#bytesPerSecond === Infinity) return;
      client.pause();
      setTimeout(() => client.resume(), (data.length / this.#bytesPerSecond) * 1000 * this.#clients());
    });
    client.on('end', () => server.end());
  }

  #clients(): number {
    return Math.max(1, this.#sockets.size / 2);
  }
}

async function listen(port: number): Promise<Server> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', resolve);
  });
  return server;
}
