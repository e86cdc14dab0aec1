import {
  AudioConfig,
  AudioRoute,
  EgressStatus,
  EncodedFileOutput,
  EncodedFileType,
  EncodingOptionsPreset,
  FileOutput,
  MediaSource,
  Output,
  ParticipantInfo_Kind,
  S3Upload,
  SegmentedFileOutput,
  StartEgressRequest,
  StreamInfo,
  StreamInfo_Status,
  StreamOutput,
  StreamProtocol,
  TrackSource,
} from '@livekit/protocol';
import type { EgressInfo } from '@livekit/protocol';
import { DirectFileOutput, EgressClient } from 'livekit-server-sdk';
import type { ListEgressOptions } from 'livekit-server-sdk';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { planOfRecord } from '../../src/egress/plan/plan.ts';
import type { SfuRoom } from '../../src/sfu/types.ts';
import { API_KEY, API_SECRET, rawCall, startApi, token } from '../support/api.ts';
import type { TestApi } from '../support/api.ts';
import { RtpSender } from '../support/rtp-sender.ts';
import { recorder, visible } from '../support/sfu.ts';

let api: TestApi;
let client: EgressClient;
let room: SfuRoom;
let senders: RtpSender[] = [];
let audioTrack: string;
let videoTrack: string;

beforeAll(async () => {
  api = await startApi();
  client = new EgressClient(api.url, API_KEY, API_SECRET);
  room = await api.sfu.createRoom({ name: 'demo' });
  const alice = room.join({ identity: 'alice', permissions: visible });
  senders = [await RtpSender.audio(room), await RtpSender.video(room)];
  audioTrack = alice.publish(senders[0]!.producer, { source: TrackSource.MICROPHONE }).sid;
  videoTrack = alice.publish(senders[1]!.producer, { source: TrackSource.CAMERA }).sid;
});
afterAll(async () => {
  for (const sender of senders) sender.close();
  await api.stop();
});

/** Every egress of a test, ended after it. */
const started: string[] = [];
async function start(call: Promise<EgressInfo>): Promise<EgressInfo> {
  const info = await call;
  started.push(info.egressId);
  return info;
}
afterEach(async () => {
  for (const egressId of started.splice(0)) await client.stopEgress(egressId).catch(() => undefined);
});

const file = () => new EncodedFileOutput({ fileType: EncodedFileType.MP4, filepath: 'rec/{room_name}.mp4' });
const streams = (...urls: string[]) => new StreamOutput({ protocol: StreamProtocol.RTMP, urls });

const refused = (call: Promise<unknown>) =>
  call.then(
    () => {
      throw new Error('the call was not refused');
    },
    (error: unknown) => error as { status: number; code?: string; message: string },
  );
const refusal = (status: number, code: string, message: string) => ({
  status,
  code,
  message: expect.stringContaining(message) as string,
});

/** What a worker does to an egress, as far as the API sees it. */
async function asWorker(info: EgressInfo, change: (info: EgressInfo) => void, revision = 0): Promise<void> {
  await api.store.begin(info.egressId, 1);
  const record = await api.store.get(info.egressId);
  change(record!.info);
  expect(await api.store.saveInfo(info.egressId, 1, record!.info, revision)).toBe(true);
}

