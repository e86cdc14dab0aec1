/** What the API takes and refuses of changes to an egress that runs, and what is kept of them. */
import { EgressInfo, EgressStatus, EncodedFileOutput, TrackSource } from '@livekit/protocol';
import { DirectFileOutput, EgressClient, StreamOutput } from 'livekit-server-sdk';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { planOfRecord } from '../../src/egress/plan/plan.ts';
import type { SfuRoom } from '../../src/sfu/types.ts';
import { API_KEY, API_SECRET, rawCall, startApi, token } from '../support/api.ts';
import type { TestApi } from '../support/api.ts';
import { RtpSender } from '../support/rtp-sender.ts';
import { visible } from '../support/sfu.ts';

let api: TestApi;
let client: EgressClient;
let room: SfuRoom;
let senders: RtpSender[];
let [audio, video, other]: string[] = [];
let composite: string;
let track: string;
let roomId: string;

beforeAll(async () => {
  api = await startApi();
  client = new EgressClient(api.url, API_KEY, API_SECRET);
  room = await api.sfu.createRoom({ name: 'demo' });
  const alice = room.join({ identity: 'alice', permissions: visible });
  const bob = room.join({ identity: 'bob', permissions: visible });
  senders = [await RtpSender.audio(room), await RtpSender.video(room), await RtpSender.video(room)];
  audio = alice.publish(senders[0]!.producer, { source: TrackSource.MICROPHONE }).sid;
  video = alice.publish(senders[1]!.producer, { source: TrackSource.CAMERA }).sid;
  other = bob.publish(senders[2]!.producer, { source: TrackSource.CAMERA }).sid;
  const file = new EncodedFileOutput({ filepath: 'a' });
  composite = (await client.startTrackCompositeEgress('demo', { file }, { videoTrackId: video })).egressId;
  track = (await client.startTrackEgress('demo', new DirectFileOutput({ filepath: 't' }), video)).egressId;
  roomId = (await client.startRoomCompositeEgress('demo', { file })).egressId;
});
afterAll(async () => {
  for (const sender of senders) sender.close();
  await api.stop();
});

