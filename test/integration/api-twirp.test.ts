import { createHmac, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect } from 'node:net';
import {
  CreateRoomRequest,
  ListEgressRequest,
  ListEgressResponse,
  ListRoomsResponse,
  Room,
} from '@livekit/protocol';
import { EgressClient, RoomServiceClient } from 'livekit-server-sdk';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TWIRP_STATUS } from '../../src/api/errors.ts';
import { KNOWN_RPCS } from '../../src/api/known-rpcs.ts';
import { createAccessToken } from '../../src/auth/token.ts';
import { API_KEY, API_SECRET, rawCall, startApi, token } from '../support/api.ts';
import type { TestApi } from '../support/api.ts';

let api: TestApi;
let create: string;
let record: string;

beforeAll(async () => {
  api = await startApi();
  create = await token({ roomCreate: true, roomList: true });
  record = await token({ roomRecord: true });
});
afterAll(() => api.stop());

const path = (method: string) => `${api.url}/twirp/livekit.${method}`;
const JSON_TYPE = { 'content-type': 'application/json' };
const PROTOBUF_TYPE = { 'content-type': 'application/protobuf' };

describe('encodings', () => {
  it.each([
    ['camelCase', { name: 'camel', emptyTimeout: 61, maxParticipants: 4 }],
    ['snake_case', { name: 'snake', empty_timeout: 61, max_participants: 4 }],
    ['unknown fields', { name: 'unknown', emptyTimeout: 61, maxParticipants: 4, fromTheFuture: { a: [1] } }],
  ])('JSON, %s: the answer is snake_case with defaults, int64 as text', async (_what, body) => {
    const answer = await rawCall(path('RoomService/CreateRoom'), {
      auth: create,
      headers: { 'content-type': 'Application/JSON; charset=UTF-8' },
      body: JSON.stringify(body),
    });
    expect(answer.status).toBe(200);
    expect(answer.contentType).toBe('application/json');
    const json = answer.json();
    expect(json).toMatchObject({
      name: body.name,
      empty_timeout: 61,
      max_participants: 4,
      num_participants: 0,
      metadata: '',
    });
    expect(json.creation_time).toMatch(/^\d+$/);
    expect(json).not.toHaveProperty('emptyTimeout');
  });

  it('protobuf, answered in protobuf', async () => {
    const answer = await rawCall(path('RoomService/CreateRoom'), {
      auth: create,
      headers: PROTOBUF_TYPE,
      body: new CreateRoomRequest({ name: 'proto', emptyTimeout: 62 }).toBinary() as Uint8Array<ArrayBuffer>,
    });
    expect(answer.status).toBe(200);
    expect(answer.contentType).toBe('application/protobuf');
    expect(Room.fromBinary(answer.bytes)).toMatchObject({ name: 'proto', emptyTimeout: 62 });
  });

  it('an empty protobuf body is a message with nothing set', async () => {
    const answer = await rawCall(path('Egress/ListEgress'), { auth: record, headers: PROTOBUF_TYPE });
    expect(answer.status).toBe(200);
    expect(ListEgressResponse.fromBinary(answer.bytes).items).toEqual([]);
    const rooms = await rawCall(path('RoomService/ListRooms'), { auth: create, headers: PROTOBUF_TYPE });
    expect(ListRoomsResponse.fromBinary(rooms.bytes).rooms.length).toBeGreaterThan(0);
  });

  it('an error of a protobuf call is JSON', async () => {
    const answer = await rawCall(path('Egress/ListEgress'), {
      auth: record,
      headers: PROTOBUF_TYPE,
      body: new ListEgressRequest({ egressId: 'EG_nobody' }).toBinary() as Uint8Array<ArrayBuffer>,
    });
    expect(answer.status).toBe(404);
    expect(answer.contentType).toBe('application/json');
    expect(answer.json()).toEqual({ code: 'not_found', msg: 'egress does not exist' });
  });

  it('enums as numbers and as names', async () => {
    const send = async (fileType: unknown) =>
      (
        await rawCall(path('Egress/StartRoomCompositeEgress'), {
          auth: record,
          headers: JSON_TYPE,
          body: JSON.stringify({ room_name: 'nobody', file_outputs: [{ file_type: fileType }] }),
        })
      ).json();
    // A kind that holds no picture, by its name and by its number.
    expect(await send('OGG')).toMatchObject({ code: 'invalid_argument' });
    expect(await send(2)).toMatchObject({ code: 'invalid_argument' });
    expect(await send('MP4')).toMatchObject({ code: 'not_found' });
    expect(await send(77)).toMatchObject({ code: 'invalid_argument' });
  });
});

