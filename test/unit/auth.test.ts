import { createHmac } from 'node:crypto';
import { AccessToken, TokenVerifier as SdkVerifier } from 'livekit-server-sdk';
import { ParticipantInfo_Kind, TrackSource } from '@livekit/protocol';
import { SignJWT } from 'jose';
import { describe, expect, it } from 'vitest';
import { AuthError } from '../../src/auth/errors.ts';
import { participantGrant, requireGrant, requireRoomAdmin } from '../../src/auth/grants.ts';
import { createAccessToken } from '../../src/auth/token.ts';
import { TokenVerifier, tokenFromRequest } from '../../src/auth/verify.ts';

const KEY = 'devkey';
const SECRET = 'secret';
const verifier = new TokenVerifier({ [KEY]: SECRET, other: 'another secret' });
const now = () => Math.floor(Date.now() / 1000);

/** A token with any header and payload, signed right unless `signature` says otherwise. */
function raw(header: unknown, payload: unknown, secret = SECRET, signature?: string): string {
  const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const head = `${part(header)}.${part(payload)}`;
  return `${head}.${signature ?? createHmac('sha256', secret).update(head).digest('base64url')}`;
}

const HS256 = { alg: 'HS256', typ: 'JWT' };
const good = () => ({ iss: KEY, exp: now() + 60, video: { roomRecord: true } });

describe('TokenVerifier', () => {
  it("accepts the SDK's participant token, with its defaults", async () => {
    const token = new AccessToken(KEY, SECRET, {
      identity: 'alice',
      name: 'Alice',
      metadata: '{"a":1}',
      attributes: { seat: '4' },
    });
    token.addGrant({ roomJoin: true, room: 'demo' });
    const grant = participantGrant(await verifier.verify(await token.toJwt()));
    expect(grant).toEqual({
      identity: 'alice',
      name: 'Alice',
      metadata: '{"a":1}',
      attributes: { seat: '4' },
      kind: ParticipantInfo_Kind.STANDARD,
      roomName: 'demo',
      permissions: {
        canPublish: true,
        canSubscribe: true,
        canPublishData: true,
        canPublishSources: [],
        hidden: false,
        recorder: false,
      },
    });
  });

  it('accepts a service token that has only video, iss, exp and nbf, and ignores unknown claims', async () => {
    const claims = await verifier.verify(
      raw(HS256, { ...good(), nbf: now(), video: { roomRecord: true, new: 7 }, inference: {} }),
    );
    expect(claims.apiKey).toBe(KEY);
    expect(claims.identity).toBe('');
    expect(() => requireGrant(claims, 'roomRecord')).not.toThrow();
    expect(() => requireGrant(claims, 'roomList')).toThrow(AuthError);
  });

  it('takes the identity from jti when there is no sub', async () => {
    expect((await verifier.verify(raw(HS256, { ...good(), jti: 'old' }))).identity).toBe('old');
  });

  it.each([
    ['alg none, no signature', () => raw({ alg: 'none' }, good(), SECRET, ''), /HS256|not a signed JWT/],
    ['alg none, signed', () => raw({ alg: 'none' }, good()), /HS256/],
    [
      'HS512',
      () => new SignJWT(good()).setProtectedHeader({ alg: 'HS512' }).sign(new TextEncoder().encode(SECRET)),
      /HS256/,
    ],
    ['a wrong secret', () => raw(HS256, good(), 'guess'), /wrong signature/],
    ["another key's secret", () => raw(HS256, good(), 'another secret'), /wrong signature/],
    ['an unknown API key', () => raw(HS256, { ...good(), iss: 'nobody' }), /invalid API key/],
    [
      'a key that is a property of objects',
      () => raw(HS256, { ...good(), iss: 'constructor' }),
      /invalid API key/,
    ],
    ['no iss', () => raw(HS256, { exp: now() + 60 }), /invalid API key/],
    ['expired over the leeway', () => raw(HS256, { ...good(), exp: now() - 70 }), /expired/],
    ['no exp', () => raw(HS256, { iss: KEY, video: { roomRecord: true } }), /"exp" is required/],
    ['exp that is text', () => raw(HS256, { ...good(), exp: 'tomorrow' }), /"exp" is required/],
    ['not valid yet', () => raw(HS256, { ...good(), nbf: now() + 90 }), /not valid yet/],
    [
      'a grant of a wrong type',
      () => raw(HS256, { ...good(), video: { roomRecord: 'yes' } }),
      /claim "video.roomRecord"/,
    ],
    [
      'attributes that are not text',
      () => raw(HS256, { ...good(), attributes: { a: 1 } }),
      /claim "attributes.a"/,
    ],
    ['no JWT at all', () => 'abc', /not a signed JWT/],
    ['three empty parts', () => '..', /not a signed JWT/],
    ['a payload that is a list', () => raw(HS256, []), /not a signed JWT|invalid API key/],
    ['megabytes', () => raw(HS256, { ...good(), name: 'x'.repeat(100_000) }), /too long/],
  ])('refuses %s', async (_what, make, message) => {
    const token = await make();
    const error = await verifier.verify(token).then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    expect(error).toBeInstanceOf(AuthError);
    expect(error).toMatchObject({ code: 'unauthenticated' });
    expect((error as AuthError).message).toMatch(message);
    if (token.length > 10) expect((error as AuthError).message).not.toContain(token);
  });

  it('gives a minute of leeway to exp and nbf', async () => {
    await expect(verifier.verify(raw(HS256, { ...good(), exp: now() - 30 }))).resolves.toBeDefined();
    await expect(verifier.verify(raw(HS256, { ...good(), nbf: now() + 30 }))).resolves.toBeDefined();
  });
});

