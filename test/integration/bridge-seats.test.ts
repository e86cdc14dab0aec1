/** Ingresses whose worker goes keep their seat in the room; the next attempt takes it. */
import { setTimeout as sleep } from 'node:timers/promises';
import { ParticipantInfo_Kind } from '@livekit/protocol';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { BridgeClient } from '../../src/bridge/client.ts';
import { BridgeCloseCode } from '../../src/bridge/protocol.ts';
import { ClientLog, startBridge } from '../support/bridge.ts';
import type { TestBridge } from '../support/bridge.ts';
import { EventLog, until, visible } from '../support/sfu.ts';

const SEAT_MS = 400;
const INGRESS = { canPublish: true, canSubscribe: false };
const IDENTITY = 'camera';

let bridge: TestBridge;
let r: string;
let rooms = 0;
beforeAll(async () => {
  bridge = await startBridge(100, SEAT_MS);
});
afterAll(() => bridge.close());
beforeEach(() => {
  r = `seats-${++rooms}`;
});
afterEach(() => {
  for (const room of bridge.sfu.rooms()) bridge.sfu.deleteRoom(room.name);
  bridge.lost.length = 0;
});

function publish(client: BridgeClient) {
  return client.request('publish', {
    kind: 'audio',
    source: 'microphone',
    name: '',
    ip: '127.0.0.1',
    port: 9,
    rtpParameters: {
      codecs: [
        {
          mimeType: 'audio/opus',
          payloadType: 111,
          clockRate: 48_000,
          channels: 2,
          parameters: {},
          rtcpFeedback: [],
        },
      ],
      encodings: [{ ssrc: 1234 }],
      cname: 'c',
    },
  });
}

/** An ingress in a room with a track, and what happens there from now on. */
async function ingress(attempt = 1) {
  const client = await bridge.connect(IDENTITY, r, attempt, INGRESS);
  await publish(client);
  const room = bridge.sfu.room(r)!;
  const participant = room.participants.get(IDENTITY)!;
  expect(participant.tracks.size).toBe(1);
  const [track] = [...participant.tracks.values()];
  return { client, room, participant, track: track!, events: new EventLog(room) };
}

describe('the seat of an ingress', () => {
  it('stays without tracks when its worker is lost, and the next attempt publishes from it', async () => {
    const { client, room, participant, track, events } = await ingress();
    client.close();
    await until('the loss', () => bridge.lost.length > 0);
    expect(bridge.lost).toEqual([{ identity: IDENTITY, roomName: r, attempt: 1 }]);
    expect(bridge.lostKinds.at(-1)).toBe(ParticipantInfo_Kind.INGRESS);
    expect(track.producer.closed).toBe(true);
    expect(bridge.bridge.isJoined(IDENTITY, 1)).toBe(false);

    const next = await bridge.connect(IDENTITY, r, 2, INGRESS);
    expect(next.joined.participantId).toBe(participant.sid);
    await publish(next);
    await sleep(SEAT_MS + 200);
    expect(participant.closed).toBe(false);
    expect(room.participants.get(IDENTITY)).toBe(participant);
    expect(participant.tracks.size).toBe(1);
    expect(events.types).toEqual(['track_unpublished', 'track_published']);
    // The one who has taken it over is heard when it is lost in turn.
    next.close();
    await until('the second loss', () => bridge.lost.length === 2);
    expect(bridge.lost[1]).toMatchObject({ attempt: 2 });
  });

  it('is given up when nobody comes', async () => {
    const { client, room, participant, events } = await ingress();
    client.close();
    await until('the end of the seat', () => participant.closed, SEAT_MS + 2000);
    expect(room.participants.size).toBe(0);
    expect(events.types).toEqual(['track_unpublished', 'participant_left']);
    expect(events.events.at(-1)).toMatchObject({ reason: 'connection_lost' });
    const next = await bridge.connect(IDENTITY, r, 2, INGRESS);
    expect(next.joined.participantId).not.toBe(participant.sid);
    expect(bridge.lost).toHaveLength(1);
  });

  it('stays for a worker that hands over, and only for the attempt after it', async () => {
    const { client, participant, events } = await ingress(5);
    const log = new ClientLog(client);
    await client.leave({ keepSeat: true });
    expect(log.closed?.code).toBe(BridgeCloseCode.left);
    expect(participant.closed).toBe(false);
    expect(participant.tracks.size).toBe(0);
    await expect(bridge.connect(IDENTITY, r, 5, INGRESS)).rejects.toMatchObject({ code: 'superseded' });
    const next = await bridge.connect(IDENTITY, r, 6, INGRESS);
    expect(next.joined.participantId).toBe(participant.sid);
    expect(events.types).toEqual(['track_unpublished']);
    expect(bridge.lost).toEqual([]);
  });

  it('goes over to a newer attempt before the loss of the old one is noticed', async () => {
    const { client, participant, track, events } = await ingress();
    const log = new ClientLog(client);
    const next = await bridge.connect(IDENTITY, r, 2, INGRESS);
    expect(next.joined.participantId).toBe(participant.sid);
    await until('the old one to be told', () => log.closed !== undefined);
    expect(log.closed?.code).toBe(BridgeCloseCode.superseded);
    expect(track.producer.closed).toBe(true);
    await publish(next);
    await sleep(SEAT_MS + 100);
    expect(events.types).toEqual(['track_unpublished', 'track_published']);
    expect(bridge.lost).toEqual([]);
    await expect(bridge.connect(IDENTITY, r, 1, INGRESS)).rejects.toMatchObject({ code: 'superseded' });
  });

  it('ends with the room, by removal, and when somebody else takes the identity', async () => {
    const deleted = await ingress();
    deleted.client.close();
    await until('the loss', () => bridge.lost.length === 1);
    bridge.sfu.deleteRoom(r);
    expect(deleted.participant.closed).toBe(true);

    r = `${r}-removed`;
    const removed = await ingress();
    removed.client.close();
    await until('the loss', () => bridge.lost.length === 2);
    removed.participant.close('removed');
    const next = await bridge.connect(IDENTITY, r, 2, INGRESS);
    expect(next.joined.participantId).not.toBe(removed.participant.sid);

    r = `${r}-taken`;
    const taken = await ingress();
    taken.client.close();
    await until('the loss', () => bridge.lost.length === 3);
    const other = taken.room.join({ identity: IDENTITY, permissions: visible });
    expect(taken.participant.closed).toBe(true);
    await sleep(SEAT_MS + 100);
    expect(other.closed).toBe(false);
  });

  it('is not kept for anybody else: a recorder and a plain publisher leave with their workers', async () => {
    const room = await bridge.sfu.createRoom({ name: r });
    const recorder = await bridge.connect('EG_1', r);
    recorder.close();
    await until('the loss', () => bridge.lost.length === 1);
    expect(room.participants.size).toBe(0);
    expect(bridge.lostKinds.at(-1)).toBe(ParticipantInfo_Kind.EGRESS);
  });

  it('takes the newer name and metadata', async () => {
    const { client, participant, events } = await ingress();
    client.close();
    await until('the loss', () => bridge.lost.length === 1);
    await bridge.connect(IDENTITY, r, 2, INGRESS, { name: 'Gate 2', metadata: '{"gate":2}' });
    expect([participant.name, participant.metadata]).toEqual(['Gate 2', '{"gate":2}']);
    expect(events.types).toEqual(['track_unpublished', 'participant_updated']);
  });
});