describe('malformed', () => {
  it.each([
    ['no body', '', /json request could not be decoded/],
    ['no JSON', '{"name":', /could not be decoded: it is not JSON|could not be decoded/],
    ['a list', '[]', /could not be decoded/],
    ['text', '"x"', /could not be decoded/],
    ['null', 'null', /could not be decoded/],
    ['a field of a wrong type', '{"name":{"a":"sekretkey"}}', /cannot decode field CreateRoomRequest.name/],
    ['a number out of range', '{"empty_timeout":-1}', /could not be decoded/],
    ['bytes that are no UTF-8', Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x7d]), /could not be decoded/],
    ['nesting without end', '['.repeat(200_000), /could not be decoded/],
    ['a deep object', '{"egress":'.repeat(50_000), /could not be decoded/],
  ])('JSON: %s', async (_what, body, message) => {
    const answer = await rawCall(path('RoomService/CreateRoom'), { auth: create, headers: JSON_TYPE, body });
    expect(answer.status).toBe(400);
    expect(answer.contentType).toBe('application/json');
    expect(answer.json()).toMatchObject({ code: 'malformed', msg: expect.stringMatching(message) as string });
    expect(answer.bytes.toString()).not.toContain('sekretkey');
  });

  it.each([
    ['a length beyond the end', Buffer.from([0x0a, 0x7f, 0x41])],
    ['a tag that is none', Buffer.from([0x07])],
    ['groups without end', Buffer.alloc(200_000, 0x0b)],
    ['JSON', Buffer.from('{"name":"a"}')],
  ])('protobuf: %s', async (_what, body) => {
    const answer = await rawCall(path('RoomService/CreateRoom'), {
      auth: create,
      headers: PROTOBUF_TYPE,
      body,
    });
    expect(answer.status).toBe(400);
    expect(answer.json()).toMatchObject({ code: 'malformed' });
  });

  it('random bytes never end the server', async () => {
    for (let i = 0; i < 200; i++) {
      const answer = await rawCall(path('Egress/StartRoomCompositeEgress'), {
        auth: record,
        headers: PROTOBUF_TYPE,
        body: randomBytes(i),
      });
      expect([400, 404, 501]).toContain(answer.status);
    }
    expect((await rawCall(path('Egress/ListEgress'), { auth: record, headers: PROTOBUF_TYPE })).status).toBe(
      200,
    );
  });
});

describe('too large', () => {
  it('10 MiB is read', async () => {
    const name = 'x'.repeat(10 * 1024 * 1024 - 11);
    const answer = await rawCall(path('RoomService/CreateRoom'), {
      auth: create,
      headers: JSON_TYPE,
      body: `{"name":"${name}"}`,
    });
    expect(answer.json()).toMatchObject({ code: 'invalid_argument' });
  });

  it('a byte more is not, whether its length is said', async () => {
    const answer = await rawCall(path('RoomService/CreateRoom'), {
      auth: create,
      headers: JSON_TYPE,
      body: Buffer.alloc(10 * 1024 * 1024 + 1, 0x20),
    });
    expect(answer.status).toBe(413);
    expect(answer.contentType).toBe('application/json');
    expect(answer.json()).toEqual({
      code: 'resource_exhausted',
      msg: 'request body too large: at most 10485760 bytes',
    });
  });

  it('or not', async () => {
    const { port } = new URL(api.url);
    const socket = connect(Number(port), '127.0.0.1');
    let answer = '';
    socket.on('data', (data) => (answer += data.toString()));
    socket.on('error', () => undefined);
    socket.write(
      `POST /twirp/livekit.RoomService/CreateRoom HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${create}\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n`,
    );
    const chunk = `100000\r\n${' '.repeat(0x100000)}\r\n`;
    for (let i = 0; i < 11 && !socket.destroyed; i++) {
      if (!socket.write(chunk)) await Promise.race([once(socket, 'drain'), once(socket, 'close')]);
    }
    await expect.poll(() => answer).toContain('HTTP/1.1 413');
    socket.destroy();
  });

  it('nobody without a token is read at all', async () => {
    const { port } = new URL(api.url);
    const socket = connect(Number(port), '127.0.0.1');
    let answer = '';
    socket.on('data', (data) => (answer += data.toString()));
    socket.on('error', () => undefined);
    // The body never comes.
    socket.write(
      'POST /twirp/livekit.RoomService/CreateRoom HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n',
    );
    await expect.poll(() => answer).toContain('HTTP/1.1 401');
    socket.destroy();
  });
});

