/** WHIP ingresses as HTTP sees them: who is let in, and what a session's URL is good for. No media flows. */
import { readFileSync } from 'node:fs';
import { IngressInput, IngressState_Status as Status, ParticipantInfo_Kind } from '@livekit/protocol';
import { AccessToken } from 'livekit-server-sdk';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { API_KEY, API_SECRET } from '../support/api.ts';
import { is, startIngressWhip } from '../support/ingress-whip.ts';
import type { WhipServer } from '../support/ingress-whip.ts';
import { EventLog, sleep, until } from '../support/sfu.ts';

const SEND = readFileSync(new URL('../../fixtures/sdp/chromium-156-send.sdp', import.meta.url), 'utf8');

let server: WhipServer;
/** Every key there was: none may be in a log. */
const keys: string[] = [];

beforeAll(async () => {
  server = await startIngressWhip();
});
afterAll(() => server.close());
afterEach(() => {
  for (const key of keys) expect(server.logged()).not.toContain(key);
});

const create: WhipServer['create'] = async (info) => {
  const created = await server.create(info);
  keys.push(created.streamKey);
  return created;
};

function send(method: string, path: string, bearer?: string, headers: Record<string, string> = {}) {
  return fetch(`${server.url}${path}`, {
    method,
    headers: {
      ...(bearer === undefined ? {} : { authorization: `Bearer ${bearer}` }),
      ...(method === 'POST' ? { 'content-type': 'application/sdp' } : {}),
      ...headers,
    },
    ...(method === 'POST' ? { body: SEND } : {}),
  });
}

async function detail(response: Response): Promise<string> {
  expect(response.headers.get('content-type')).toBe('application/problem+json');
  return ((await response.json()) as { detail: string }).detail;
}

const locationOf = (response: Response): string => response.headers.get('location') ?? 'none';

function participant(room: string) {
  return server.sfu.room(room)?.participants.get('obs');
}