describe('StartRoomCompositeEgress', () => {
  it('answers STARTING at once, and has stored and queued the job', async () => {
    const before = performance.now();
    const info = await start(client.startRoomCompositeEgress('demo', { file: file() }, { layout: 'grid' }));
    expect(performance.now() - before).toBeLessThan(1000);
    expect(info).toMatchObject({
      roomName: 'demo',
      roomId: room.sid,
      status: EgressStatus.EGRESS_STARTING,
      fileResults: [{ filename: 'rec/demo.mp4' }],
      request: { case: 'roomComposite', value: { roomName: 'demo', layout: 'grid' } },
      result: { case: 'file', value: { filename: 'rec/demo.mp4' } },
    });
    expect(info.egressId).toMatch(/^EG_\w{12}$/);
    expect(Number(info.startedAt / 1_000_000n)).toBeCloseTo(Date.now(), -4);

    const record = await api.store.get(info.egressId);
    expect(record).toMatchObject({ attempt: 0, bridgeUrl: 'ws://127.0.0.1:7880/bridge', roomName: 'demo' });
    expect(planOfRecord(record!).outputs).toEqual([
      { type: 'file', filepath: 'rec/{room_name}.mp4', fileType: 'mp4', disableManifest: false, storage: 0 },
    ]);
    expect(await api.queue.waiting()).toBe(1);
  });

  it('a bare output is sent by the SDK twice and made once', async () => {
    const info = await start(client.startRoomCompositeEgress('demo', file(), { layout: 'grid' }));
    expect(info.fileResults).toHaveLength(1);
    const record = await api.store.get(info.egressId);
    expect(planOfRecord(record!).outputs).toHaveLength(1);
  });

  it('takes every output at once, and shows no key of any', async () => {
    const s3 = new S3Upload({ bucket: 'bucket', accessKey: 'AKIDEXAMPLE', secret: 'sssecret' });
    const info = await start(
      client.startRoomCompositeEgress(
        'demo',
        {
          file: new EncodedFileOutput({ filepath: 'a', output: { case: 's3', value: s3 } }),
          segments: new SegmentedFileOutput({
            filenamePrefix: 'h/seg',
            playlistName: 'p.m3u8',
            livePlaylistName: 'l',
          }),
          stream: streams('rtmp://localhost/live/sekretkey1', 'rtmps://example.com/live/sekretkey2'),
        },
        { encodingOptions: EncodingOptionsPreset.H264_1080P_30 },
      ),
    );
    expect(info.streamResults.map(({ url }) => url)).toEqual([
      'rtmp://localhost/live/{sek...ey1}',
      'rtmps://example.com/live/{sek...ey2}',
    ]);
    expect(info.segmentResults).toMatchObject([{ playlistName: 'h/p.m3u8', livePlaylistName: 'h/l.m3u8' }]);
    expect(info.result.case).toBeUndefined();
    const [listed] = await client.listEgress({ egressId: info.egressId });
    for (const shown of [info, listed!]) {
      for (const secret of ['AKIDEXAMPLE', 'sssecret', 'sekretkey']) {
        expect(shown.toJsonString()).not.toContain(secret);
      }
    }
    // The worker gets them.
    const record = await api.store.get(info.egressId);
    const plan = planOfRecord(record!);
    expect(plan.storages).toMatchObject([{ type: 's3', s3: { secret: 'sssecret' } }, { type: 'default' }]);
    expect(plan.video).toMatchObject({ width: 1920, height: 1080 });
    expect(record!.desired.streamUrls).toEqual([
      'rtmp://localhost/live/sekretkey1',
      'rtmps://example.com/live/sekretkey2',
    ]);
  });

  it('of a room that is not there', async () => {
    expect(await refused(client.startRoomCompositeEgress('nobody', { file: file() }))).toMatchObject(
      refusal(404, 'not_found', 'requested room does not exist'),
    );
  });

  it('says what is wrong before it looks for the room', async () => {
    const bad = { stream: streams('http://example.com/app/sekretkey') };
    const error = await refused(client.startRoomCompositeEgress('nobody', bad));
    expect(error).toMatchObject(refusal(400, 'invalid_argument', 'invalid scheme'));
    expect(error.message).not.toContain('sekretkey');
    expect(
      await refused(client.startRoomCompositeEgress('demo', { file: file() }, { layout: 'spiral' })),
    ).toMatchObject(refusal(400, 'invalid_argument', 'there is no layout "spiral"'));
    expect(await client.listEgress({ active: true })).toEqual([]);
  });
});

