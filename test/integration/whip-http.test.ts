/** WHIP and WHEP as HTTP sees them (RFC 9725), against a real server and SFU. No media flows. */
import { readFileSync } from 'node:fs';
import { TrackSource } from '@livekit/protocol';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { sleep, until } from '../support/sfu.ts';
import { startSignaling } from '../support/signaling-server.ts';
import type { SignalingServer } from '../support/signaling-server.ts';

const fixture = (name: string) =>
  readFileSync(new URL(`../../fixtures/sdp/${name}.sdp`, import.meta.url), 'utf8');
const SEND = fixture('chromium-156-send');
const WATCH = fixture('chromium-156-watch');
const FRAGMENT = 'application/trickle-ice-sdpfrag';

let server: SignalingServer;
let count = 0;
const newRoom = () => `room-${count++}`;

beforeAll(async () => {
  server = await startSignaling({
    iceServers: [
      { urls: ['stun:stun.example.net'] },
      { urls: ['turn:turn.example.net?transport=udp'], username: 'me', credential: 'with "quotes"' },
    ],
    timing: { connectTimeoutMs: 1500 },
  });
});
afterAll(() => server.close());

async function send(
  method: string,
  path: string,
  what: { token?: string; type?: string; body?: string; headers?: Record<string, string> } = {},
): Promise<Response> {
  return fetch(new URL(path, server.url), {
    method,
    headers: {
      ...(what.token === undefined ? {} : { authorization: `Bearer ${what.token}` }),
      ...(what.type === undefined ? {} : { 'content-type': what.type }),
      ...what.headers,
    },
    ...(what.body === undefined ? {} : { body: what.body }),
  });
}

async function post(path: string, token: string, body: string): Promise<Response> {
  return send('POST', path, { token, type: 'application/sdp', body });
}

async function problem(response: Response): Promise<string> {
  expect(response.headers.get('content-type')).toBe('application/problem+json');
  const { status, detail } = (await response.json()) as { status: number; detail: string };
  expect(status).toBe(response.status);
  return detail;
}

