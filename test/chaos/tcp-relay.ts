/** A destination behind a wire that can be cut: a TCP relay in front of a server that itself is never touched. */
import { createConnection, createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';

const LOOPBACK = '127.0.0.1';

export class TcpRelay {
  readonly #server: Server;
  readonly #pairs = new Set<[Socket, Socket]>();
  #state: 'open' | 'cut' | 'stalled' = 'open';

  private constructor(server: Server) {
    this.#server = server;
  }

  /** @param port of the server behind, on this machine */
  static async start(port: number): Promise<TcpRelay> {
    const relay = new TcpRelay(createServer((near) => relay.#connect(near, port)));
    await new Promise<void>((resolve) => relay.#server.listen(0, LOOPBACK, resolve));
    return relay;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Connections break, and new ones are closed at once. */
  cut(): void {
    this.#state = 'cut';
    this.#breakAll();
  }

  /** Connections stay, and nothing is read from them. */
  stall(): void {
    this.#state = 'stalled';
    for (const [near] of this.#pairs) near.pause();
  }

  /** As if nothing had been. */
  restore(): void {
    this.#state = 'open';
    for (const [near] of this.#pairs) near.resume();
  }

  async close(): Promise<void> {
    this.#breakAll();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #breakAll(): void {
    for (const sockets of this.#pairs) for (const each of sockets) each.destroy();
  }

  #connect(near: Socket, port: number): void {
    if (this.#state === 'cut') {
      near.destroy();
      return;
    }
    const far = createConnection(port, LOOPBACK);
    const pair: [Socket, Socket] = [near, far];
    this.#pairs.add(pair);
    const end = () => {
      near.destroy();
      far.destroy();
      this.#pairs.delete(pair);
    };
    for (const each of pair) each.on('error', end).on('close', end);
    near.pipe(far);
    far.pipe(near);
    if (this.#state === 'stalled') near.pause();
  }
}