describe('a stream key', () => {
  test.each(['in the path', 'as Bearer'])('%s lets the ingress publish as its participant', async (where) => {
    const { ingressId, streamKey, roomName } = await create();
    const response =
      where === 'as Bearer'
        ? await send('POST', '/whip', streamKey)
        : await send('POST', `/whip/${streamKey}`);
    expect(response.status).toBe(201);
    expect(response.headers.get('content-type')).toBe('application/sdp');
    expect(locationOf(response)).toMatch(/^\/whip\/sessions\/[\w-]{27}$/);
    expect(response.headers.get('etag')).toMatch(/^"[\w-]+"$/);
    const info = participant(roomName)?.info();
    expect(info).toMatchObject({
      kind: ParticipantInfo_Kind.INGRESS,
      identity: 'obs',
      name: 'OBS',
      metadata: 'made by a test',
    });
    expect(info?.permission).toMatchObject({ canPublish: true, canSubscribe: false });
    const session = await server.session(ingressId);
    expect(session).toMatchObject({ source: { type: 'direct' }, bridgeUrl: 'ws://127.0.0.1:7880/bridge' });
    expect(await server.state(ingressId)).toMatchObject({
      status: Status.ENDPOINT_BUFFERING,
      resourceId: session?.resourceId,
    });

    // OBS sends its bearer token with DELETE, or nothing when the key is in the path.
    const bearer = where === 'as Bearer' ? streamKey : undefined;
    expect((await send('DELETE', locationOf(response), bearer)).status).toBe(200);
    const ended = await server.until('the end', ingressId, is(Status.ENDPOINT_INACTIVE));
    expect(ended.error).toBe('');
    expect(ended.endedAt).toBeGreaterThan(0n);
    expect(participant(roomName)).toBeUndefined();
    expect(await server.session(ingressId)).toBeUndefined();
  });

  test('of nobody is 404 in the path and 401 as Bearer; neither is told in a log', async () => {
    keys.push('noSuchKey1', 'noSuchKey2', 'noSuchKey3');
    const inPath = await send('POST', '/whip/noSuchKey1');
    expect([inPath.status, await detail(inPath)]).toEqual([404, 'no WHIP ingress has this stream key']);
    const bearer = await send('POST', '/whip', 'noSuchKey2');
    expect([bearer.status, bearer.headers.get('www-authenticate')]).toEqual([401, 'Bearer']);
    expect(await detail(bearer)).toMatch(/neither an access token nor the stream key/);
    for (const path of ['/whip/noSuchKey3/', '/WHIP/noSuchKey3', '//whip/noSuchKey3', '/whip/a/noSuchKey3']) {
      expect((await send('POST', path)).status, path).toBe(404);
    }
    expect((await send('POST', '/whip')).status, 'neither key nor token').toBe(401);
  });

  test('of a disabled ingress is 403, of one for RTMP 404', async () => {
    const { streamKey, roomName } = await create({ enabled: false });
    const disabled = await send('POST', `/whip/${streamKey}`);
    expect([disabled.status, await detail(disabled)]).toEqual([403, 'this ingress is disabled']);
    expect(server.sfu.room(roomName), 'no room for it').toBeUndefined();
    const rtmp = await create({ inputType: IngressInput.RTMP_INPUT });
    expect((await send('POST', `/whip/${rtmp.streamKey}`)).status).toBe(404);
  });

  test('that is in use is 409, until its publisher has been silent for three seconds', async () => {
    const { ingressId, streamKey, roomName } = await create();
    const [one, two] = await Promise.all([
      send('POST', '/whip', streamKey),
      send('POST', `/whip/${streamKey}`),
    ]);
    expect([one.status, two.status].sort()).toEqual([201, 409]);
    expect(await detail(one.status === 409 ? one : two)).toMatch(/already publishing/);
    const sid = participant(roomName)?.sid;
    const before = await server.session(ingressId);
    await sleep(3100);
    const three = await send('POST', '/whip', streamKey);
    expect(three.status).toBe(201);
    expect([participant(roomName)?.sid, await server.session(ingressId)]).toEqual([sid, before]);
    const old = await send('DELETE', locationOf(one.status === 201 ? one : two), streamKey);
    expect(old.status, 'the first session has ended').toBe(404);
    expect((await send('DELETE', locationOf(three), streamKey)).status).toBe(200);
    await server.until('the end', ingressId, is(Status.ENDPOINT_INACTIVE));
  });

  test('an access token still lets its own participant in', async () => {
    const token = new AccessToken(API_KEY, API_SECRET, { identity: 'ann' });
    token.addGrant({ roomJoin: true, room: 'people' });
    const response = await send('POST', '/whip', await token.toJwt());
    expect(response.status).toBe(201);
    expect(server.sfu.room('people')?.participants.get('ann')?.kind).toBe(ParticipantInfo_Kind.STANDARD);
    expect((await send('DELETE', locationOf(response))).status, 'without its token').toBe(401);
    server.sfu.deleteRoom('people');
  });
});

describe('the URL of a session', () => {
  test('needs the stream key when that was the Bearer', async () => {
    const [mine, other] = [await create(), await create()];
    const begun = await send('POST', '/whip', mine.streamKey);
    const url = locationOf(begun);
    expect((await send('DELETE', url)).status).toBe(401);
    expect((await send('DELETE', url, other.streamKey)).status).toBe(403);
    const patch = { 'content-type': 'application/trickle-ice-sdpfrag', 'if-match': '*' };
    const patched = await fetch(new URL(url, server.url), {
      method: 'PATCH',
      headers: { authorization: `Bearer ${mine.streamKey}`, ...patch },
      body: 'a=ice-ufrag:newone\r\na=ice-pwd:0123456789012345678901234\r\n',
    });
    expect(patched.status).toBe(200);
    expect((await send('DELETE', url, mine.streamKey)).status).toBe(200);
    await server.until('the end', mine.ingressId, is(Status.ENDPOINT_INACTIVE));
  });

  test('is not logged when it alone opens the session', async () => {
    const { ingressId, streamKey } = await create();
    const url = locationOf(await send('POST', `/whip/${streamKey}`));
    expect((await send('DELETE', url)).status).toBe(200);
    expect(server.logged()).toContain('/whip/sessions/:id');
    expect(server.logged()).not.toContain(url.split('/').at(-1));
    await server.until('the end', ingressId, is(Status.ENDPOINT_INACTIVE));
  });
});