describe('tracks', () => {
  it('are composed or copied', async () => {
    const info = await start(
      client.startTrackCompositeEgress(
        'demo',
        { file: file() },
        { audioTrackId: audioTrack, videoTrackId: videoTrack },
      ),
    );
    expect(info.request).toMatchObject({ case: 'trackComposite', value: { videoTrackId: videoTrack } });
    const record = await api.store.get(info.egressId);
    // The SDK sends no preset unless it is asked to.
    expect(planOfRecord(record!).choice).toEqual({ program: 'auto' });
  });

  it('one alone, of a kind the worker is told', async () => {
    const output = new DirectFileOutput({ filepath: 't/{track_id}' });
    for (const [trackId, kind] of [
      [audioTrack, 'audio'],
      [videoTrack, 'video'],
    ] as const) {
      const info = await start(client.startTrackEgress('demo', output, trackId));
      const record = await api.store.get(info.egressId);
      expect(record!.trackKind).toBe(kind);
      expect(planOfRecord(record!).source).toMatchObject({ [`${kind}TrackId`]: trackId });
    }
  });

  it('that are not there, or not of their kind', async () => {
    const output = new DirectFileOutput({ filepath: 't' });
    expect(await refused(client.startTrackEgress('demo', output, 'TR_nobody'))).toMatchObject(
      refusal(404, 'not_found', 'track TR_nobody not found'),
    );
    expect(await refused(client.startTrackEgress('nowhere', output, videoTrack))).toMatchObject(
      refusal(404, 'not_found', 'requested room does not exist'),
    );
    const swapped = { audioTrackId: videoTrack, videoTrackId: audioTrack };
    expect(await refused(client.startTrackCompositeEgress('demo', { file: file() }, swapped))).toMatchObject(
      refusal(400, 'invalid_argument', 'is a video track'),
    );
    expect(await refused(client.startTrackCompositeEgress('demo', { file: file() }, {}))).toMatchObject(
      refusal(400, 'invalid_argument', 'audio_track_id or video_track_id'),
    );
    expect(await refused(client.startTrackEgress('demo', 'wss://example.com', videoTrack))).toMatchObject(
      refusal(400, 'invalid_argument', 'websocket_url'),
    );
  });

  it('of a hidden participant are nobody’s to record', async () => {
    const hidden = room.join({
      identity: 'ghost',
      kind: ParticipantInfo_Kind.AGENT,
      permissions: { ...visible, hidden: true },
    });
    const sender = await RtpSender.video(room);
    try {
      const { sid } = hidden.publish(sender.producer, { source: TrackSource.CAMERA });
      expect(await refused(client.startTrackEgress('demo', new DirectFileOutput(), sid))).toMatchObject({
        status: 404,
      });
    } finally {
      sender.close();
      hidden.close('removed');
    }
  });
});

describe('StopEgress', () => {
  it('before a worker has it: ABORTED, and its job is gone', async () => {
    const { egressId } = await start(client.startRoomCompositeEgress('demo', { file: file() }));
    const waiting = await api.queue.waiting();
    expect(await client.stopEgress(egressId)).toMatchObject({
      status: EgressStatus.EGRESS_ABORTED,
      error: 'Stop called before pipeline could start',
      errorCode: 412,
      details: 'End reason: StopEgress API',
    });
    expect(await api.queue.waiting()).toBe(waiting - 1);
    expect(await api.store.begin(egressId, 1)).toBe(false);
    expect(await refused(client.stopEgress(egressId))).toMatchObject(
      refusal(412, 'failed_precondition', 'egress with status EGRESS_ABORTED cannot be stopped'),
    );
  });

  it('while it runs: ENDING, the worker is told, and asking twice is no error', async () => {
    const info = await start(client.startRoomCompositeEgress('demo', { file: file() }));
    await asWorker(info, (running) => (running.status = EgressStatus.EGRESS_ACTIVE));
    const told: (string | undefined)[] = [];
    const remove = api.store.onDesired(info.egressId, ({ stop }) => told.push(stop));
    try {
      for (let twice = 0; twice < 2; twice++) {
        expect(await client.stopEgress(info.egressId)).toMatchObject({
          status: EgressStatus.EGRESS_ENDING,
          details: 'End reason: StopEgress API',
        });
      }
      await expect.poll(() => told.at(-1)).toBe('StopEgress API');
    } finally {
      remove();
    }
    expect((await api.store.get(info.egressId))!.desired).toMatchObject({
      revision: 1,
      stop: 'StopEgress API',
    });

    await asWorker(info, (running) => (running.status = EgressStatus.EGRESS_COMPLETE), 1);
    expect(await refused(client.stopEgress(info.egressId))).toMatchObject(
      refusal(412, 'failed_precondition', 'egress with status EGRESS_COMPLETE cannot be stopped'),
    );
  });

  it.each(['EG_nobody', '', 'EG_%00', 'x'.repeat(1000)])('of %j is 404', async (egressId) => {
    expect(await refused(client.stopEgress(egressId))).toMatchObject(
      refusal(404, 'not_found', 'egress does not exist'),
    );
  });
});

