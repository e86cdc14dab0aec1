import { DataPacket_Kind, ParticipantInfo_Kind, ParticipantPermission, TrackSource } from '@livekit/protocol';
import { RoomServiceClient } from 'livekit-server-sdk';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { SfuParticipant } from '../../src/sfu/types.ts';
import { API_KEY, API_SECRET, rawCall, startApi, token } from '../support/api.ts';
import type { TestApi } from '../support/api.ts';
import { RtpSender } from '../support/rtp-sender.ts';
import { recorder, visible } from '../support/sfu.ts';

let api: TestApi;
let client: RoomServiceClient;
const senders: RtpSender[] = [];

beforeAll(async () => {
  api = await startApi();
  client = new RoomServiceClient(api.url, API_KEY, API_SECRET);
});
afterEach(() => {
  for (const sender of senders.splice(0)) sender.close();
  for (const room of api.sfu.rooms()) api.sfu.deleteRoom(room.name);
});
afterAll(() => api.stop());

const refused = (call: Promise<unknown>) =>
  call.then(
    () => {
      throw new Error('the call was not refused');
    },
    (error: unknown) => error as { status: number; code?: string; message: string },
  );

async function camera(participant: SfuParticipant) {
  const sender = await RtpSender.video(participant.room);
  senders.push(sender);
  return participant.publish(sender.producer, { source: TrackSource.CAMERA, name: 'cam' });
}

describe('rooms', () => {
  it('are created, found, changed and deleted', async () => {
    const created = await client.createRoom({
      name: 'a',
      emptyTimeout: 77,
      departureTimeout: 33,
      maxParticipants: 5,
      metadata: 'hello',
    });
    expect(created).toMatchObject({
      name: 'a',
      emptyTimeout: 77,
      departureTimeout: 33,
      maxParticipants: 5,
      metadata: 'hello',
      numParticipants: 0,
    });
    expect(created.sid).toMatch(/^RM_\w{12}$/);
    expect(created.creationTime).toBeGreaterThan(0n);
    await client.createRoom({ name: 'b' });

    // Again: the same room.
    expect((await client.createRoom({ name: 'a' })).sid).toBe(created.sid);
    expect((await client.listRooms()).map(({ name }) => name).sort()).toEqual(['a', 'b']);
    expect((await client.listRooms(['b', 'nobody'])).map(({ name }) => name)).toEqual(['b']);
    expect(await client.listRooms(['nobody'])).toEqual([]);

    expect((await client.updateRoomMetadata('a', 'changed')).metadata).toBe('changed');
    expect((await client.listRooms(['a']))[0]?.metadata).toBe('changed');

    await client.deleteRoom('a');
    expect((await client.listRooms()).map(({ name }) => name)).toEqual(['b']);
  });

  it("have LiveKit's timeouts when none are named", async () => {
    expect(await client.createRoom({ name: 'a' })).toMatchObject({ emptyTimeout: 300, departureTimeout: 20 });
  });

  it.each([
    ['DeleteRoom', () => client.deleteRoom('nobody')],
    ['UpdateRoomMetadata', () => client.updateRoomMetadata('nobody', 'x')],
  ])('%s of one that is not there is 404', async (_what, call) => {
    expect(await refused(call())).toMatchObject({
      status: 404,
      code: 'not_found',
      message: expect.stringContaining('requested room does not exist') as string,
    });
  });

  it.each([
    ['no name', { name: '' }, 400, 'invalid_argument', /room name/],
    ['a name too long', { name: 'x'.repeat(300) }, 400, 'invalid_argument', /256/],
    ['agents', { name: 'a', agents: [{ agentName: 'x' }] }, 501, 'unimplemented', /agents/],
    ['a preset', { name: 'a', roomPreset: 'x' }, 501, 'unimplemented', /room_preset/],
    ['a node', { name: 'a', nodeId: 'x' }, 501, 'unimplemented', /node_id/],
    ['playout delay', { name: 'a', minPlayoutDelay: 5 }, 501, 'unimplemented', /min_playout_delay/],
    ['streams in sync', { name: 'a', syncStreams: true }, 501, 'unimplemented', /sync_streams/],
    ['an egress without an output', { name: 'a', egress: { room: {} } }, 400, 'invalid_argument', /output/],
    ['metadata too long', { name: 'a', metadata: 'x'.repeat(70_000) }, 400, 'invalid_argument', /metadata/],
  ])('%s is refused', async (_what, body, status, code, message) => {
    const answer = await rawCall(`${api.url}/twirp/livekit.RoomService/CreateRoom`, {
      auth: await token({ roomCreate: true }),
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    expect(answer.status).toBe(status);
    expect(answer.json()).toMatchObject({ code, msg: expect.stringMatching(message) as string });
    expect(api.sfu.rooms()).toEqual([]);
  });

  it('an empty egress asks for nothing', async () => {
    const answer = await rawCall(`${api.url}/twirp/livekit.RoomService/CreateRoom`, {
      auth: await token({ roomCreate: true }),
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ name: 'a', egress: {} }),
    });
    expect(answer.status).toBe(200);
  });
});