describe('beginning a session', () => {
  test('201 with Location, ETag, answer, ICE servers and CORS headers; the participant is in the room', async () => {
    const room = newRoom();
    const response = await post('/whip', await server.token(room, 'ann'), SEND);
    expect(response.status).toBe(201);
    expect(response.headers.get('content-type')).toBe('application/sdp');
    expect(response.headers.get('location')).toMatch(/^\/whip\/sessions\/[\w-]{27}$/);
    expect(response.headers.get('etag')).toMatch(/^"[\w-]+"$/);
    expect(response.headers.get('link')).toBe(
      '<stun:stun.example.net>; rel="ice-server", ' +
        '<turn:turn.example.net?transport=udp>; rel="ice-server"; username="me"; ' +
        'credential="with \\"quotes\\""; credential-type="password"',
    );
    expect(response.headers.get('access-control-allow-origin')).toBe('*');
    expect(response.headers.get('access-control-expose-headers')).toContain('Location, ETag, Link');
    const answer = await response.text();
    expect(answer).toContain('a=ice-lite');
    expect(answer).toMatch(/a=candidate:\S+ 1 udp \d+ 127\.0\.0\.1 \d+ typ host\r\n/);
    expect(answer).toMatch(/a=candidate:\S+ 1 tcp \d+ 127\.0\.0\.1 \d+ typ host tcptype passive\r\n/);
    expect([...(server.sfu.room(room)?.participants.keys() ?? [])]).toEqual(['ann']);
    expect(server.sfu.room(room)?.participants.get('ann')?.tracks.size, 'no media yet, no tracks').toBe(0);
  });

  test.each([
    ['no token', undefined, SEND, 401, /token/],
    ['a token of another key', 'eyJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJ4In0.x', SEND, 401, /API key/],
  ])('%s', async (_name, token, body, status, detail) => {
    const response = await send('POST', '/whip', {
      type: 'application/sdp',
      body,
      ...(token === undefined ? {} : { token }),
    });
    expect(response.status).toBe(status);
    expect(response.headers.get('www-authenticate')).toBe('Bearer');
    expect(await problem(response)).toMatch(detail);
  });

  test('a token without the grant is 403', async () => {
    const watcher = await server.token(newRoom(), 'ann', { canPublish: false });
    expect(await problem(await post('/whip', watcher, SEND))).toContain('does not allow publishing');
    const publisher = await server.token(newRoom(), 'ann', { canSubscribe: false });
    const refused = await post('/whep', publisher, WATCH);
    expect(refused.status).toBe(403);
    expect(await problem(refused)).toContain('does not allow subscribing');
  });

  test('sources the token does not name are rejected, one by one', async () => {
    const room = newRoom();
    const grant = { canPublishSources: [TrackSource.MICROPHONE] };
    const response = await post('/whip', await server.token(room, 'ann', grant), SEND);
    expect(response.status).toBe(201);
    const answer = await response.text();
    expect(answer).toContain('m=audio 9 ');
    expect(answer).toContain('m=video 0 ');
    const none = { canPublishSources: [TrackSource.SCREEN_SHARE] };
    expect((await post('/whip', await server.token(room, 'ann', none), SEND)).status).toBe(403);
  });

  test('other media types are 415, an unacceptable answer 406, an empty or broken offer 400', async () => {
    const token = await server.token(newRoom(), 'ann');
    const json = await send('POST', '/whip', { token, type: 'application/json', body: '{}' });
    expect([json.status, await problem(json)]).toEqual([415, expect.stringContaining('media type')]);
    const fragment = await send('POST', '/whip', { token, type: FRAGMENT, body: SEND });
    expect([fragment.status, await problem(fragment)]).toEqual([
      415,
      '"Content-Type" must be application/sdp',
    ]);
    const accept = { accept: 'text/html' };
    const html = await send('POST', '/whip', { token, type: 'application/sdp', body: SEND, headers: accept });
    expect([html.status, await problem(html)]).toEqual([406, expect.stringContaining('application/sdp')]);
    const empty = await send('POST', '/whip', { token, type: 'application/sdp' });
    expect([empty.status, await problem(empty)]).toEqual([400, expect.stringContaining('empty')]);
    const broken = await post('/whip', token, 'hello');
    expect([broken.status, await problem(broken)]).toEqual([400, expect.stringContaining('v=0')]);
    const huge = await post('/whip', token, `${SEND}${'a=x:y\r\n'.repeat(50_000)}`);
    expect([huge.status, await problem(huge)]).toEqual([413, expect.stringContaining('large')]);
  });

  test('a bad query of WHEP is 400 and says what is allowed', async () => {
    const token = await server.token(newRoom(), 'ann');
    const layer = await post('/whep?layer=best', token, WATCH);
    expect([layer.status, await problem(layer)]).toEqual([400, expect.stringContaining('low, medium, high')]);
    const twice = await post('/whep?participant=a&participant=b', token, WATCH);
    expect([twice.status, await problem(twice)]).toEqual([400, expect.stringContaining('"participant"')]);
  });

  test('an identity that comes with another token replaces the first; with the same one it watches, too', async () => {
    const room = newRoom();
    const token = await server.token(room, 'ann');
    const first = await post('/whip', token, SEND);
    const sid = server.sfu.room(room)?.participants.get('ann')?.sid;
    expect((await post('/whep', token, WATCH)).status).toBe(201);
    expect(server.sfu.room(room)?.participants.get('ann')?.sid, 'one participant').toBe(sid);
    const other = await server.token(room, 'ann', {}, '11m');
    expect((await post('/whip', other, SEND)).status).toBe(201);
    expect(server.sfu.room(room)?.participants.get('ann')?.sid).not.toBe(sid);
    const gone = await send('DELETE', first.headers.get('location')!, { token });
    expect(gone.status).toBe(404);
  });
});

