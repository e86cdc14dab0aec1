/** A forward proxy as companies have one: it asks for a user and a password, and remembers what went through it. */
import { once } from 'node:events';
import { createServer, request as httpRequest } from 'node:http';
import type { IncomingHttpHeaders } from 'node:http';
import { connect } from 'node:net';
import type { AddressInfo } from 'node:net';

export interface HttpProxy {
  readonly url: string;
  /** `PUT http://host/path` of what it forwarded, `CONNECT host:port` of what it only connected. */
  readonly asked: { what: string; headers: IncomingHttpHeaders }[];
  close(): Promise<void>;
}

export async function startHttpProxy(username: string, password: string): Promise<HttpProxy> {
  const asked: HttpProxy['asked'] = [];
  const expected = `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
  const server = createServer((request, response) => {
    const { 'proxy-authorization': authorization, 'proxy-connection': _, ...headers } = request.headers;
    if (authorization !== expected) {
      response.writeHead(407, { 'proxy-authenticate': 'Basic realm="proxy"' }).end();
      return;
    }
    asked.push({ what: `${request.method} ${request.url}`, headers });
    const onward = httpRequest(request.url ?? '', { method: request.method, headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(response);
    });
    onward.on('error', () => response.destroy());
    request.pipe(onward);
  });
  server.on('connect', (request, socket) => {
    if (request.headers['proxy-authorization'] !== expected) {
      socket.end('HTTP/1.1 407 Proxy Authentication Required\r\n\r\n');
      return;
    }
    asked.push({ what: `CONNECT ${request.url}`, headers: request.headers });
    const { hostname, port } = new URL(`tcp://${request.url}`);
    const onward = connect(Number(port), hostname, () => {
      socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
      onward.pipe(socket);
      socket.pipe(onward);
    });
    onward.on('error', () => socket.destroy());
    socket.on('error', () => onward.destroy());
    socket.on('close', () => onward.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    close: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}