describe('grants', () => {
  const claims = (video: object, more: object = {}) =>
    verifier.verify(raw(HS256, { iss: KEY, exp: now() + 60, sub: 'bob', video, ...more }));

  it('roomAdmin counts for its own room only', async () => {
    const admin = await claims({ roomAdmin: true, room: 'a' });
    expect(() => requireRoomAdmin(admin, 'a')).not.toThrow();
    expect(() => requireRoomAdmin(admin, 'b')).toThrow('permissions denied');
    expect(() => requireRoomAdmin(admin, '')).toThrow('permissions denied');
    const member = await claims({ roomJoin: true, room: 'a' });
    expect(() => requireRoomAdmin(member, 'a')).toThrow('permissions denied');
  });

  it('reads what a participant may do', async () => {
    const { permissions, kind } = participantGrant(
      await claims(
        {
          roomJoin: true,
          room: 'a',
          canSubscribe: false,
          canPublishSources: ['camera', 'screen_share', 'telepathy'],
          hidden: true,
          recorder: true,
        },
        { kind: 'egress' },
      ),
    );
    expect(kind).toBe(ParticipantInfo_Kind.EGRESS);
    expect(permissions).toEqual({
      canPublish: true,
      canSubscribe: false,
      canPublishData: true,
      canPublishSources: [TrackSource.CAMERA, TrackSource.SCREEN_SHARE, TrackSource.UNKNOWN],
      hidden: true,
      recorder: true,
    });
  });

  it('without canPublish there is no data either, unless it is granted', async () => {
    const of = async (video: object) =>
      participantGrant(await claims({ roomJoin: true, room: 'a', ...video })).permissions.canPublishData;
    expect(await of({ canPublish: false })).toBe(false);
    expect(await of({ canPublish: false, canPublishData: true })).toBe(true);
  });

  it.each([
    ['no roomJoin', { room: 'a' }, {}, 'permission_denied'],
    ['no video claim', undefined, {}, 'permission_denied'],
    ['no room', { roomJoin: true }, {}, 'unauthenticated'],
    ['no identity', { roomJoin: true, room: 'a' }, { sub: '' }, 'unauthenticated'],
  ])('does not let in with %s', async (_what, video, more, code) => {
    const token = await verifier.verify(
      raw(HS256, { iss: KEY, exp: now() + 60, sub: 'bob', video, ...more }),
    );
    expect(() => participantGrant(token)).toThrow(expect.objectContaining({ code }));
  });

  it('a kind or source named like a method of objects is no kind', async () => {
    expect(participantGrant(await claims({ roomJoin: true, room: 'a' }, { kind: 'toString' })).kind).toBe(0);
    expect(participantGrant(await claims({ roomJoin: true, room: 'a' }, { kind: '2' })).kind).toBe(0);
  });
});

describe('createAccessToken', () => {
  it("makes what the SDK's TokenVerifier accepts", async () => {
    const token = await createAccessToken({
      key: KEY,
      secret: SECRET,
      identity: 'EG_1',
      grants: { roomJoin: true, room: 'demo', hidden: true, recorder: true, canPublish: false },
      ttl: 90,
      kind: ParticipantInfo_Kind.EGRESS,
      attributes: { a: 'b' },
    });
    const claims = await new SdkVerifier(KEY, SECRET).verify(token);
    expect(claims).toMatchObject({
      sub: 'EG_1',
      kind: 'egress',
      attributes: { a: 'b' },
      video: { roomJoin: true, room: 'demo', hidden: true, recorder: true, canPublish: false },
    });
    expect(claims.exp).toBeGreaterThan(now() + 80);
    expect(claims.exp).toBeLessThanOrEqual(now() + 91);
    expect(participantGrant(await verifier.verify(token))).toMatchObject({
      identity: 'EG_1',
      kind: ParticipantInfo_Kind.EGRESS,
      permissions: { hidden: true, recorder: true, canPublish: false, canPublishData: false },
    });
  });

  it.each([
    [{ key: '', secret: SECRET, grants: {} }, /API key/],
    [{ key: KEY, secret: '', grants: {} }, /secret/],
    [{ key: KEY, secret: SECRET, grants: {}, ttl: 0 }, /ttl/],
    [{ key: KEY, secret: SECRET, grants: {}, ttl: Number.NaN }, /ttl/],
    [{ key: KEY, secret: SECRET, grants: { roomJoin: true, room: 'a' } }, /identity/],
    [{ key: KEY, secret: SECRET, identity: 'a', grants: { roomJoin: true } }, /room/],
  ])('refuses %j', async (options, message) => {
    await expect(createAccessToken(options)).rejects.toThrow(message);
  });
});

describe('tokenFromRequest', () => {
  const none = new URLSearchParams();
  it('reads the header, then the query', () => {
    expect(tokenFromRequest('Bearer abc', new URLSearchParams('access_token=q'))).toBe('abc');
    expect(tokenFromRequest('bearer abc', none)).toBe('abc');
    expect(tokenFromRequest(undefined, new URLSearchParams('access_token=q'))).toBe('q');
    expect(tokenFromRequest(undefined, none)).toBeUndefined();
    expect(tokenFromRequest('', new URLSearchParams('access_token='))).toBeUndefined();
  });
  it('refuses another scheme', () => {
    for (const header of ['Basic abc', 'abc', 'Bearer', 'Bearer  ']) {
      expect(() => tokenFromRequest(header, none)).toThrow('must be "Bearer "');
    }
  });
});