describe('routes', () => {
  it.each([
    ['GET', 'Egress/ListEgress', /unsupported method "GET" \(only POST is allowed\)/],
    ['PUT', 'Egress/ListEgress', /unsupported method "PUT"/],
    ['POST', 'Egress/NoSuchMethod', /no handler for path "\/twirp\/livekit.Egress\/NoSuchMethod"/],
    ['POST', 'Egress/constructor', /no handler/],
    ['POST', 'NoService/ListEgress', /no handler/],
    ['POST', 'constructor/name', /no handler/],
    ['POST', 'Egress', /no handler/],
    ['POST', 'Egress/ListEgress/', /no handler/],
  ])('%s %s is bad_route', async (method, route, message) => {
    const answer = await rawCall(path(route), {
      auth: record,
      method,
      headers: JSON_TYPE,
      ...(method === 'GET' ? {} : { body: '{}' }),
    });
    expect(answer.status).toBe(404);
    expect(answer.contentType).toBe('application/json');
    expect(answer.json()).toMatchObject({
      code: 'bad_route',
      msg: expect.stringMatching(message) as string,
      meta: { twirp_invalid_route: `${method} /twirp/livekit.${route}` },
    });
  });

  it.each(['text/plain', 'application/x-www-form-urlencoded', 'application/jsonp', ''])(
    'content type %j is bad_route',
    async (type) => {
      const answer = await rawCall(path('Egress/ListEgress'), {
        auth: record,
        headers: { 'content-type': type },
        body: '{}',
      });
      expect(answer.status).toBe(404);
      expect(answer.json()).toMatchObject({
        code: 'bad_route',
        msg: expect.stringContaining('unexpected Content-Type') as string,
      });
    },
  );

  it('two slashes after the host are one, as when an SDK is given a URL that ends with one', async () => {
    const answer = await rawCall(`${api.url}//twirp/livekit.Egress/ListEgress`, {
      auth: record,
      headers: JSON_TYPE,
      body: '{}',
    });
    expect(answer.status).toBe(200);
    expect(await new EgressClient(`${api.url}/`, API_KEY, API_SECRET).listEgress()).toEqual([]);
  });

  const built = new Set([
    ...['CreateRoom', 'ListRooms', 'DeleteRoom', 'ListParticipants', 'GetParticipant', 'RemoveParticipant'],
    ...['MutePublishedTrack', 'UpdateParticipant', 'UpdateRoomMetadata'],
    ...(KNOWN_RPCS.Egress ?? []),
    ...['CreateIngress', 'UpdateIngress', 'ListIngress', 'DeleteIngress'],
  ]);
  const missing = Object.entries(KNOWN_RPCS).flatMap(([service, methods]) =>
    methods.filter((method) => !built.has(method)).map((method) => [service, method] as const),
  );
  it.each(missing)('%s.%s of LiveKit is unimplemented, by its name', async (service, method) => {
    const answer = await rawCall(path(`${service}/${method}`), {
      auth: record,
      headers: JSON_TYPE,
      body: '{}',
    });
    expect(answer.status).toBe(501);
    expect(answer.json()).toEqual({ code: 'unimplemented', msg: `${service}.${method} is not implemented` });
  });
});