describe('participants', () => {
  async function roomWith(...identities: string[]) {
    const room = await api.sfu.createRoom({ name: 'demo' });
    return identities.map((identity) =>
      room.join({
        identity,
        name: identity.toUpperCase(),
        metadata: 'm',
        attributes: { a: '1', b: '2' },
        permissions: visible,
      }),
    );
  }

  it('are listed, recorders are not', async () => {
    const [alice] = await roomWith('alice', 'bob');
    api.sfu.room('demo')?.join(recorder);
    const track = await camera(alice!);
    const listed = await client.listParticipants('demo');
    expect(listed.map(({ identity }) => identity).sort()).toEqual(['alice', 'bob']);
    expect((await client.listRooms(['demo']))[0]?.numParticipants).toBe(2);

    const got = await client.getParticipant('demo', 'alice');
    expect(got).toMatchObject({
      sid: alice!.sid,
      name: 'ALICE',
      metadata: 'm',
      kind: ParticipantInfo_Kind.STANDARD,
      attributes: { a: '1', b: '2' },
    });
    expect(got.tracks).toMatchObject([
      { sid: track.sid, name: 'cam', source: TrackSource.CAMERA, muted: false },
    ]);
    expect(await refused(client.getParticipant('demo', recorder.identity))).toMatchObject({ status: 404 });
  });

  it('of a room that is not there are none', async () => {
    expect(await client.listParticipants('nobody')).toEqual([]);
  });

  it('are removed, recorders too', async () => {
    const [alice] = await roomWith('alice');
    const egress = api.sfu.room('demo')!.join(recorder);
    const reasons: string[] = [];
    alice!.onClose((reason) => reasons.push(reason));
    egress.onClose((reason) => reasons.push(reason));
    await client.removeParticipant('demo', 'alice');
    await client.removeParticipant('demo', recorder.identity);
    expect(reasons).toEqual(['removed', 'removed']);
    expect(await client.listParticipants('demo')).toEqual([]);
  });

  it('are muted and unmuted', async () => {
    const [alice] = await roomWith('alice');
    const track = await camera(alice!);
    expect(await client.mutePublishedTrack('demo', 'alice', track.sid, true)).toMatchObject({
      sid: track.sid,
      muted: true,
    });
    expect(track.producer.paused).toBe(true);
    expect(await client.mutePublishedTrack('demo', 'alice', track.sid, false)).toMatchObject({
      muted: false,
    });
    expect(track.producer.paused).toBe(false);
    expect(await refused(client.mutePublishedTrack('demo', 'alice', 'TR_nobody', true))).toMatchObject({
      status: 404,
      code: 'not_found',
      message: expect.stringContaining('track is not found') as string,
    });
  });

  it('are updated: what is not named stays', async () => {
    const [alice] = await roomWith('alice');
    const updated = await client.updateParticipant('demo', 'alice', {
      metadata: 'new',
      attributes: { b: '', c: '3' },
    });
    expect(updated).toMatchObject({ name: 'ALICE', metadata: 'new' });
    expect(updated.attributes).toEqual({ a: '1', c: '3' });
    expect(await client.updateParticipant('demo', 'alice', { name: 'Al' })).toMatchObject({
      name: 'Al',
      metadata: 'new',
    });
    expect(alice!.permissions.canPublish).toBe(true);
  });

  it('lose their tracks with the permission to publish', async () => {
    const [alice] = await roomWith('alice');
    await camera(alice!);
    const permission = new ParticipantPermission({
      canPublish: false,
      canSubscribe: true,
      canPublishData: true,
    });
    const updated = await client.updateParticipant('demo', 'alice', { permission });
    expect(updated.permission).toMatchObject({ canPublish: false, canSubscribe: true, canPublishData: true });
    expect(updated.tracks).toEqual([]);
  });

  it('do not become hidden or recorders', async () => {
    await roomWith('alice');
    for (const field of ['hidden', 'recorder', 'canUpdateMetadata'] as const) {
      const permission = new ParticipantPermission({ canPublish: true, [field]: true });
      expect(await refused(client.updateParticipant('demo', 'alice', { permission }))).toMatchObject({
        status: 501,
        code: 'unimplemented',
      });
    }
  });

  it.each([
    ['GetParticipant', () => client.getParticipant('demo', 'nobody')],
    ['RemoveParticipant', () => client.removeParticipant('demo', 'nobody')],
    ['MutePublishedTrack', () => client.mutePublishedTrack('demo', 'nobody', 'TR_1', true)],
    ['UpdateParticipant', () => client.updateParticipant('demo', 'nobody', { metadata: 'x' })],
    ['GetParticipant in no room', () => client.getParticipant('nowhere', 'nobody')],
  ])('%s of nobody is 404', async (_what, call) => {
    await roomWith('alice');
    expect(await refused(call())).toMatchObject({
      status: 404,
      code: 'not_found',
      message: expect.stringContaining('participant does not exist') as string,
    });
  });

  it.each([
    ['UpdateSubscriptions', () => client.updateSubscriptions('demo', 'alice', ['TR_1'], true)],
    ['SendData', () => client.sendData('demo', new Uint8Array([1]), DataPacket_Kind.RELIABLE, {})],
    ['ForwardParticipant', () => client.forwardParticipant('demo', 'alice', 'other')],
    ['MoveParticipant', () => client.moveParticipant('demo', 'alice', 'other')],
  ])('%s is not there yet, and says so', async (name, call) => {
    expect(await refused(call())).toMatchObject({
      status: 501,
      code: 'unimplemented',
      message: expect.stringContaining(`RoomService.${name} is not implemented`) as string,
    });
  });
});

