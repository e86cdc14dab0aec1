/** What a worker's token opens: one attempt at one job in one room, for a minute, and no other door. */
import type { AddressInfo } from 'node:net';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { ParticipantInfo_Kind } from '@livekit/protocol';
import { RoomServiceClient } from 'livekit-server-sdk';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { RoomService } from '../../src/api/room-service.ts';
import { buildHttp } from '../../src/api/server.ts';
import { participantGrant, workerGrant } from '../../src/auth/grants.ts';
import { createAccessToken } from '../../src/auth/token.ts';
import type { TokenGrants, TokenOptions } from '../../src/auth/token.ts';
import { TokenVerifier, tokenFromRequest } from '../../src/auth/verify.ts';
import { connectBridge } from '../../src/bridge/client.ts';
import type { BridgeClient } from '../../src/bridge/client.ts';
import { BridgeCloseCode } from '../../src/bridge/protocol.ts';
import { createBridge } from '../../src/bridge/server.ts';
import type { Bridge } from '../../src/bridge/server.ts';
import type { SfuNode } from '../../src/sfu/sfu.ts';
import { whepPlugin } from '../../src/signaling/whep.ts';
import { whipPlugin } from '../../src/signaling/whip.ts';
import { freePort } from '../support/ports.ts';
import { offerOf } from '../support/offers.ts';
import { silentLogger, startSfu } from '../support/sfu.ts';

const OLD = { key: 'old', secret: 'the-old-secret-of-32-characters!' };
const NEW = { key: 'new', secret: 'the-new-secret-of-32-characters!' };
const GONE = { key: 'gone', secret: 'a-secret-that-was-taken-away-now' };

let sfu: SfuNode;
let bridge: Bridge;
let app: FastifyInstance;
let url: string;
const clients: BridgeClient[] = [];

beforeAll(async () => {
  sfu = await startSfu();
  const verifier = new TokenVerifier({ [NEW.key]: NEW.secret, [OLD.key]: OLD.secret });
  bridge = createBridge({
    sfu,
    authenticate: async (token = '') => workerGrant(await verifier.verify(token, 'bridge')),
    onLost: () => undefined,
    media: { listenIp: '127.0.0.1' },
    logger: silentLogger,
  });
  const signaling = {
    sfu,
    logger: silentLogger,
    iceServers: () => [],
    authenticate: async ({ headers }: FastifyRequest) =>
      participantGrant(
        await verifier.verify(tokenFromRequest(headers.authorization, new URLSearchParams()) ?? ''),
      ),
  };
  app = buildHttp({
    ...{ logger: silentLogger, verifier, services: [new RoomService(sfu)] },
    health: async () => ({ ok: true }),
    plugins: [
      async (app) => {
        await app.register(whipPlugin, signaling);
      },
      async (app) => {
        await app.register(whepPlugin, signaling);
      },
    ],
    upgrades: { '/bridge': (...upgrade) => bridge.handleUpgrade(...upgrade) },
  });
  await app.listen({ host: '127.0.0.1', port: 0 });
  url = `127.0.0.1:${(app.server.address() as AddressInfo).port}`;
  for (const name of ['a', 'b']) await sfu.createRoom({ name });
});
afterAll(async () => {
  for (const client of clients) client.close();
  await bridge.close();
  await app.close();
  await sfu.close();
});

const EGRESS: TokenGrants = { roomJoin: true, canPublish: false, canSubscribe: true, hidden: true };
const workerToken = (room: string, more: Partial<TokenOptions> = {}) =>
  createAccessToken({
    ...{ ...NEW, identity: 'EG_1', ttl: 60, kind: ParticipantInfo_Kind.EGRESS },
    grants: { ...EGRESS, room },
    job: { door: 'bridge', id: 'EG_1', attempt: 3 },
    ...more,
  });
const join = async (token: string, attempt = 3) => {
  const client = await connectBridge({ url: `ws://${url}/bridge`, token, attempt, logger: silentLogger });
  clients.push(client);
  return client;
};
const refused = { code: 'closed', closeCode: BridgeCloseCode.refused };

