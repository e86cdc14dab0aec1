import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { once } from 'node:events';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { FastifyInstance } from 'fastify';
import { pino } from 'pino';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import type { Health } from '../../src/api/health.ts';
import { Metrics } from '../../src/api/metrics.ts';
import { buildHttp } from '../../src/api/server.ts';
import type { HttpOptions } from '../../src/api/server.ts';
import { createAccessToken } from '../../src/auth/token.ts';
import { TokenVerifier } from '../../src/auth/verify.ts';

const KEY = 'devkey';
const SECRET = 'secret';
const open: FastifyInstance[] = [];
const lines: string[] = [];
const logger = pino({ level: 'debug' }, { write: (line: string) => void lines.push(line) });

async function serve(options: Partial<HttpOptions> = {}): Promise<string> {
  const app = buildHttp({
    logger,
    verifier: new TokenVerifier({ [KEY]: SECRET }),
    services: [],
    health: async () => ({ ok: true }),
    ...options,
  });
  open.push(app);
  return app.listen({ host: '127.0.0.1', port: 0 });
}

afterEach(async () => {
  for (const app of open.splice(0)) await app.close();
  lines.length = 0;
});

const token = (grants: Parameters<typeof createAccessToken>[0]['grants']) =>
  createAccessToken({ key: KEY, secret: SECRET, grants });

describe('/healthz', () => {
  it.each<[string, () => Promise<Health>, number, object]>([
    ['when jobs can be taken', async () => ({ ok: true }), 200, { status: 'ok' }],
    [
      'when not',
      async () => ({ ok: false, reason: 'Redis is away' }),
      503,
      { status: 'unavailable', reason: 'Redis is away' },
    ],
    [
      'when asking fails, without its words',
      () => Promise.reject(new Error('redis://user:sekret@host')),
      503,
      { status: 'unavailable', reason: 'the health check failed or did not answer in time' },
    ],
  ])('%s', async (_what, health, status, body) => {
    const response = await fetch(`${await serve({ health })}/healthz`);
    expect(response.status).toBe(status);
    expect(await response.json()).toEqual(body);
  });

  it('does not wait for ever', async () => {
    const before = performance.now();
    const response = await fetch(`${await serve({ health: () => new Promise(() => undefined) })}/healthz`);
    expect(response.status).toBe(503);
    expect(performance.now() - before).toBeLessThan(5000);
  });
});

describe('/metrics', () => {
  it('counts calls by outcome, and shows what it is given', async () => {
    const metrics = new Metrics();
    metrics.gauge('sluice_rooms', 'Rooms.', () => 3);
    metrics.gauge('sluice_tracks', 'Tracks.', () => [{ labels: { kind: 'a"b\\c\nd' }, value: 2 }]);
    metrics.gauge('sluice_broken', 'Never read.', () => {
      throw new Error('not now');
    });
    metrics.gauge('sluice_stored', 'Read from elsewhere.', async () => 7);
    metrics.gauge('sluice_silent', 'Never answered.', () => new Promise(() => undefined));
    const url = await serve({ metrics });
    await fetch(`${url}/twirp/livekit.Egress/ListEgress`, { method: 'POST' });
    const auth = {
      authorization: `Bearer ${await token({ roomRecord: true })}`,
      'content-type': 'application/json',
    };
    await fetch(`${url}/twirp/livekit.Egress/UpdateLayout`, { method: 'POST', headers: auth, body: '{}' });

    const response = await fetch(`${url}/metrics`);
    expect(response.headers.get('content-type')).toContain('text/plain; version=0.0.4');
    const text = await response.text();
    expect(text).toContain(
      'sluice_twirp_calls_total{service="unknown",method="unknown",code="bad_route"} 1\n',
    );
    expect(text).toContain(
      'sluice_twirp_calls_total{service="Egress",method="UpdateLayout",code="unimplemented"} 1\n',
    );
    expect(text).toContain('sluice_twirp_call_seconds_count{service="Egress",method="UpdateLayout"} 1\n');
    expect(text).toContain(
      'sluice_twirp_call_seconds_bucket{service="Egress",method="UpdateLayout",le="+Inf"} 1\n',
    );
    expect(text).toContain('# TYPE sluice_rooms gauge\nsluice_rooms 3\n');
    expect(text).toContain('sluice_tracks{kind="a\\"b\\\\c\\nd"} 2\n');
    expect(text).toContain('\nsluice_stored 7\n');
    expect(text).not.toMatch(/sluice_(broken|silent)/);
    expect(text).toMatch(/\nprocess_resident_memory_bytes \d+\n/);
  });

  it('a histogram is cumulative, and a name is taken once', async () => {
    const metrics = new Metrics();
    const note = metrics.histogram('h', 'H.');
    for (const seconds of [0.001, 0.03, 0.03, 99]) note({ a: 'b' }, seconds);
    const text = await metrics.text();
    expect(text).toContain('h_bucket{a="b",le="0.005"} 1\n');
    expect(text).toContain('h_bucket{a="b",le="0.05"} 3\n');
    expect(text).toContain('h_bucket{a="b",le="10"} 3\n');
    expect(text).toContain('h_bucket{a="b",le="+Inf"} 4\n');
    expect(text).toContain('h_count{a="b"} 4\n');
    expect(() => metrics.counter('h', 'again')).toThrow('exists already');
  });
});