describe('tokens', () => {
  const now = () => Math.floor(Date.now() / 1000);
  const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
  function forged(header: object, claims: object, secret: string | undefined): string {
    const head = `${part(header)}.${part({ iss: API_KEY, exp: now() + 60, video: { roomRecord: true }, ...claims })}`;
    return `${head}.${secret === undefined ? '' : createHmac('sha256', secret).update(head).digest('base64url')}`;
  }
  const call = (init: Parameters<typeof rawCall>[1], query = '') =>
    rawCall(path('Egress/ListEgress') + query, { headers: JSON_TYPE, body: '{}', ...init });

  it.each([
    ['none', () => undefined, /^permissions denied$/],
    ['rubbish', () => 'rubbish', /not a signed JWT/],
    ['expired', () => forged({ alg: 'HS256' }, { exp: now() - 120 }, API_SECRET), /expired/],
    ['not valid yet', () => forged({ alg: 'HS256' }, { nbf: now() + 120 }, API_SECRET), /not valid yet/],
    ['without exp', () => forged({ alg: 'HS256' }, { exp: undefined }, API_SECRET), /"exp" is required/],
    ['of a wrong secret', () => forged({ alg: 'HS256' }, {}, 'guess'), /wrong signature/],
    [
      "signed with another key's secret",
      () => forged({ alg: 'HS256' }, {}, 'another secret'),
      /wrong signature/,
    ],
    ['of an unknown key', () => forged({ alg: 'HS256' }, { iss: 'nobody' }, API_SECRET), /invalid API key/],
    ['alg none', () => forged({ alg: 'none' }, {}, undefined), /HS256|not a signed JWT/],
    [
      'without the grant',
      () => forged({ alg: 'HS256' }, { video: { roomJoin: true, room: 'demo' } }, API_SECRET),
      /^permissions denied$/,
    ],
    [
      'without any grant',
      () => forged({ alg: 'HS256' }, { video: undefined }, API_SECRET),
      /^permissions denied$/,
    ],
  ])('%s: 401 unauthenticated', async (_what, make, message) => {
    const bad = make();
    const answer = await call(bad === undefined ? {} : { auth: bad });
    expect(answer.status).toBe(401);
    expect(answer.contentType).toBe('application/json');
    expect(answer.json()).toEqual({ code: 'unauthenticated', msg: expect.stringMatching(message) as string });
  });

  it('another scheme is refused', async () => {
    const answer = await call({ headers: { ...JSON_TYPE, authorization: 'Basic ZGV2a2V5OnNlY3JldA==' } });
    expect(answer.json()).toMatchObject({
      code: 'unauthenticated',
      msg: expect.stringContaining('Bearer') as string,
    });
  });

  it('any of the keys, in the header or in the query', async () => {
    const other = await createAccessToken({
      key: 'other',
      secret: 'another secret',
      grants: { roomRecord: true },
    });
    expect((await call({ auth: other })).status).toBe(200);
    expect((await call({}, `?access_token=${other}`)).status).toBe(200);
  });

  it('the SDK sees status, code and message', async () => {
    const client = new RoomServiceClient(api.url, API_KEY, 'wrong secret');
    await expect(client.listRooms()).rejects.toMatchObject({
      status: 401,
      code: 'unauthenticated',
      message: expect.stringContaining('wrong signature') as string,
    });
  });
});

describe('statuses', () => {
  it('are those of the Twirp specification', () => {
    // https://twitchtv.github.io/twirp/docs/spec_v7.html#error-codes.
    expect(TWIRP_STATUS).toEqual({
      canceled: 408,
      unknown: 500,
      invalid_argument: 400,
      malformed: 400,
      deadline_exceeded: 408,
      not_found: 404,
      bad_route: 404,
      already_exists: 409,
      permission_denied: 403,
      unauthenticated: 401,
      resource_exhausted: 429,
      failed_precondition: 412,
      aborted: 409,
      out_of_range: 400,
      unimplemented: 501,
      internal: 500,
      unavailable: 503,
      data_loss: 500,
    });
  });
});