describe('a worker’s token', () => {
  it('opens its own room, and nothing of another one', async () => {
    const publisher = await join(
      await workerToken('b', {
        ...{ identity: 'camera', kind: ParticipantInfo_Kind.INGRESS },
        grants: { roomJoin: true, room: 'b', canPublish: true, canSubscribe: false },
      }),
    );
    const { trackId } = await publisher.request('publish', {
      ...{ kind: 'audio', source: 'microphone', name: 'sound', ip: '127.0.0.1', port: await freePort() },
      rtpParameters: {
        ...{ mid: '0', encodings: [{ ssrc: 1234 }], cname: 'camera' },
        codecs: [
          {
            ...{ mimeType: 'audio/opus', payloadType: 111, clockRate: 48_000, channels: 2 },
            ...{ parameters: {}, rtcpFeedback: [] },
          },
        ],
      },
    });
    const worker = await join(await workerToken('a'));
    expect(worker.joined.room.name).toBe('a');
    await expect(
      worker.request('subscribe', { trackId, ip: '127.0.0.1', port: await freePort() }),
    ).rejects.toMatchObject({ code: 'not_found' });
  });

  it('opens no other attempt', async () => {
    const token = await workerToken('a', { identity: 'EG_2' });
    await expect(join(token, 4)).rejects.toMatchObject({ code: 'not_allowed' });
    await expect(join(token, 2)).rejects.toMatchObject({ code: 'not_allowed' });
    await expect(join(token, 3)).resolves.toBeDefined();
  });

  it('is over after its minute, and the one for clocks that differ', async () => {
    const made = Date.now() - 121_000;
    const now = vi.spyOn(Date, 'now').mockReturnValue(made);
    const token = await workerToken('a', { identity: 'EG_3' });
    now.mockRestore();
    await expect(join(token)).rejects.toMatchObject(refused);
  });

  it('opens neither the API nor WHIP nor WHEP nor the relay, whatever it grants', async () => {
    const everything = { roomList: true, roomCreate: true, roomAdmin: true, canPublish: true };
    const token = await workerToken('a', { grants: { ...EGRESS, room: 'a', ...everything } });
    const ask = (path: string, type: string, body: string) =>
      fetch(`http://${url}${path}`, {
        method: 'POST',
        headers: { authorization: `Bearer ${token}`, 'content-type': type },
        body,
      });
    const call = await ask('/twirp/livekit.RoomService/ListRooms', 'application/json', '{}');
    expect(call.status).toBe(401);
    expect(await call.json()).toMatchObject({ msg: expect.stringContaining("a worker's") as string });
    const offer = offerOf('chromium-156-send');
    expect((await ask('/whip', 'application/sdp', offer)).status).toBe(401);
    expect((await ask('/whep', 'application/sdp', offer)).status).toBe(401);
    expect(sfu.room('a')?.participants.get('EG_1')?.permissions.hidden).toBe(true);

    const relay = await workerToken('a', { job: { door: 'relay', id: 'IR_1', attempt: 3 } });
    await expect(join(relay)).rejects.toMatchObject(refused);
  });

  it('is the only one that opens the bridge: a participant’s does not', async () => {
    const grants = { roomJoin: true, room: 'a', canPublish: true, canSubscribe: true };
    const participant = await createAccessToken({ ...NEW, identity: 'eve', grants });
    await expect(join(participant)).rejects.toMatchObject(refused);
  });
});

describe('rotating keys', () => {
  it('the old and the new key are good at once, and a key that was removed is not, at any door', async () => {
    const list = (pair: typeof OLD) =>
      new RoomServiceClient(`http://${url}`, pair.key, pair.secret).listRooms();
    await expect(list(NEW)).resolves.toHaveLength(2);
    await expect(list(OLD)).resolves.toHaveLength(2);
    await expect(list(GONE)).rejects.toMatchObject({ status: 401 });
    // The new key's name with the old one's secret is neither.
    await expect(list({ key: NEW.key, secret: OLD.secret })).rejects.toMatchObject({ status: 401 });

    await expect(join(await workerToken('a', { ...OLD, identity: 'EG_5' }))).resolves.toBeDefined();
    await expect(join(await workerToken('a', { ...GONE, identity: 'EG_6' }))).rejects.toMatchObject(refused);
  });
});