async function call(method: string, body: unknown, grant = { roomRecord: true }) {
  const response = await fetch(`${api.url}/twirp/sluice.Egress/${method}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${await token(grant)}`, 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  return { status: response.status, body: (await response.json()) as Record<string, unknown> };
}

/** `400 invalid_argument: why` */
async function refused(method: string, body: unknown): Promise<string> {
  const answer = await call(method, body);
  expect(answer.status, JSON.stringify(answer.body)).not.toBe(200);
  return `${answer.status} ${String(answer.body.code)}: ${String(answer.body.msg)}`;
}

const desired = async (id: string) => (await api.store.get(id))!.desired;

describe('sluice.Egress, of an egress that runs', () => {
  it('keeps a pause, which asked for twice is one, and its end', async () => {
    expect((await call('PauseEgress', { egress_id: composite })).body.paused).toBe(true);
    const { revision, paused } = await desired(composite);
    expect(paused).toBe(true);
    await call('PauseEgress', { egressId: composite });
    expect((await desired(composite)).revision).toBe(revision);
    const answer = await call('ResumeEgress', { egress_id: composite });
    expect(answer.body.paused).toBe(false);
    expect(EgressInfo.fromJson(answer.body.egress as never).egressId).toBe(composite);
    expect((await desired(composite)).paused).toBe(false);
  });

  it('keeps markers, within the time of the egress', async () => {
    const { body } = await call('AddMarker', { egress_id: composite, label: 'here' });
    expect((await desired(composite)).markers).toEqual([
      { markerId: body.marker_id, atMs: body.at_ms, label: 'here' },
    ]);
    for (const at of [0, Date.now() + 60_000]) {
      expect(await refused('AddMarker', { egress_id: composite, at_ms: at })).toMatch(
        /^400 out_of_range: at_ms/,
      );
    }
    expect(await refused('AddMarker', { egress_id: composite, label: 'x'.repeat(257) })).toContain('label');
  });

  it('puts outputs behind those of the request, with storages of their own, and takes each away but the last', async () => {
    const secret = 's3cr3t-of-the-storage';
    const s3 = { bucket: 'bucket', access_key: 'k', secret };
    const { status, body } = await call('AddOutput', { egress_id: composite, file: { filepath: 'b', s3 } });
    expect([status, body.msg]).toEqual([200, undefined]);
    expect(JSON.stringify(body)).not.toContain(secret);
    const second = await call('AddOutput', {
      egress_id: composite,
      stream: { urls: ['rtmp://127.0.0.1:1/live/k3y-of-a-stream'] },
    });
    expect(JSON.stringify(second.body)).not.toContain('k3y-of-a-stream');
    const record = (await api.store.get(composite))!;
    const plan = planOfRecord(record);
    expect(plan.outputs.map(({ type }) => type)).toEqual(['file', 'file', 'stream']);
    expect(plan.spans!.map(({ outputId }) => outputId)).toEqual([
      ...['file', body.output_id, second.body.output_id],
    ]);
    expect(plan.outputs[1]).toMatchObject({ fileType: 'mp4', storage: 1 });
    expect(plan.storages[1]).toMatchObject({ type: 's3', s3: { bucket: 'bucket', secret } });
    expect(record.desired.streamUrls).toHaveLength(1);
    expect(await refused('RemoveOutput', { egress_id: composite, output_id: 'images' })).toBe(
      `404 not_found: the egress has no output images; it has file, ${String(body.output_id)}, ${String(second.body.output_id)}`,
    );
    await call('RemoveOutput', { egress_id: composite, output_id: second.body.output_id });
    expect((await desired(composite)).streamUrls).toEqual([]);
    await expect(client.updateStream(composite, ['rtmp://127.0.0.1:1/live/again'])).rejects.toMatchObject({
      code: 'failed_precondition',
      message: expect.stringContaining('its stream output was removed') as string,
    });
    expect(await refused('AddOutput', { egress_id: composite, stream: { urls: [] } })).toContain(
      'a removed stream cannot be added again',
    );
    expect((await desired(composite)).streamUrls).toEqual([]);
    await call('RemoveOutput', { egress_id: composite, output_id: 'file' });
    expect(await refused('RemoveOutput', { egress_id: composite, output_id: body.output_id })).toContain(
      '412 failed_precondition: it is the last output',
    );
  });

  it('makes a broadcast that is added of what it says itself, else the egress, else the configuration', async () => {
    const start = async (options: unknown) => {
      const room_composite = { room_name: 'demo', segment_outputs: [{ filename_prefix: 'own' }] };
      const { body } = await call('StartEgress', { room_composite, options });
      return String(body.egress_id);
    };
    const added = async (egress_id: string, hls?: unknown) => {
      const { status, body } = await call('AddOutput', {
        egress_id,
        segments: { filename_prefix: 'x' },
        hls,
      });
      expect([status, body.msg]).toEqual([200, undefined]);
      const output = planOfRecord((await api.store.get(egress_id))!).outputs.at(-1);
      return output?.type === 'segments' && [output.segmentType, output.lowLatency];
    };
    const plain = await start({});
    expect(await added(plain)).toEqual(['mpegts', false]);
    expect(await added(plain, { segment_type: 'fmp4' })).toEqual(['fmp4', false]);
    const fragmented = await start({ hls: { segment_type: 'fmp4' } });
    expect(await added(fragmented)).toEqual(['fmp4', false]);
    expect(await added(fragmented, { segment_type: 'mpegts' })).toEqual(['mpegts', false]);
    expect(await added(plain, { low_latency: true })).toEqual(['fmp4', true]);
    const low = await start({ hls: { low_latency: true } });
    expect(await added(low)).toEqual(['fmp4', true]);
    expect(await added(low, { segment_type: 'mpegts' })).toEqual(['mpegts', false]);
    for (const [hls, why] of [
      [{ low_latency: true, segment_type: 'mpegts' }, 'hls.segment_type: low latency is made of fMP4'],
      [{ part_duration: 0.3 }, 'hls.part_duration: only low latency has parts'],
      [{ low_latency: true, part_duration: 9 }, 'hls.part_duration'],
    ] as const)
      expect(await refused('AddOutput', { egress_id: plain, segments: {}, hls })).toContain(why);
    expect(await refused('AddOutput', { egress_id: plain, images: {}, hls: {} })).toContain(
      'hls: it is of segments alone',
    );
  });

  it('pauses a page that is streamed, and streams one that is paused', async () => {
    const page = 'http://127.0.0.1:1/';
    const stream = { urls: ['rtmp://127.0.0.1:1/live/k3y'] };
    const file = new EncodedFileOutput({ filepath: 'page' });
    const streamed = await client.startWebEgress(page, { file, stream: new StreamOutput(stream) });
    expect((await call('PauseEgress', { egress_id: streamed.egressId })).body.paused).toBe(true);
    const { egressId: egress_id } = await client.startWebEgress(page, { file });
    await call('PauseEgress', { egress_id });
    expect((await call('AddOutput', { egress_id, stream })).status).toBe(200);
  });

  it.each([
    [{}, 'exactly one of file, segments, stream, images'],
    [{ file: { filepath: 'x' }, images: {} }, 'exactly one of'],
    [{ file: { filepath: 'x', file_type: 'OGG' } }, 'goes into MP4, not ogg'],
    [{ file: 'x' }, 'file: it must be an object'],
    [{ segments: { segment_duration: 900 } }, 'segment_duration'],
    [{ stream: { urls: ['rtmp://10.0.0.1/live/k3y'] } }, 'outbound.allow_networks'],
    [
      { file: { filepath: 'x', s3: { bucket: 'bkt', endpoint: 'http://127.0.0.1:9' } } },
      'S3 bucket bkt: an endpoint of its own needs access_key and secret',
    ],
    [{ stream: { protocol: 'WEBSOCKET', urls: ['ws://127.0.0.1/x'] } }, 'a WebSocket cannot be added'],
    [{ files: [] }, 'files: there is no such field'],
  ])('refuses the output %j', async (output, why) => {
    const message = await refused('AddOutput', { egress_id: roomId, ...output });
    expect(message).toMatch(/^400 invalid_argument: /);
    expect(message).toContain(why);
    expect(message).not.toContain('k3y');
  });

  it('adds to a single track what is made of its own codec', async () => {
    expect(await refused('AddOutput', { egress_id: track, segments: { filename_prefix: 'x' } })).toContain(
      'codecs that go into files alone',
    );
    const { body } = await call('AddOutput', { egress_id: track, images: { filename_prefix: 'x' } });
    expect(body.output_id).toMatch(/^EO_/);
  });

  it('takes in tracks of the room and leaves others out', async () => {
    const both = { egress_id: composite, add_track_ids: [other], remove_track_ids: [video] };
    expect((await call('UpdateTracks', both)).body).toMatchObject({
      added_track_ids: [other],
      removed_track_ids: [video],
    });
    expect((await desired(composite)).trackRoles![other!]).toEqual({
      ...{ identity: 'bob', kind: 'video', source: 'camera' },
    });
    expect(await refused('UpdateTracks', { egress_id: composite, remove_track_ids: [other] })).toContain(
      'no track would be left',
    );
    // Of a room nothing is added but what was taken away.
    await call('UpdateTracks', { egress_id: roomId, remove_track_ids: [other] });
    expect(
      (await call('UpdateTracks', { egress_id: roomId, add_track_ids: [other, audio] })).body,
    ).toMatchObject({ added_track_ids: [], removed_track_ids: [] });
  });

  it('refuses tracks that are not there, that the egress has no place for, and egresses that take none', async () => {
    const update = (egress_id: string, ...add_track_ids: unknown[]) =>
      refused('UpdateTracks', { egress_id, add_track_ids });
    expect(await update(composite)).toContain('name at least one track');
    expect(await update(composite, 'TR_nobody')).toBe('404 not_found: track TR_nobody not found');
    expect(await update(composite, audio)).toContain('the egress was started without a sound');
    expect(await update(track, other)).toMatch(/^412 failed_precondition: .*one track in its own codec/);
  });

  it('needs the grant, JSON, and an egress that runs', async () => {
    expect((await call('PauseEgress', { egress_id: roomId }, { roomRecord: false })).status).toBe(401);
    const answer = await rawCall(`${api.url}/twirp/sluice.Egress/PauseEgress`, {
      auth: await token({ roomRecord: true }),
      headers: { 'content-type': 'application/protobuf' },
      body: new Uint8Array(0),
    });
    expect([answer.status, answer.json().msg]).toEqual([400, expect.stringContaining('JSON alone')]);
    await client.stopEgress(roomId);
    const status = EgressStatus[EgressStatus.EGRESS_ABORTED];
    expect(await refused('PauseEgress', { egress_id: roomId })).toBe(
      `412 failed_precondition: egress with status ${status} cannot be paused`,
    );
    expect(await refused('AddOutput', { egress_id: 'EG_none', file: {} })).toBe(
      '404 not_found: egress does not exist',
    );
  });
});