describe('ListEgress', () => {
  it('by room, by id, active ones', async () => {
    const other = await api.sfu.createRoom({ name: 'other' });
    try {
      const one = await start(client.startRoomCompositeEgress('demo', { file: file() }));
      const two = await start(client.startRoomCompositeEgress('other', { file: file() }));
      const ids = async (options: ListEgressOptions) =>
        (await client.listEgress(options)).map(({ egressId }) => egressId);
      expect(await ids({ active: true })).toEqual([two.egressId, one.egressId]);
      expect(await ids({ roomName: 'other' })).toEqual([two.egressId]);
      expect(await ids({ egressId: one.egressId })).toEqual([one.egressId]);
      await client.stopEgress(two.egressId);
      expect(await ids({ active: true })).toEqual([one.egressId]);
      expect(await ids({ roomName: 'other', active: true })).toEqual([]);
      expect(await ids({ roomName: 'other' })).toEqual([two.egressId]);
      expect(await ids({})).toContain(two.egressId);
      const page = await rawCall(`${api.url}/twirp/livekit.Egress/ListEgress`, {
        auth: await token({ roomRecord: true }),
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ room_name: 'other', page_token: {} }),
      });
      expect(page.json()).toMatchObject({ items: [{ egress_id: two.egressId }] });
      expect(page.json()).not.toHaveProperty('next_page_token');
      expect(await refused(client.listEgress({ egressId: 'EG_nobody' }))).toMatchObject(
        refusal(404, 'not_found', 'egress does not exist'),
      );
    } finally {
      api.sfu.deleteRoom(other.name);
    }
  });
});

