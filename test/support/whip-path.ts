/**
 * A bad network from publishers to the SFU: an HTTP proxy in front of WHIP, whose answers lead to a UDP relay. Media
 * and RTCP suffer, both ways; STUN and DTLS pass. To ICE the relay is a NAT.
 */
import { createSocket } from 'node:dgram';
import type { Socket } from 'node:dgram';
import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Network } from './network.ts';
import type { NetworkFaults } from './network.ts';

const LOOPBACK = '127.0.0.1';

export class WhipPath {
  /** What every publisher's packets go through. */
  readonly network: Network;
  readonly #serverUrl: string;
  readonly #http: Server;
  readonly #relays: Socket[] = [];

  private constructor(serverUrl: string, network: Network) {
    this.#serverUrl = serverUrl;
    this.network = network;
    this.#http = createServer((request, response) => {
      this.#forward(request, response).catch((error: unknown) => response.writeHead(502).end(String(error)));
    });
  }

  /** @param serverUrl the server's base URL, whose `/whip` this stands in front of */
  static async start(serverUrl: string, faults: NetworkFaults, seed?: number): Promise<WhipPath> {
    const path = new WhipPath(serverUrl, new Network(faults, seed));
    await new Promise<void>((resolve) => path.#http.listen(0, LOOPBACK, resolve));
    return path;
  }

  /** What to publish to instead of the server's `/whip`. */
  get whipUrl(): string {
    return `http://${LOOPBACK}:${(this.#http.address() as AddressInfo).port}/whip`;
  }

  async close(): Promise<void> {
    this.network.close();
    for (const relay of this.#relays) relay.close();
    this.#http.closeAllConnections();
    await new Promise((resolve) => this.#http.close(resolve));
  }

  async #forward(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const parts: Buffer[] = [];
    for await (const part of request) parts.push(part as Buffer);
    const { authorization = '', 'content-type': type = '' } = request.headers;
    const { method = 'GET', url = '/' } = request;
    const answer = await fetch(`${this.#serverUrl}${url}`, {
      method,
      headers: { authorization, ...(type && { 'content-type': type }) },
      ...(method === 'POST' && { body: Buffer.concat(parts) }),
    });
    let body = await answer.text();
    const port = /^a=candidate:\S+ 1 udp \d+ \S+ (\d+) typ host/im.exec(body)?.[1];
    if (port !== undefined) {
      const relay = await this.#relay(Number(port));
      body = body
        .replaceAll(/^a=candidate:.* tcp .*\r\n/gim, '')
        .replaceAll(/^(a=candidate:\S+ \d udp \d+ \S+ )\d+/gim, `$1${relay}`);
    }
    const location = answer.headers.get('location');
    response
      .writeHead(answer.status, {
        'content-type': answer.headers.get('content-type') ?? 'text/plain',
        ...(location !== null && { location: new URL(location, this.#serverUrl).pathname }),
      })
      .end(body);
  }

  /** One publisher's relay. @returns the port the publisher sends to */
  async #relay(serverPort: number): Promise<number> {
    const [front, back] = [createSocket('udp4'), createSocket('udp4')];
    this.#relays.push(front, back);
    let publisher: { address: string; port: number } | undefined;
    const pass = (data: Buffer, deliver: () => void): void => {
      // RFC 7983: 128–191 is RTP and RTCP.
      const first = data[0] ?? 0;
      if (first >= 128 && first <= 191) this.network.pass(deliver);
      else deliver();
    };
    front.on('message', (data, from) => {
      publisher = from;
      pass(data, () => back.send(data, serverPort, LOOPBACK, () => undefined));
    });
    back.on('message', (data) => {
      const to = publisher;
      if (to) pass(data, () => front.send(data, to.port, to.address, () => undefined));
    });
    // Publishers may send from any address of the machine.
    await new Promise<void>((resolve) => front.bind(0, '0.0.0.0', resolve));
    await new Promise<void>((resolve) => back.bind(0, LOOPBACK, resolve));
    return front.address().port;
  }
}
