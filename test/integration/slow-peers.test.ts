/** Peers that are slow, many or loud on purpose, at every listener: each is bounded, and others go on. */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { FastifyInstance } from 'fastify';
import { afterAll, beforeAll, describe, it } from 'vitest';
import { WebSocket } from 'ws';
import { buildHttp } from '../../src/api/server.ts';
import { RoomService } from '../../src/api/room-service.ts';
import { TokenVerifier } from '../../src/auth/verify.ts';
import { BridgeCloseCode } from '../../src/bridge/protocol.ts';
import { createRtmpServer } from '../../src/ingress/inputs/rtmp/index.ts';
import type { RtmpServer } from '../../src/ingress/inputs/rtmp/index.ts';
import { SrtGate } from '../../src/ingress/inputs/url/srt-gate.ts';
import { TcpGate } from '../../src/sfu/tcp-gate.ts';
import { PendingSessions } from '../../src/signaling/pending.ts';
import { API_KEY, API_SECRET, token } from '../support/api.ts';
import { startBridge } from '../support/bridge.ts';
import type { TestBridge } from '../support/bridge.ts';
import { offerOf } from '../support/offers.ts';
import { freePort } from '../support/ports.ts';
import { silentLogger } from '../support/sfu.ts';
import { startSignaling } from '../support/signaling-server.ts';
import { framedBindingRequest } from '../support/stun.ts';

/** For a busy machine. */
const POLL = { timeout: 10_000 };

const sockets = new Set<Socket>();
let bridge: TestBridge;
beforeAll(async () => {
  bridge = await startBridge();
});
afterAll(async () => {
  for (const socket of sockets) socket.destroy();
  await bridge.close();
});

/** A connection that says `first`, and then `drip` every 100 ms; ms until it was closed, and what it was told. */
async function slow(port: number, first: string, drip = ''): Promise<{ ms: number; told: string }> {
  const began = performance.now();
  const socket = connect(port, '127.0.0.1');
  sockets.add(socket);
  socket.on('error', () => undefined);
  let told = '';
  socket.on('data', (data: Buffer) => (told += data.toString('latin1')));
  socket.write(first, 'latin1');
  const dripping = setInterval(() => socket.write(drip, 'latin1'), 100);
  // Being reset is an end like others.
  await new Promise((resolve) => socket.once('close', resolve));
  clearInterval(dripping);
  sockets.delete(socket);
  return { ms: performance.now() - began, told };
}

describe.concurrent('HTTP', () => {
  const TIMEOUTS = { headers: 1000, request: 2000, idle: 1500, check: 100 };
  const apps: FastifyInstance[] = [];
  const serve = async (limits = {}, timeouts = TIMEOUTS): Promise<number> => {
    const app = buildHttp({
      ...{ logger: silentLogger, verifier: new TokenVerifier({ [API_KEY]: API_SECRET }), timeouts },
      services: [new RoomService(bridge.sfu)],
      health: async () => ({ ok: true }),
      limits: {
        ...{ maxConnections: 100, maxConnectionsPerAddress: 100, maxRequestsPerSecond: 0 },
        ...limits,
      },
    });
    apps.push(app);
    await app.listen({ host: '127.0.0.1', port: 0 });
    return (app.server.address() as AddressInfo).port;
  };
  afterAll(async () => {
    for (const app of apps) await app.close();
  });

  it('ends who says nothing, drips headers, drips a body, or reads nothing, while others are served', async ({
    expect,
  }) => {
    const port = await serve();
    const call = 'POST /twirp/livekit.RoomService/ListRooms HTTP/1.1\r\nHost: x\r\n';
    const auth = `Authorization: Bearer ${await token({ roomList: true })}\r\nContent-Type: application/json\r\n`;
    const ends = Promise.all([
      slow(port, ''),
      slow(port, call, 'X-Drip: 1\r\n'),
      slow(port, `${call}${auth}Content-Length: 1000\r\n\r\n`, ' '),
      slow(port, `${call}${auth}Transfer-Encoding: chunked\r\n\r\n`, '1\r\n \r\n'),
    ]);
    let served = 0;
    const over = ends.then(() => true);
    while (!(await Promise.race([over, sleep(50, false)]))) {
      const { status } = await fetch(`http://127.0.0.1:${port}/healthz`);
      expect(status).toBe(200);
      served++;
    }
    expect(served).toBeGreaterThan(3);
    for (const { ms } of await ends) expect(ms).toBeLessThan(10_000);
    const [silent, headers, body] = await ends;
    for (const { ms } of [silent, headers]) expect(ms).toBeLessThan(6000);
    expect(headers.told).toMatch(/^HTTP\/1.1 408/);
    expect(body.told).toMatch(/^HTTP\/1.1 408/);
  });

  it('takes only so many connections from one address', async ({ expect }) => {
    const port = await serve(
      { maxConnectionsPerAddress: 3 },
      { headers: 60_000, request: 60_000, idle: 60_000, check: 100 },
    );
    const held = await Promise.all(
      [1, 2, 3].map(async () => {
        const socket = connect(port, '127.0.0.1');
        sockets.add(socket);
        socket.on('error', () => undefined);
        await once(socket, 'connect');
        return socket;
      }),
    );
    const more = await slow(port, 'GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n');
    expect(more).toMatchObject({ told: '' });
    expect(more.ms).toBeLessThan(5000);
    held[0]?.destroy();
    await expect
      .poll(
        async () => (await slow(port, 'GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')).told,
        POLL,
      )
      .toMatch(/^HTTP\/1.1 200/);
  });

  it('answers 429 to who asks too often, in the words of Twirp, and serves again a moment later', async ({
    expect,
  }) => {
    const port = await serve({ maxRequestsPerSecond: 1 });
    const call = async () =>
      fetch(`http://127.0.0.1:${port}/twirp/livekit.RoomService/ListRooms`, {
        method: 'POST',
        headers: {
          authorization: `Bearer ${await token({ roomList: true })}`,
          'content-type': 'application/json',
        },
        body: '{}',
      });
    const answers = await Promise.all(Array.from({ length: 40 }, call));
    const refused = answers.filter(({ status }) => status === 429);
    expect(answers.filter(({ status }) => status === 200).length).toBeGreaterThanOrEqual(5);
    expect(refused.length).toBeGreaterThan(0);
    expect(await refused[0]?.json()).toMatchObject({ code: 'resource_exhausted' });
    expect(refused[0]?.headers.get('content-type')).toBe('application/json');
    await sleep(1000 * Number(refused[0]?.headers.get('retry-after')));
    await expect.poll(async () => (await call()).status, POLL).toBe(200);
  });
});

