/**
 * A path from publishers to the SFU that loses packets: an HTTP proxy in front of WHIP, whose answers lead to a UDP
 * relay, which drops some of what is media (STUN and DTLS pass). To ICE the relay is a NAT.
 */
import { createSocket } from 'node:dgram';
import type { Socket } from 'node:dgram';
import { createServer } from 'node:http';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';

export class LossyPath {
  /** What to publish to instead of the server's `/whip`. */
  readonly whipUrl: string;
  readonly #http: Server;
  readonly #relays: Socket[];
  readonly #counts: { seen: number; dropped: number };

  private constructor(http: Server, relays: Socket[], counts: { seen: number; dropped: number }) {
    this.#http = http;
    this.#relays = relays;
    this.#counts = counts;
    this.whipUrl = `http://127.0.0.1:${(http.address() as AddressInfo).port}/whip`;
  }

  /** @param loss share of the publishers' RTP and RTCP packets that is lost, 0–1 */
  static async start(serverUrl: string, loss: number): Promise<LossyPath> {
    const relays: Socket[] = [];
    const counts = { seen: 0, dropped: 0 };
    const random = seeded(20_260);
    const drop = () => {
      counts.seen++;
      if (random() >= loss) return false;
      counts.dropped++;
      return true;
    };
    const http = createServer((request, response) => {
      const parts: Buffer[] = [];
      request.on('data', (part: Buffer) => parts.push(part));
      request.on('end', () => {
        void (async () => {
          const { authorization = '', 'content-type': type = '' } = request.headers;
          const { method = 'GET', url = '/' } = request;
          const answer = await fetch(`${serverUrl}${url}`, {
            method,
            headers: { authorization, ...(type && { 'content-type': type }) },
            ...(method === 'POST' && { body: Buffer.concat(parts) }),
          });
          let body = await answer.text();
          const port = /^a=candidate:\S+ 1 udp \d+ \S+ (\d+) typ host/im.exec(body)?.[1];
          if (port !== undefined) {
            const relay = await startRelay(Number(port), drop, relays);
            body = body
              .replaceAll(/^a=candidate:.* tcp .*\r\n/gim, '')
              .replaceAll(/^(a=candidate:\S+ \d udp \d+ \S+ )\d+/gim, `$1${relay}`);
          }
          const location = answer.headers.get('location');
          response
            .writeHead(answer.status, {
              'content-type': answer.headers.get('content-type') ?? 'text/plain',
              ...(location !== null && { location: new URL(location, serverUrl).pathname }),
            })
            .end(body);
        })().catch((error: unknown) => response.writeHead(502).end(String(error)));
      });
    });
    await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
    return new LossyPath(http, relays, counts);
  }

  /** Share of the media packets that was dropped. */
  get lost(): number {
    return this.#counts.dropped / Math.max(1, this.#counts.seen);
  }

  async close(): Promise<void> {
    for (const relay of this.#relays) relay.close();
    this.#http.closeAllConnections();
    await new Promise((resolve) => this.#http.close(resolve));
  }
}

/** One publisher's relay. @returns the port the publisher sends to */
async function startRelay(serverPort: number, drop: () => boolean, relays: Socket[]): Promise<number> {
  const [front, back] = [createSocket('udp4'), createSocket('udp4')];
  relays.push(front, back);
  let publisher: { address: string; port: number } | undefined;
  front.on('message', (data, from) => {
    publisher = from;
    // RFC 7983: 128–191 is RTP and RTCP.
    const first = data[0] ?? 0;
    if (first >= 128 && first <= 191 && drop()) return;
    back.send(data, serverPort, '127.0.0.1');
  });
  back.on('message', (data) => {
    if (publisher) front.send(data, publisher.port, publisher.address);
  });
  // Publishers may send from any address of the machine.
  await new Promise<void>((resolve) => front.bind(0, '0.0.0.0', resolve));
  await new Promise<void>((resolve) => back.bind(0, '127.0.0.1', resolve));
  return front.address().port;
}

/** The same losses every time (Park–Miller). */
function seeded(seed: number): () => number {
  let state = seed;
  return () => (state = (state * 48_271) % 2_147_483_647) / 2_147_483_647;
}
