/** A web server that answers as it is told, one that must never be reached, and one that must learn no password. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { Server, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface EvilAnswer {
  kind: 'body' | 'redirect' | 'cut' | 'silent' | 'reset' | 'garbage';
  status: number;
  /** Where a redirect leads. */
  location: string;
  body: Buffer;
}

export interface EvilWeb {
  /** Origins: the source's own, another that may be reached as well, and the forbidden one. */
  own: string;
  other: string;
  forbidden: string;
  /** What is answered next, by the order of requests; the last one again and again. */
  script: EvilAnswer[];
  /** Requests that reached the forbidden server, and credentials that reached the other one. */
  visits: number;
  leaked: number;
  close(): Promise<void>;
}

async function listen(server: Server, host: string): Promise<string> {
  server.listen(0, host);
  await once(server, 'listening');
  return `http://${host}:${(server.address() as AddressInfo).port}`;
}

function give(response: ServerResponse, answer: EvilAnswer): void {
  const { kind, status, location, body } = answer;
  switch (kind) {
    case 'body':
      response.writeHead(status, { 'content-type': 'application/vnd.apple.mpegurl' }).end(body);
      break;
    case 'redirect':
      // Not through writeHead, which refuses what an evil server would send.
      response.socket?.end(
        `HTTP/1.1 302 Found\r\nLocation: ${location.replaceAll(/[\r\n\0]/g, '')}\r\n\r\n`,
        'latin1',
      );
      break;
    case 'cut':
      response.writeHead(200, { 'content-length': body.length + 100 });
      response.write(body, () => response.destroy());
      break;
    case 'silent':
      break;
    case 'reset':
      response.socket?.resetAndDestroy();
      break;
    case 'garbage':
      response.socket?.end(body.subarray(0, 2000));
  }
}

export async function startEvilWeb(): Promise<EvilWeb> {
  const web: EvilWeb = {
    ...{ own: '', other: '', forbidden: '', script: [], visits: 0, leaked: 0 },
    async close() {
      for (const server of servers) {
        server.closeAllConnections();
        server.close();
      }
    },
  };
  const answer = (response: ServerResponse): void => {
    const next = web.script.length > 1 ? web.script.shift() : web.script[0];
    if (next) give(response, next);
    else response.writeHead(404).end();
  };
  const own = createServer((_request, response) => answer(response));
  const other = createServer((request, response) => {
    if (request.headers.authorization !== undefined) web.leaked += 1;
    answer(response);
  });
  const forbidden = createServer((_request, response) => {
    web.visits += 1;
    response.end('secret');
  });
  const servers = [own, other, forbidden];
  for (const server of servers) server.on('clientError', (_error, socket) => socket.destroy());
  [web.own, web.other] = [await listen(own, '127.0.0.1'), await listen(other, '127.0.0.1')];
  web.forbidden = await listen(forbidden, '127.0.0.2');
  return web;
}