describe.concurrent('the bridge', () => {
  const closing = async (socket: WebSocket): Promise<{ code: number; ms: number }> => {
    const began = performance.now();
    socket.on('error', () => undefined);
    const [code] = (await once(socket, 'close')) as [number];
    return { code, ms: performance.now() - began };
  };

  it('ends who never joins, and who says too much', async ({ expect }) => {
    await bridge.sfu.createRoom({ name: 'loud' });
    const open = async (identity: string) =>
      new WebSocket(`${bridge.url}?access_token=${await bridge.token(identity, 'loud')}`);
    const silent = closing(await open('EG_silent'));

    const loud = await open('EG_loud');
    const end = closing(loud);
    await once(loud, 'open');
    loud.send(JSON.stringify({ id: 0, method: 'join', params: { version: 1, attempt: 1 } }));
    for (let id = 1; id <= 4000; id++) loud.send(JSON.stringify({ id, method: 'none', params: {} }));
    await expect(end).resolves.toMatchObject({ code: BridgeCloseCode.protocolError });

    const { code, ms } = await silent;
    expect(code).toBe(BridgeCloseCode.refused);
    expect(ms).toBeLessThan(10_000);
  });
});

describe.concurrent('RTMP', () => {
  let server: RtmpServer;
  beforeAll(async () => {
    server = await createRtmpServer({
      ...{ host: '127.0.0.1', port: 0, logger: silentLogger },
      authorise: async () => ({ refuse: 'nobody' }),
      limits: { handshakeMs: 1000, publishMs: 1500, idleMs: 800 },
    });
  });
  afterAll(() => server.close());

  it('ends who drips its handshake, stops in it, or publishes nothing afterwards', async ({ expect }) => {
    const hello = `\x03${'\0'.repeat(1536)}`;
    const ends = await Promise.all([
      slow(server.port, ''),
      slow(server.port, '\x03', '\0'),
      slow(server.port, hello),
      // A whole handshake, and then acknowledgements for ever.
      slow(server.port, hello + '\0'.repeat(1536), '\x02\0\0\0\0\0\x04\x03\0\0\0\0\0\0\0\0'),
    ]);
    for (const { ms } of ends) expect(ms).toBeLessThan(6000);
    await expect.poll(() => server.connections, POLL).toBe(0);
  });
});

describe.concurrent('the SRT gate', () => {
  it('lets only so many callers wait halfway, and forgets them', async ({ expect }) => {
    const listener = createSocket('udp4');
    listener.bind(0, '127.0.0.1');
    await once(listener, 'listening');
    const seen = new Set<number>();
    listener.on('message', (_packet, { port }) => seen.add(port));
    const port = await freePort();
    const gate = await SrtGate.open({
      ...{ host: '127.0.0.1', port, target: listener.address().port, streamId: 'right' },
      logger: silentLogger,
    });
    // An induction request: handshake version 4, type 2 (draft-sharabayko-srt, 3.2.1).
    const induction = Buffer.alloc(64);
    induction.writeUInt16BE(0x8000, 0);
    induction.writeUInt32BE(4, 16);
    induction.writeUInt16BE(2, 22);
    induction.writeUInt32BE(1, 36);
    const callers = Array.from({ length: 40 }, () => createSocket('udp4'));
    const callAll = async () => {
      for (const caller of callers) caller.send(induction, port, '127.0.0.1');
      await sleep(300);
    };
    try {
      await callAll();
      await callAll();
      expect(seen.size).toBe(16);
      await sleep(5200);
      await callAll();
      // The system may give a port a second time.
      expect(seen.size).toBeGreaterThan(24);
      expect(seen.size).toBeLessThanOrEqual(32);
    } finally {
      for (const caller of callers) caller.close();
      gate.close();
      listener.close();
    }
  });
});