describe('UpdateStream', () => {
  const A = 'rtmp://localhost/live/aaaaaaaaa';
  const B = 'rtmp://localhost/live/bbbbbbbbb';

  async function running(): Promise<EgressInfo> {
    const info = await start(client.startRoomCompositeEgress('demo', { stream: streams(A) }));
    await asWorker(info, (active) => (active.status = EgressStatus.EGRESS_ACTIVE));
    return info;
  }

  it('adds and removes, and answers when the worker has done it', async () => {
    const info = await running();
    const remove = api.store.onDesired(info.egressId, (desired) => {
      void asWorker(
        info,
        (changed) => {
          changed.streamResults = desired.streamUrls.map(
            (url) => new StreamInfo({ url: `seen ${url.slice(-9)}`, status: StreamInfo_Status.ACTIVE }),
          );
        },
        desired.revision,
      );
    });
    try {
      const added = await client.updateStream(info.egressId, [B]);
      expect(added.streamResults.map(({ url }) => url)).toEqual(['seen aaaaaaaaa', 'seen bbbbbbbbb']);
      const left = await client.updateStream(info.egressId, undefined, [A]);
      expect(left.streamResults.map(({ url }) => url)).toEqual(['seen bbbbbbbbb']);
    } finally {
      remove();
    }
    expect((await api.store.get(info.egressId))!.desired).toEqual({ revision: 2, streamUrls: [B] });
  });

  it('answers also when the worker is slow, within seconds', async () => {
    const info = await running();
    const before = performance.now();
    const answer = await client.updateStream(info.egressId, [B]);
    expect(performance.now() - before).toBeGreaterThan(1500);
    expect(performance.now() - before).toBeLessThan(4000);
    expect(answer.status).toBe(EgressStatus.EGRESS_ACTIVE);
    expect((await api.store.get(info.egressId))!.desired.streamUrls).toEqual([A, B]);
  });

  it('before a worker has it, and of what is there already: no waiting', async () => {
    const { egressId } = await start(client.startRoomCompositeEgress('demo', { stream: streams(A) }));
    const before = performance.now();
    await client.updateStream(egressId, [B]);
    await client.updateStream(egressId, [A, B]);
    expect(performance.now() - before).toBeLessThan(1000);
    expect((await api.store.get(egressId))!.desired).toEqual({ revision: 1, streamUrls: [A, B] });
  });

  it('is all or nothing', async () => {
    const { egressId } = await start(client.startRoomCompositeEgress('demo', { stream: streams(A) }));
    const wrong: [string[], string[], ReturnType<typeof refusal>][] = [
      [[B], [`${A}z`], refusal(404, 'not_found', 'stream rtmp://localhost/live/{aaa...aaz} not found')],
      [[B, 'ftp://localhost/live'], [], refusal(400, 'invalid_argument', 'add_output_urls')],
      [[B, 'rtmp://localhost'], [], refusal(400, 'invalid_argument', 'rtmp urls must be of format')],
      [[], [], refusal(400, 'invalid_argument', 'name at least one URL')],
      [Array.from({ length: 16 }, (_, i) => `${B}${i}`), [], refusal(400, 'invalid_argument', 'at most 16')],
    ];
    for (const [add, remove, expected] of wrong) {
      expect(await refused(client.updateStream(egressId, add, remove))).toMatchObject(expected);
    }
    expect((await api.store.get(egressId))!.desired).toEqual({ revision: 0, streamUrls: [A] });
  });

  it('is refused from the moment a stop is asked for, as UpdateLayout is', async () => {
    const info = await running();
    await client.stopEgress(info.egressId);
    const stopped = refusal(412, 'failed_precondition', 'egress is being stopped and cannot be updated');
    expect(await refused(client.updateStream(info.egressId, [B]))).toMatchObject(stopped);
    expect(await refused(client.updateLayout(info.egressId, 'speaker'))).toMatchObject(stopped);
    const { desired } = (await api.store.get(info.egressId))!;
    expect([desired.streamUrls, desired.layout]).toEqual([[A], undefined]);
  });

  it('of what does not stream, has ended or never was', async () => {
    const { egressId } = await start(client.startRoomCompositeEgress('demo', { file: file() }));
    expect(await refused(client.updateStream(egressId, [B]))).toMatchObject(
      refusal(400, 'invalid_argument', 'UpdateStream called on non-streaming egress'),
    );
    await client.stopEgress(egressId);
    expect(await refused(client.updateStream(egressId, [B]))).toMatchObject(
      refusal(412, 'failed_precondition', 'egress with status EGRESS_ABORTED cannot be updated'),
    );
    expect(await refused(client.updateStream('EG_nobody', [B]))).toMatchObject(
      refusal(404, 'not_found', 'egress does not exist'),
    );
  });
});