/** A GET as it is: fetch() tidies paths up, and asks not to be answered from a cache. */
async function rawGet(url: string, target: string, headers = ''): Promise<string> {
  const socket = connect(Number(new URL(url).port), '127.0.0.1');
  socket.write(`GET ${target} HTTP/1.1\r\nHost: x\r\n${headers}Connection: close\r\n\r\n`);
  let answer = '';
  socket.on('data', (data) => (answer += data.toString()));
  await once(socket, 'close');
  return answer;
}

describe('/files', () => {
  let folder: string;
  let root: string;
  beforeAll(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'sluice-files-'));
    root = path.join(folder, 'root');
    await mkdir(path.join(root, 'show'), { recursive: true });
    await mkdir(path.join(root, '.hidden'));
    await mkdir(path.join(folder, 'root-sibling'));
    const files = {
      'root/show/live.m3u8': '#EXTM3U\n',
      'root/show/seg_00000.ts': 'G'.repeat(188),
      'root/a b.mp4': 'mp4',
      'root/page.html': '<script>alert(1)</script>',
      'root/.secret': 'sekret',
      'root/.hidden/x.mp4': 'sekret',
      'outside.mp4': 'sekret',
      'root-sibling/x.mp4': 'sekret',
    };
    for (const [name, text] of Object.entries(files)) await writeFile(path.join(folder, name), text);
    await symlink(path.join(folder, 'outside.mp4'), path.join(root, 'link.mp4'));
    await symlink(folder, path.join(root, 'up'));
    await symlink(path.join(root, 'a b.mp4'), path.join(root, 'inside.mp4'));
  });
  afterAll(() => rm(folder, { recursive: true }));

  it.each([
    ['show/live.m3u8', 'application/vnd.apple.mpegurl', 'no-cache'],
    ['show/seg_00000.ts', 'video/mp2t', 'public, max-age=3600'],
    ['a%20b.mp4', 'video/mp4', 'public, max-age=3600'],
    ['inside.mp4', 'video/mp4', 'public, max-age=3600'],
    ['page.html', 'application/octet-stream', 'public, max-age=3600'],
  ])('%s is %s', async (name, type, cache) => {
    const response = await fetch(`${await serve({ files: { root, access: 'public' } })}/files/${name}`);
    expect(response.status).toBe(200);
    expect(response.headers.get('content-type')).toBe(type);
    expect(response.headers.get('cache-control')).toBe(cache);
    expect(response.headers.get('access-control-allow-origin')).toBe('*');
    expect(response.headers.get('x-content-type-options')).toBe('nosniff');
    expect((await response.text()).length).toBeGreaterThan(0);
  });

  it('in ranges, by HEAD, and not again when nothing changed', async () => {
    const url = `${await serve({ files: { root, access: 'public' } })}/files/show/seg_00000.ts`;
    const range = await fetch(url, { headers: { range: 'bytes=10-19' } });
    expect(range.status).toBe(206);
    expect(range.headers.get('content-range')).toBe('bytes 10-19/188');
    expect(await range.text()).toBe('G'.repeat(10));
    expect((await fetch(url, { headers: { range: 'bytes=500-' } })).status).toBe(416);
    const head = await fetch(url, { method: 'HEAD' });
    expect(head.status).toBe(200);
    expect(head.headers.get('content-length')).toBe('188');
    const etag = head.headers.get('etag') ?? '';
    const again = await rawGet(url, new URL(url).pathname, `If-None-Match: ${etag}\r\n`);
    expect(again).toMatch(/^HTTP\/1\.1 304 /);
  });

  it('asks before another origin does', async () => {
    const url = await serve({ files: { root, access: 'public' } });
    const preflight = await fetch(`${url}/files/show/live.m3u8`, {
      method: 'OPTIONS',
      headers: {
        origin: 'http://x',
        'access-control-request-method': 'GET',
        'access-control-request-headers': 'range',
      },
    });
    expect(preflight.status).toBe(204);
    expect(preflight.headers.get('access-control-allow-headers')).toContain('range');
    expect(preflight.headers.get('access-control-allow-headers')).toContain('authorization');
  });

  it.each([
    '/files/',
    '/files/show',
    '/files/show/',
    '/files/nothing.mp4',
    '/files/../outside.mp4',
    '/files/..%2foutside.mp4',
    '/files/%2e%2e/outside.mp4',
    '/files/..%5coutside.mp4',
    '/files/show/../../outside.mp4',
    '/files/../root-sibling/x.mp4',
    '/files//etc/passwd',
    '/files/%2fetc%2fpasswd',
    '/files/.secret',
    '/files/%2esecret',
    '/files/.hidden/x.mp4',
    '/files/link.mp4',
    '/files/up/outside.mp4',
    '/files/a%00b.mp4',
    '/files/%zz',
    '/files/%ff',
  ])('%s shows nothing', async (target) => {
    const answer = await rawGet(await serve({ files: { root, access: 'public' } }), target);
    expect(answer).toMatch(/^HTTP\/1\.1 (404|400|403) /);
    expect(answer).not.toContain('sekret');
    expect(answer).not.toContain('seg_00000');
    expect(answer).not.toContain(folder);
  });

  it('with a token when it must be', async () => {
    const url = `${await serve({ files: { root, access: 'token' } })}/files/show/live.m3u8`;
    expect((await fetch(url)).status).toBe(401);
    const wrong = await token({ roomJoin: false, roomAdmin: true, room: 'demo' });
    expect((await fetch(url, { headers: { authorization: `Bearer ${wrong}` } })).status).toBe(401);
    const right = await token({ roomRecord: true });
    expect((await fetch(url, { headers: { authorization: `Bearer ${right}` } })).status).toBe(200);
    expect((await fetch(`${url}?access_token=${right}`)).status).toBe(200);
    expect(lines.join('')).not.toContain(right);
    expect(lines.join('')).toContain('"path":"/files/show/live.m3u8"');
  });

  it('of a folder that is not there yet', async () => {
    const url = await serve({ files: { root: path.join(folder, 'later'), access: 'public' } });
    expect((await fetch(`${url}/files/x.mp4`)).status).toBe(404);
  });

  it('pages at /, and nothing beside them', async () => {
    await writeFile(path.join(folder, 'root', 'index.html'), '<h1>studio</h1>');
    const url = await serve({ pages: root, files: { root, access: 'token' } });
    const page = await fetch(`${url}/`);
    expect(page.headers.get('content-type')).toContain('text/html');
    expect(await page.text()).toContain('studio');
    expect((await fetch(`${url}/nothing`)).status).toBe(404);
    expect((await fetch(`${url}/.secret`)).status).toBe(403);
    expect((await fetch(`${url}/files/show/live.m3u8`)).status).toBe(401);
    expect(await (await fetch(`${await serve()}/`)).text()).toBe('OK');
  });
});