describe('a session ends', () => {
  test('with an offer that cannot be taken', async () => {
    const { ingressId, streamKey, roomName } = await create();
    const refused = await fetch(new URL(`/whip/${streamKey}`, server.url), {
      method: 'POST',
      headers: { 'content-type': 'application/sdp' },
      body: SEND.replaceAll('a=sendonly', 'a=recvonly'),
    });
    expect(refused.status).toBe(400);
    await server.until('the end', ingressId, is(Status.ENDPOINT_INACTIVE));
    await until('the participant to go', () => participant(roomName) === undefined);
  });

  test.each([
    ['deleted', (id: string) => server.store.delete(id), undefined],
    [
      'disabled',
      (id: string) =>
        server.store.update(id, (info) => {
          info.enabled = false;
          return info;
        }),
      'the ingress was disabled',
    ],
  ])('when its ingress is %s', async (_what, change, error) => {
    const { ingressId, streamKey, roomName } = await create();
    const url = locationOf(await send('POST', '/whip', streamKey));
    await change(ingressId);
    await until('the participant to go', () => participant(roomName) === undefined);
    expect([401, 403, 404]).toContain((await send('DELETE', url, streamKey)).status);
    if (error !== undefined) {
      const state = await server.until('the end', ingressId, is(Status.ENDPOINT_INACTIVE));
      expect(state.error).toBe(error);
    }
    expect(await server.session(ingressId)).toBeUndefined();
  });

  test('with its room, and when its participant is removed or replaced', async () => {
    for (const [leave, error] of [
      [(room: string) => server.sfu.deleteRoom(room), 'the room was deleted'],
      [(room: string) => participant(room)?.close('removed'), 'the participant was removed from the room'],
      [
        (room: string) => {
          const present = participant(room)!;
          present.room.join({ identity: 'obs', permissions: present.permissions });
        },
        'another participant came with the same identity',
      ],
    ] as const) {
      const { ingressId, streamKey, roomName } = await create();
      const url = locationOf(await send('POST', '/whip', streamKey));
      leave(roomName);
      const state = await server.until('the end', ingressId, is(Status.ENDPOINT_INACTIVE));
      expect(state.error).toBe(error);
      expect((await send('DELETE', url, streamKey)).status).toBe(404);
    }
  });
});

test('with transcoding the publisher waits in a room nobody is shown', async () => {
  const log = new EventLog(server.sfu);
  const { ingressId, streamKey, roomName } = await create({ enableTranscoding: true });
  const url = locationOf(await send('POST', '/whip', streamKey));
  const session = await server.session(ingressId);
  const name = `ingress/${session?.resourceId}`;
  expect(session?.source).toEqual({ type: 'room', roomName: name, identity: 'obs' });
  expect(server.sfu.internalRoom(name)?.participants.has('obs')).toBe(true);
  expect([server.sfu.room(name), server.sfu.room(roomName), server.jobs]).toEqual([undefined, undefined, []]);
  expect((await send('DELETE', url, streamKey)).status).toBe(200);
  await server.until('the end', ingressId, is(Status.ENDPOINT_INACTIVE));
  expect([server.sfu.internalRoom(name), log.events]).toEqual([undefined, []]);
});

test('while Redis is away a publisher is asked to try again; sessions stay', async () => {
  const { ingressId, streamKey, roomName } = await create();
  const url = locationOf(await send('POST', '/whip', streamKey));
  server.redis.pause();
  try {
    const refused = await send('POST', '/whip/someOtherKey');
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '2']);
    expect(participant(roomName)).toBeDefined();
  } finally {
    server.redis.resume();
  }
  expect((await send('DELETE', url, streamKey)).status).toBe(200);
  await server.until('the end', ingressId, is(Status.ENDPOINT_INACTIVE));
});