describe.concurrent('WHIP and WHEP', () => {
  it('let only so many sessions wait for their media connection, for so long', async ({ expect }) => {
    const pending = new PendingSessions(2);
    const server = await startSignaling({ pending, timing: { connectTimeoutMs: 1500 } });
    try {
      const begin = async (identity: string, path: string) => {
        const response = await fetch(`${server.url}${path}`, {
          method: 'POST',
          headers: {
            authorization: `Bearer ${await server.token('room', identity)}`,
            'content-type': 'application/sdp',
          },
          body: offerOf(path === '/whip' ? 'chromium-156-send' : 'chromium-156-watch'),
        });
        return { status: response.status, retry: response.headers.get('retry-after') };
      };
      expect((await begin('a', '/whip')).status).toBe(201);
      expect((await begin('b', '/whep')).status).toBe(201);
      for (const path of ['/whip', '/whep']) {
        const { status, retry } = await begin('c', path);
        expect(status).toBe(503);
        expect(Number(retry)).toBeGreaterThan(0);
      }
      await expect.poll(() => pending.count, POLL).toBe(0);
      expect((await begin('c', '/whip')).status).toBe(201);
    } finally {
      await server.close();
    }
  });
});

describe.concurrent('ICE over TCP', () => {
  it('goes on for whoever has a session, and ends for everybody else', async ({ expect }) => {
    const server = await startSignaling();
    try {
      const response = await fetch(`${server.url}/whip`, {
        method: 'POST',
        headers: {
          authorization: `Bearer ${await server.token('room', 'tcp')}`,
          'content-type': 'application/sdp',
        },
        body: offerOf('chromium-156-send'),
      });
      const answer = await response.text();
      const found = (pattern: RegExp) => pattern.exec(answer)?.[1] ?? '';
      const port = Number(found(/ tcp \d+ 127\.0\.0\.1 (\d+) typ host tcptype passive/));
      const [ufrag, password] = [found(/ice-ufrag:(\S+)/), found(/ice-pwd:(\S+)/)];
      const offered = /ice-ufrag:(\S+)/.exec(offerOf('chromium-156-send'))?.[1] ?? '';
      const request = framedBindingRequest(`${ufrag}:${offered}`, password);

      const mine = connect(port, '127.0.0.1');
      sockets.add(mine);
      // In two pieces, as TCP may bring it.
      mine.write(request.subarray(0, 30));
      await sleep(50);
      mine.write(request.subarray(30));
      const [reply] = (await once(mine, 'data')) as [Buffer];
      expect(reply.readUInt16BE(2), 'a binding success response').toBe(0x0101);

      const stranger = framedBindingRequest(`nobody:${offered}`, 'not-the-password');
      const ends = await Promise.all([
        slow(port, ''),
        slow(port, '\0', ''),
        slow(port, 'GET / HTTP/1.1\r\n\r\n'),
        slow(port, stranger.toString('latin1')),
        slow(port, stranger.toString('latin1'), stranger.toString('latin1')),
      ]);
      for (const { ms, told } of ends) {
        expect(ms).toBeLessThan(12_000);
        expect(told).toBe('');
      }
      mine.write(request);
      const [again] = (await once(mine, 'data')) as [Buffer];
      expect(again.readUInt16BE(2)).toBe(0x0101);
    } finally {
      await server.close();
    }
  });

  it('takes only so many connections from one address, and ends who falls silent', async ({ expect }) => {
    const echo = createServer((socket) => {
      socket.on('error', () => undefined);
      socket.pipe(socket);
    });
    echo.listen(0, '127.0.0.1');
    await once(echo, 'listening');
    const gate = await TcpGate.open({
      ...{ host: '127.0.0.1', port: 0, logger: silentLogger },
      limits: { maxConnections: 10, maxConnectionsPerAddress: 2 },
      timing: { idleMs: 2000 },
    });
    gate.target = (echo.address() as AddressInfo).port;
    try {
      const request = framedBindingRequest('a:b', 'password').toString('latin1');
      const held = [slow(gate.port, request), slow(gate.port, request)];
      await expect.poll(() => gate.connections, { timeout: 1500, interval: 10 }).toBe(2);
      expect(await slow(gate.port, request)).toMatchObject({ told: '' });
      for (const { ms, told } of await Promise.all(held)) {
        expect(ms).toBeLessThan(6000);
        expect(told).toBe(request);
      }
      await expect.poll(() => gate.connections, POLL).toBe(0);
    } finally {
      await gate.close();
      echo.close();
    }
  });
});
