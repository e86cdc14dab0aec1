/** What a CreateRoom wants recorded starts by itself; what its request names gets its webhooks checked. */
import {
  AutoParticipantEgress,
  AutoTrackEgress,
  DirectFileOutput,
  EncodedFileOutput,
  ParticipantInfo_Kind,
  RoomCompositeEgressRequest,
  RoomEgress,
  TrackSource,
  WebhookConfig,
} from '@livekit/protocol';
import { EgressClient, RoomServiceClient } from 'livekit-server-sdk';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { SfuParticipant } from '../../src/sfu/types.ts';
import { API_KEY, API_SECRET, startApi } from '../support/api.ts';
import type { TestApi } from '../support/api.ts';
import { RtpSender } from '../support/rtp-sender.ts';
import { recorder, visible } from '../support/sfu.ts';

let api: TestApi;
let rooms: RoomServiceClient;
let client: EgressClient;
const senders: RtpSender[] = [];

beforeAll(async () => {
  api = await startApi();
  rooms = new RoomServiceClient(api.url, API_KEY, API_SECRET);
  client = new EgressClient(api.url, API_KEY, API_SECRET);
});
afterAll(async () => {
  for (const sender of senders) sender.close();
  await api.stop();
});

async function publish(participant: SfuParticipant, kind: 'audio' | 'video'): Promise<string> {
  const sender = await RtpSender[kind](participant.room);
  senders.push(sender);
  const source = kind === 'audio' ? TrackSource.MICROPHONE : TrackSource.CAMERA;
  return participant.publish(sender.producer, { source }).sid;
}

const composite = (filepath: string) =>
  new RoomCompositeEgressRequest({ fileOutputs: [new EncodedFileOutput({ filepath })] });

/** What was started in a room, oldest first: the request's kind, and whom or what it is of. */
async function started(roomName: string): Promise<string[]> {
  const infos = await client.listEgress({ roomName });
  return infos.reverse().map(({ request: { case: kind, value } }) => {
    if (kind === 'participant') return `participant ${value.identity}`;
    if (kind === 'track') return `track ${value.trackId}`;
    return String(kind);
  });
}

describe('auto-egress', () => {
  it('records the room from its creation, and each participant and track when it is published', async () => {
    await rooms.createRoom({
      name: 'all',
      egress: new RoomEgress({
        room: composite('room'),
        participant: new AutoParticipantEgress({ fileOutputs: [new EncodedFileOutput({ filepath: 'p/' })] }),
        tracks: new AutoTrackEgress({ filepath: 't/{track_id}' }),
      }),
    });
    expect(await started('all')).toEqual(['roomComposite']);
    const room = api.sfu.room('all')!;
    const alice = room.join({ identity: 'alice', permissions: visible });
    room.join({ identity: 'watcher', permissions: visible });
    const agent = room.join({ identity: 'bot', kind: ParticipantInfo_Kind.AGENT, permissions: visible });
    room.join(recorder);
    const audio = await publish(alice, 'audio');
    const video = await publish(alice, 'video');
    await publish(agent, 'audio');
    await vi.waitFor(async () => {
      const found = await started('all');
      expect(found.slice(1).sort()).toEqual(['participant alice', `track ${audio}`, `track ${video}`].sort());
    });
    const [info] = await client.listEgress({ roomName: 'all', active: true });
    expect(info?.roomName).toBe('all');
  });

  it('begins once, however often the room is asked for', async () => {
    const wish = { name: 'once', egress: new RoomEgress({ room: composite('once') }) };
    await rooms.createRoom(wish);
    await rooms.createRoom(wish);
    expect(await started('once')).toEqual(['roomComposite']);
  });

  it('is gone with its room', async () => {
    await rooms.createRoom({
      name: 'again',
      egress: new RoomEgress({ tracks: new AutoTrackEgress({ filepath: 't/' }) }),
    });
    await rooms.deleteRoom('again');
    await rooms.createRoom({ name: 'again' });
    const alice = api.sfu.room('again')!.join({ identity: 'alice', permissions: visible });
    await publish(alice, 'audio');
    // What would be started is started within this call's answer.
    expect(await started('again')).toEqual([]);
  });

  it.each([
    ['a layout there is not', { room: new RoomCompositeEgressRequest({ layout: 'heap' }) }, /layout "heap"/],
    ['no output', { participant: new AutoParticipantEgress() }, /name at least one/],
    [
      'a storage that may not be reached',
      {
        tracks: new AutoTrackEgress({
          filepath: 't/',
          output: { case: 's3', value: { bucket: 'bucket', endpoint: 'http://10.9.9.9:9000' } },
        }),
      },
      /s3.endpoint/,
    ],
  ])('refuses %s, and creates no room', async (_, egress, message) => {
    await expect(rooms.createRoom({ name: 'wrong', egress: new RoomEgress(egress) })).rejects.toThrow(
      message,
    );
    expect(api.sfu.room('wrong')).toBeUndefined();
  });
});

describe('webhooks in a request', () => {
  const start = (webhook: Partial<WebhookConfig>) =>
    client.startRoomCompositeEgress(
      'hooks',
      { file: new EncodedFileOutput({ filepath: 'x' }) },
      { webhooks: [new WebhookConfig(webhook)] },
    );
  beforeAll(() => api.sfu.createRoom({ name: 'hooks' }));

  it('are taken, and shown without what may be secret in them', async () => {
    const { request } = await start({
      url: 'http://user:pass@127.0.0.1/hook?token=abcdefgh',
      signingKey: 'other',
    });
    const shown = request.case === 'roomComposite' ? request.value.webhooks[0] : undefined;
    expect(shown?.signingKey).toBe('other');
    expect(shown?.url).not.toMatch(/pass|abcdefgh/);
  });

  it.each([
    ['a key there is not', { url: 'http://127.0.0.1/', signingKey: 'stolen' }, /signing_key: it is none/],
    ['an address that may not be reached', { url: 'http://10.1.2.3/hook' }, /webhooks.url.*10\.0\.0\.0\/8/],
  ])('are refused with %s', async (_, webhook, message) => {
    await expect(start(webhook)).rejects.toThrow(message);
  });

  it('are for a track as for a room', async () => {
    const alice = api.sfu.room('hooks')!.join({ identity: 'alice', permissions: visible });
    const trackId = await publish(alice, 'audio');
    const output = new DirectFileOutput({ filepath: 't' });
    await expect(
      client.startTrackEgress('hooks', output, trackId, [new WebhookConfig({ url: 'nowhere' })]),
    ).rejects.toThrow(/webhooks.url/);
  });
});
