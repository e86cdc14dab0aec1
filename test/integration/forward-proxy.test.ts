/** The way out of a page's browser: what it may reach it reaches, everything else is refused before a packet is sent. */
import { once } from 'node:events';
import { createServer, request } from 'node:http';
import type { IncomingMessage } from 'node:http';
import { connect, createServer as createTcpServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createAddressPolicy, startForwardProxy } from '../../src/outbound/index.ts';
import type { ForwardProxy } from '../../src/outbound/index.ts';
import { silentLogger } from '../support/sfu.ts';

const portOf = (server: Server): number => (server.address() as AddressInfo).port;

async function listening<S extends Server>(server: S): Promise<S> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

describe('the proxy of a page', () => {
  let web: Server;
  let echo: Server;
  let open: ForwardProxy;
  let closed: ForwardProxy;
  let connections = 0;

  beforeAll(async () => {
    web = await listening(
      createServer((asked, response) => {
        void text(asked).then((body) => {
          response.setHeader('x-headers', JSON.stringify(asked.headers));
          response.end(`${asked.method} ${asked.url} ${body}`);
        });
      }),
    );
    echo = await listening(
      createTcpServer((socket) => {
        connections++;
        socket.on('error', () => undefined).pipe(socket);
      }),
    );
    const proxy = (allowNetworks: string[], trusted: string[] = []) =>
      startForwardProxy({
        policy: createAddressPolicy({
          ...{ allowNetworks, setting: 'outbound.allow_networks', logger: silentLogger },
        }),
        ...{ trusted, logger: silentLogger },
      });
    open = await proxy(['127.0.0.0/8']);
    closed = await proxy([], [`127.0.0.1:${portOf(echo)}`]);
  });

  afterAll(async () => {
    await Promise.all([open.close(), closed.close()]);
    for (const server of [web, echo]) server.close();
  });

  async function ask(proxy: ForwardProxy, url: string, body?: string): Promise<[IncomingMessage, string]> {
    const [host, port] = proxy.address.split(':');
    const asking = request({
      ...{ host, port, path: url, agent: false, method: body === undefined ? 'GET' : 'POST' },
      headers: { host: new URL(url).host, 'proxy-connection': 'keep-alive', cookie: 'a=b' },
    });
    asking.end(body);
    const [answer] = (await once(asking, 'response')) as [IncomingMessage];
    return [answer, await text(answer)];
  }

  /** The status line of CONNECT, and what came back of `said`. */
  async function tunnel(proxy: ForwardProxy, target: string, said = 'ping'): Promise<[string, string]> {
    const [host = '', port] = proxy.address.split(':');
    const socket: Socket = connect(Number(port), host);
    socket.setEncoding('latin1').on('error', () => undefined);
    let heard = '';
    socket.on('data', (data: string) => {
      heard += data;
      if (heard.endsWith('\r\n\r\n')) socket.write(said);
      if (heard.endsWith(said)) socket.end();
    });
    socket.write(`CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\n\r\n`);
    await once(socket, 'close');
    const [status = '', , back = ''] = heard.split('\r\n');
    return [status, back];
  }

  it('passes plain HTTP on, without the headers that are between browser and proxy', async () => {
    const url = `http://127.0.0.1:${portOf(web)}/a?b=c`;
    const [answer, body] = await ask(open, url, 'text');
    expect([answer.statusCode, body]).toEqual([200, 'POST /a?b=c text']);
    const headers = JSON.parse(String(answer.headers['x-headers'])) as Record<string, string>;
    expect(headers).toMatchObject({ cookie: 'a=b', host: new URL(url).host });
    expect(headers).not.toHaveProperty('proxy-connection');
  });

  it('asks a server anew that has let go of its last connection, and says why one is not reached', async () => {
    const moody = await listening(
      createTcpServer((socket) => {
        let asked = 0;
        socket.on('error', () => undefined);
        socket.on('data', () => {
          if (++asked > 1) socket.resetAndDestroy();
          else socket.write('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok');
        });
      }),
    );
    const url = `http://127.0.0.1:${portOf(moody)}/`;
    for (let turn = 0; turn < 2; turn++) {
      const [answer, body] = await ask(open, url);
      expect([answer.statusCode, body]).toEqual([200, 'ok']);
    }
    moody.close();
    await once(moody, 'close');
    const [answer] = await ask(open, url);
    expect(answer.statusCode).toBe(502);
    expect(open.failureOf('127.0.0.1')).toMatch(/^127\.0\.0\.1 cannot be reached: .*ECONNREFUSED/);
  });

  it('lets go of who does not answer when it is closed', async () => {
    const silent = await listening(createTcpServer());
    const proxy = await startForwardProxy({
      policy: createAddressPolicy({ allowNetworks: ['127.0.0.0/8'], setting: '', logger: silentLogger }),
      logger: silentLogger,
    });
    const asking = ask(proxy, `http://127.0.0.1:${portOf(silent)}/`).catch((error: unknown) => error);
    const [socket] = (await once(silent, 'connection')) as [Socket];
    socket.on('error', () => undefined).resume();
    const gone = once(socket, 'close');
    await proxy.close();
    expect(await asking).toBeInstanceOf(Error);
    await gone;
    silent.close();
  });

  it('tunnels what is allowed, and what is trusted although it is not', async () => {
    const target = `127.0.0.1:${portOf(echo)}`;
    expect(await tunnel(open, target)).toEqual(['HTTP/1.1 200 Connected', 'ping']);
    expect(await tunnel(closed, target)).toEqual(['HTTP/1.1 200 Connected', 'ping']);
  });

  it.each(['127.0.0.1', 'localhost', '2130706433', '0x7f.1', '[::1]', '[::ffff:127.0.0.1]'])(
    'refuses %s, however it is written',
    async (host) => {
      const before = connections;
      const refused = /403/;
      expect((await tunnel(closed, `${host}:${portOf(web)}`))[0]).toMatch(refused);
      const [answer] = await ask(closed, `http://${host}:${portOf(web)}/`);
      expect(answer.statusCode).toBe(403);
      expect(connections).toBe(before);
    },
  );

  it('remembers why a host was not reached, until it is', async () => {
    const url = `http://127.0.0.1:${portOf(web)}/`;
    await ask(closed, url);
    expect(closed.failureOf(new URL(url).host)).toMatch(/127\.0\.0\.1 is in 127\.0\.0\.0\/8/);
    await tunnel(closed, `127.0.0.1:${portOf(echo)}`);
    expect(closed.failureOf('127.0.0.1')).toBeUndefined();
  });

  it.each(['/path', 'https://127.0.0.1/'])('does not answer for %s', async (path) => {
    const [host, port] = open.address.split(':');
    const asking = request({ host, port, path, agent: false });
    asking.end();
    const [answer] = (await once(asking, 'response')) as [IncomingMessage];
    answer.resume();
    expect(answer.statusCode).toBe(403);
  });
});