describe('grants', () => {
  const admin = { roomAdmin: true, room: 'demo' };
  const body = { room: 'demo', identity: 'alice', name: 'demo', names: [] };

  it.each([
    ['CreateRoom', { roomCreate: true }, [{ roomList: true }, admin, { roomRecord: true }]],
    ['ListRooms', { roomList: true }, [{ roomCreate: true }, admin]],
    ['DeleteRoom', { roomCreate: true }, [admin, { roomList: true }]],
    [
      'ListParticipants',
      admin,
      [{ roomAdmin: true, room: 'other' }, { roomJoin: true, room: 'demo' }, { roomCreate: true }],
    ],
    ['GetParticipant', admin, [{ roomAdmin: true, room: 'other' }, { roomAdmin: true }]],
    ['RemoveParticipant', admin, [{ roomAdmin: true, room: 'other' }]],
    ['MutePublishedTrack', admin, [{ roomAdmin: true, room: 'other' }]],
    ['UpdateParticipant', admin, [{ roomAdmin: true, room: 'other' }]],
    ['UpdateRoomMetadata', admin, [{ roomAdmin: true, room: 'other' }, { roomCreate: true }]],
  ])('%s', async (method, right, wrong) => {
    const call = async (grant: object) =>
      rawCall(`${api.url}/twirp/livekit.RoomService/${method}`, {
        auth: await token(grant),
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
      });
    for (const grant of wrong) {
      const answer = await call(grant);
      expect(answer.status).toBe(401);
      expect(answer.json()).toEqual({ code: 'unauthenticated', msg: 'permissions denied' });
    }
    expect((await call(right)).status).not.toBe(401);
  });
});