describe('UpdateLayout', () => {
  it('wants the layout of the worker, and tells the recorder in its metadata', async () => {
    const { egressId } = await start(client.startRoomCompositeEgress('demo', { file: file() }));
    const member = room.join({ ...recorder, identity: egressId });
    try {
      const info = await client.updateLayout(egressId, 'speaker-light');
      expect(info).toMatchObject({ egressId, status: EgressStatus.EGRESS_STARTING });
      expect(JSON.parse(member.metadata)).toEqual({ layout: 'speaker-light' });
    } finally {
      member.close('client_left');
    }
    const desired = { revision: 1, streamUrls: [], layout: 'speaker-light' };
    expect((await api.store.get(egressId))!.desired).toEqual(desired);
    await client.updateLayout(egressId, 'speaker-light');
    expect((await api.store.get(egressId))!.desired).toEqual(desired);
  });

  it('refuses what is no layout, what has none, and what has ended', async () => {
    const { egressId } = await start(client.startRoomCompositeEgress('demo', { file: file() }));
    expect(await refused(client.updateLayout(egressId, 'spiral'))).toMatchObject(
      refusal(400, 'invalid_argument', 'there is no layout "spiral"'),
    );
    const heard = await start(client.startRoomCompositeEgress('demo', { file: file() }, { audioOnly: true }));
    expect(await refused(client.updateLayout(heard.egressId, 'grid'))).toMatchObject(
      refusal(400, 'invalid_argument', 'UpdateLayout called on an egress without a layout'),
    );
    await client.stopEgress(egressId);
    expect(await refused(client.updateLayout(egressId, 'grid'))).toMatchObject(
      refusal(412, 'failed_precondition', 'egress with status EGRESS_ABORTED cannot be updated'),
    );
    expect(await refused(client.updateLayout('EG_nobody', 'grid'))).toMatchObject(
      refusal(404, 'not_found', 'egress does not exist'),
    );
  });
});

describe('StartParticipantEgress', () => {
  it('may come before the participant, whose files have their names at once', async () => {
    const output = { file: new EncodedFileOutput({ filepath: '{publisher_identity}/{room_name}' }) };
    const info = await start(client.startParticipantEgress('demo', 'gina', output, { screenShare: true }));
    expect(info).toMatchObject({
      status: EgressStatus.EGRESS_STARTING,
      fileResults: [{ filename: 'gina/demo.mp4' }],
      request: { case: 'participant', value: { identity: 'gina', screenShare: true } },
    });
    // The SDK leaves encoding empty: what can be copied is.
    expect(planOfRecord((await api.store.get(info.egressId))!)).toMatchObject({
      source: { type: 'participant', identity: 'gina', screenShare: true },
      choice: { program: 'auto' },
    });
  });
});

describe('StartEgress', () => {
  const outputs = [new Output({ config: { case: 'file', value: new FileOutput({ filepath: 'v2' }) } })];
  const media = (source: ConstructorParameters<typeof MediaSource>[0]) =>
    new StartEgressRequest({
      roomName: 'demo',
      outputs,
      source: { case: 'media', value: new MediaSource(source) },
    });
  const heard = (trackId: string) =>
    new AudioConfig({ routes: [new AudioRoute({ match: { case: 'trackId', value: trackId } })] });

  it('of named tracks remembers whose they are', async () => {
    const info = await start(
      client.startEgress(
        media({ video: { case: 'videoTrackId', value: videoTrack }, audio: heard(audioTrack) }),
      ),
    );
    expect(info).toMatchObject({ request: { case: 'egress' }, fileResults: [{ filename: 'v2.mp4' }] });
    expect((await api.store.get(info.egressId))!.trackRoles).toEqual({
      [audioTrack]: { identity: 'alice', source: 'microphone', kind: 'audio' },
      [videoTrack]: { identity: 'alice', source: 'camera', kind: 'video' },
    });
  });

  it('says which track is not there, or of the wrong kind', async () => {
    expect(await refused(client.startEgress(media({ audio: heard('TR_nobody') })))).toMatchObject(
      refusal(404, 'not_found', 'track TR_nobody not found'),
    );
    expect(await refused(client.startEgress(media({ audio: heard(videoTrack) })))).toMatchObject(
      refusal(400, 'invalid_argument', 'is a video track'),
    );
    expect(await refused(client.startEgress(media({})))).toMatchObject(
      refusal(400, 'invalid_argument', 'media: name a picture'),
    );
  });
});