describe('a session', () => {
  async function begin(path = '/whip') {
    const room = newRoom();
    const token = await server.token(room, 'ann');
    const response = await post(path, token, path === '/whip' ? SEND : WATCH);
    expect(response.status).toBe(201);
    return {
      room,
      token,
      url: response.headers.get('location')!,
      etag: response.headers.get('etag')!,
      answer: await response.text(),
    };
  }
  const patch = (session: { url: string; token: string }, body: string, match?: string) =>
    send('PATCH', session.url, {
      token: session.token,
      type: FRAGMENT,
      body,
      headers: match === undefined ? {} : { 'if-match': match },
    });
  const own = ['ice-ufrag', 'ice-pwd'].map((name) => new RegExp(`a=${name}:.*`).exec(SEND)![0]).join('\r\n');
  const candidate =
    'm=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\na=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\n';

  test('DELETE ends it: the participant is gone, a second DELETE is 404', async () => {
    const session = await begin();
    const response = await send('DELETE', session.url, { token: session.token });
    expect(response.status).toBe(200);
    expect(server.sfu.room(session.room)?.participants.size).toBe(0);
    expect((await send('DELETE', session.url, { token: session.token })).status).toBe(404);
  });

  test('needs its own token, or a newer one of the same participant', async () => {
    const session = await begin();
    expect((await send('DELETE', session.url)).status).toBe(401);
    const stranger = await server.token(session.room, 'bob');
    expect((await send('DELETE', session.url, { token: stranger })).status).toBe(403);
    const newer = await server.token(session.room, 'ann', {}, '20m');
    expect((await send('DELETE', session.url, { token: newer })).status).toBe(200);
  });

  test('trickling: 204 with the ETag, 412 with another one, 428 without', async () => {
    const session = await begin();
    const body = `${own}\r\n${candidate}`;
    const response = await patch(session, body, session.etag);
    expect([response.status, await response.text()]).toEqual([204, '']);
    expect((await patch(session, body, '"other"')).status).toBe(412);
    const without = await patch(session, body);
    expect([without.status, await problem(without)]).toEqual([428, expect.stringContaining('If-Match')]);
  });

  test.each(['/whip', '/whep'])(
    '%s: new credentials restart ICE: 200, new ETag, our new credentials',
    async (path) => {
      const session = await begin(path);
      const fresh = 'a=ice-ufrag:fresh123\r\na=ice-pwd:freshfreshfreshfreshfresh\r\n';
      const response = await patch(session, `${fresh}${candidate}`, '*');
      expect(response.status).toBe(200);
      expect(response.headers.get('content-type')).toBe(FRAGMENT);
      const etag = response.headers.get('etag');
      expect(etag).not.toBe(session.etag);
      const fragment = await response.text();
      expect(fragment).toMatch(/a=ice-ufrag:\S+/);
      const ufrag = (text: string) => /a=ice-ufrag:(\S+)/.exec(text)?.[1];
      expect(ufrag(fragment)).not.toBe(ufrag(session.answer));
      expect(fragment).toContain('a=end-of-candidates');
      expect((await patch(session, `${fresh}${candidate}`, session.etag)).status, 'the old ETag').toBe(412);
      expect((await patch(session, `${fresh}${candidate}`, etag!)).status).toBe(204);
    },
  );

  test('a broken fragment is 400, another media type 415', async () => {
    const session = await begin();
    const broken = await patch(session, 'a=ice-ufrag:onlyufrag', '*');
    expect([broken.status, await problem(broken)]).toEqual([400, expect.stringContaining('ice-pwd')]);
    const sdp = await send('PATCH', session.url, {
      token: session.token,
      type: 'application/sdp',
      body: SEND,
      headers: { 'if-match': '*' },
    });
    expect(sdp.status).toBe(415);
  });

  test('one that never connects is removed', async () => {
    const session = await begin();
    expect(server.sfu.room(session.room)?.participants.size).toBe(1);
    await until('the session to be removed', () => server.sfu.room(session.room)?.participants.size === 0);
    expect((await send('DELETE', session.url, { token: session.token })).status).toBe(404);
  });

  test('ends with its room', async () => {
    const session = await begin();
    server.sfu.deleteRoom(session.room);
    await sleep(20);
    expect((await send('DELETE', session.url, { token: session.token })).status).toBe(404);
  });
});

describe('other methods', () => {
  test('OPTIONS answers preflights, and ICE servers to who has a token', async () => {
    const endpoint = await send('OPTIONS', '/whip');
    expect(endpoint.status).toBe(204);
    expect(endpoint.headers.get('accept-post')).toBe('application/sdp');
    expect(endpoint.headers.get('access-control-allow-methods')).toBe('OPTIONS, POST');
    expect(endpoint.headers.get('access-control-allow-headers')).toContain('If-Match');
    expect(endpoint.headers.get('link')).toBeNull();
    const token = await server.token(newRoom(), 'ann');
    expect((await send('OPTIONS', '/whep', { token })).headers.get('link')).toContain('rel="ice-server"');
    const session = await send('OPTIONS', '/whip/sessions/any');
    expect(session.headers.get('access-control-allow-methods')).toBe('OPTIONS, PATCH, DELETE');
  });

  test.each([
    ['GET', '/whip', 'OPTIONS, POST'],
    ['PUT', '/whep', 'OPTIONS, POST'],
    ['POST', '/whip/sessions/any', 'OPTIONS, PATCH, DELETE'],
  ])('%s %s is 405', async (method, path, allow) => {
    const response = await send(method, path);
    expect(response.status).toBe(405);
    expect(response.headers.get('allow')).toBe(allow);
    await problem(response);
  });
});