describe('plugins', () => {
  it('have errors and bodies of their own, and leak nothing', async () => {
    const url = await serve({
      plugins: [
        async (app) => {
          app.addContentTypeParser('application/sdp', { parseAs: 'string' }, (_request, body, done) =>
            done(null, body),
          );
          app.post('/whip', (request, reply) => reply.type('application/sdp').send(request.body));
          app.get('/breaks', () => {
            throw new Error('password=sekret');
          });
        },
      ],
    });
    const echoed = await fetch(`${url}/whip`, {
      method: 'POST',
      headers: { 'content-type': 'application/sdp' },
      body: 'v=0',
    });
    expect(await echoed.text()).toBe('v=0');
    const other = await fetch(`${url}/whip`, {
      method: 'POST',
      headers: { 'content-type': 'text/csv' },
      body: 'v=0',
    });
    expect(other.status).toBe(415);
    const broken = await fetch(`${url}/breaks`);
    expect(broken.status).toBe(500);
    expect(await broken.text()).not.toContain('sekret');
    const large = await fetch(`${url}/whip`, {
      method: 'POST',
      headers: { 'content-type': 'application/sdp' },
      body: 'x'.repeat(2_000_000),
    });
    expect(large.status).toBe(413);
  });
});

describe('upgrades', () => {
  it('go to their owner, others are answered, and none holds the server up', async () => {
    const sockets = new WebSocketServer({ noServer: true });
    sockets.on('connection', (socket) => socket.on('message', (data) => socket.send(data)));
    const url = await serve({
      upgrades: {
        '/bridge': (request, socket, head) =>
          sockets.handleUpgrade(request, socket, head, (ws) => sockets.emit('connection', ws, request)),
      },
    });
    const ws = new WebSocket(`${url.replace('http', 'ws')}/bridge?access_token=x`);
    await once(ws, 'open');
    ws.send('hello');
    const [data] = (await once(ws, 'message')) as [Buffer];
    expect(data.toString()).toBe('hello');

    const refused = new WebSocket(`${url.replace('http', 'ws')}/elsewhere`);
    const [error] = (await once(refused, 'error')) as [Error];
    expect(error.message).toContain('404');

    const closed = once(ws, 'close');
    await open.pop()?.close();
    await closed;
  });
});

describe('slow peers', () => {
  it('who never finish their headers are cut off', { timeout: 20_000 }, async () => {
    const socket = connect(Number(new URL(await serve()).port), '127.0.0.1');
    socket.on('error', () => undefined);
    socket.write('POST /twirp/livekit.Egress/ListEgress HTTP/1.1\r\nHost: x\r\n');
    const drip = setInterval(() => socket.write('X-Drip: 1\r\n'), 500);
    const before = performance.now();
    try {
      await once(socket.resume(), 'close');
      expect(performance.now() - before).toBeLessThan(15_000);
    } finally {
      clearInterval(drip);
      socket.destroy();
    }
  });
});