describe('sluice.Egress', () => {
  async function call(body: unknown, type = 'application/json') {
    const answer = await rawCall(`${api.url}/twirp/sluice.Egress/StartEgress`, {
      auth: await token({ roomRecord: true }),
      headers: { 'content-type': type },
      body: JSON.stringify(body),
    });
    return {
      status: answer.status,
      ...(answer.json() as { egress_id?: string; code?: string; msg?: string }),
    };
  }
  const request = { room_name: 'demo', fileOutputs: [{ filepath: 'own' }] };

  it('starts an egress with options of our own, which later attempts have too', async () => {
    const { egress_id: egressId, ...info } = await call({
      room_composite: request,
      options: { show_names: true },
    });
    expect(info).toMatchObject({ status: 'EGRESS_STARTING', file_results: [{ filename: 'own.mp4' }] });
    started.push(egressId!);
    expect(planOfRecord((await api.store.get(egressId!))!).options).toEqual({ show_names: true });
  });

  it.each<[string, unknown, number, string, RegExp]>([
    ['no request', {}, 400, 'invalid_argument', /give exactly one of room_composite, web/],
    ['two', { room_composite: request, start: request }, 400, 'invalid_argument', /exactly one/],
    ['an unknown request', { room: request }, 400, 'invalid_argument', /room: there is no such field/],
    [
      'an unknown option',
      { room_composite: request, options: { speed: 2 } },
      ...([400, 'invalid_argument', /options\.speed: there is no such option/] as const),
    ],
    [
      'an option of another type',
      { room_composite: request, options: { show_names: 'secret' } },
      ...([400, 'invalid_argument', /options\.show_names: (?!.*secret)/] as const),
    ],
    [
      'what is no message',
      { room_composite: { room_name: 7 } },
      400,
      'malformed',
      /RoomCompositeEgressRequest/,
    ],
    [
      'a room that is not there',
      { room_composite: { ...request, room_name: 'x' } },
      404,
      'not_found',
      /room/,
    ],
  ])('refuses %s', async (_what, body, status, code, message) => {
    expect(await call(body)).toMatchObject({
      ...{ status, code },
      msg: expect.stringMatching(message) as string,
    });
  });

  it('speaks JSON alone', async () => {
    expect((await call({}, 'application/protobuf')).status).toBeGreaterThanOrEqual(400);
  });
});

describe('grants', () => {
  it.each([
    'StartRoomCompositeEgress',
    'StartTrackCompositeEgress',
    'StartTrackEgress',
    'StartParticipantEgress',
    'StartWebEgress',
    'StartEgress',
    'ListEgress',
    'StopEgress',
    'UpdateLayout',
    'UpdateStream',
  ])('%s needs roomRecord', async (method) => {
    for (const grant of [{ roomAdmin: true, room: 'demo' }, { roomCreate: true }, { ingressAdmin: true }]) {
      const answer = await rawCall(`${api.url}/twirp/livekit.Egress/${method}`, {
        auth: await token(grant),
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ room_name: 'demo', egress_id: 'EG_1' }),
      });
      expect(answer.status).toBe(401);
      expect(answer.json()).toEqual({ code: 'unauthenticated', msg: 'permissions denied' });
    }
  });
});

describe('while Redis is away', () => {
  it('answers unavailable in time, and what came too late is not left STARTING', async () => {
    api.redis.pause();
    let late: Awaited<ReturnType<typeof refused>>;
    try {
      late = await refused(client.startRoomCompositeEgress('demo', { file: file() }));
    } finally {
      api.redis.resume();
    }
    expect(late).toMatchObject(refusal(503, 'unavailable', 'did not answer in time'));
    await expect
      .poll(async () =>
        (await client.listEgress({})).filter(({ status }) => status === EgressStatus.EGRESS_STARTING),
      )
      .toEqual([]);
  });
});
