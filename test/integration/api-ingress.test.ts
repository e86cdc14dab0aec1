import {
  CreateIngressRequest,
  IngressAudioEncodingPreset,
  IngressAudioOptions,
  IngressInfo,
  IngressInput,
  IngressState,
  IngressState_Status,
  IngressVideoEncodingPreset,
  IngressVideoOptions,
  ListIngressResponse,
  TrackSource,
} from '@livekit/protocol';
import { IngressClient } from 'livekit-server-sdk';
import type { CreateIngressOptions } from 'livekit-server-sdk';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { API_KEY, API_SECRET, rawCall, startApi, token } from '../support/api.ts';
import type { TestApi } from '../support/api.ts';

const { ENDPOINT_INACTIVE, ENDPOINT_BUFFERING, ENDPOINT_PUBLISHING, ENDPOINT_ERROR } = IngressState_Status;
const { RTMP_INPUT, WHIP_INPUT, URL_INPUT } = IngressInput;
const WHO = { roomName: 'demo', participantIdentity: 'obs' };
/** What the guard of the tests allows. */
const CAMERA = 'rtsp://admin:hunter22@127.0.0.1:554/stream1?token=abcdefghi';

let api: TestApi;
let client: IngressClient;

beforeAll(async () => {
  api = await startApi();
  client = new IngressClient(api.url, API_KEY, API_SECRET);
});
afterAll(async () => {
  await api.stop();
});
afterEach(async () => {
  for (const { ingressId } of await client.listIngress({})) await client.deleteIngress(ingressId);
});

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

/** A publisher of a push input, as far as the API sees it. */
async function publish({ ingressId }: IngressInfo): Promise<number> {
  const begun = await api.ingressStore.beginSession(
    ingressId,
    { resourceId: 'IR_1', source: { type: 'direct' }, bridgeUrl: '', startedAtMs: Date.now() },
    60_000,
  );
  if (typeof begun === 'string') throw new Error(begun);
  const state = new IngressState({ status: ENDPOINT_PUBLISHING, roomId: 'RM_1', resourceId: 'IR_1' });
  await api.ingressStore.saveState(ingressId, begun.attempt, state);
  return begun.attempt;
}

describe('CreateIngress', () => {
  it('of RTMP answers where to publish, and waits', async () => {
    const info = await client.createIngress(RTMP_INPUT, {
      ...WHO,
      name: 'stage',
      participantName: 'Stage',
      participantMetadata: '{"a":1}',
      audio: new IngressAudioOptions({
        source: TrackSource.SCREEN_SHARE_AUDIO,
        encodingOptions: { case: 'preset', value: IngressAudioEncodingPreset.OPUS_MONO_64KBS },
      }),
      video: new IngressVideoOptions({
        encodingOptions: { case: 'preset', value: IngressVideoEncodingPreset.H264_1080P_30FPS_1_LAYER },
      }),
    });
    expect(info).toMatchObject({
      name: 'stage',
      url: 'rtmp://127.0.0.1:1935/live',
      inputType: RTMP_INPUT,
      ...WHO,
      participantName: 'Stage',
      participantMetadata: '{"a":1}',
      reusable: true,
      state: { status: ENDPOINT_INACTIVE },
      audio: { source: TrackSource.SCREEN_SHARE_AUDIO, encodingOptions: { case: 'preset', value: 1 } },
      video: { encodingOptions: { case: 'preset', value: 4 } },
    });
    expect(info.ingressId).toMatch(/^IN_\w{12}$/);
    expect(info.streamKey).toMatch(/^[2-9A-HJ-NP-Za-km-z]{12}$/);
    const record = await api.ingressStore.byStreamKey(info.streamKey);
    expect(record?.info).toEqual(info);
    expect(record?.session).toBeUndefined();
    expect(await api.ingressQueue.waiting()).toBe(0);
  });

  it('makes another key each time', async () => {
    const infos = await Promise.all(Array.from({ length: 20 }, () => client.createIngress(RTMP_INPUT, WHO)));
    expect(new Set(infos.map(({ streamKey }) => streamKey)).size).toBe(20);
    expect(new Set(infos.map(({ ingressId }) => ingressId)).size).toBe(20);
  });

  it('of WHIP answers the WHIP URL, and does not transcode', async () => {
    const info = await client.createIngress(WHIP_INPUT, WHO);
    expect(info).toMatchObject({
      url: 'http://127.0.0.1:7880/whip',
      enableTranscoding: false,
      reusable: true,
    });
    expect(info.streamKey).not.toBe('');
  });

  it('of a URL begins at once: BUFFERING, a session, a job; and never shows a credential', async () => {
    const before = await api.ingressQueue.waiting();
    const info = await client.createIngress(URL_INPUT, { ...WHO, url: CAMERA });
    expect(info).toMatchObject({
      url: 'rtsp://{credentials}@127.0.0.1:554/stream1?token={...}',
      streamKey: '',
      reusable: false,
      state: { status: ENDPOINT_BUFFERING },
    });
    expect(info.state?.resourceId).toMatch(/^IR_\w{12}$/);
    expect(Number(info.state!.startedAt / 1_000_000n)).toBeCloseTo(Date.now(), -4);
    const record = await api.ingressStore.get(info.ingressId);
    expect(record).toMatchObject({
      sourceUrl: CAMERA,
      session: { source: { type: 'url' }, bridgeUrl: 'ws://127.0.0.1:7880/bridge' },
    });
    expect(record?.session?.resourceId).toBe(info.state?.resourceId);
    expect(await api.ingressQueue.waiting()).toBe(before + 1);
    expect(await api.ingressQueue.remove(info.ingressId, record!.session!.attempt)).toBe(true);
    const [listed] = await client.listIngress({ ingressId: info.ingressId });
    for (const shown of [info, listed!]) expect(shown.toJsonString()).not.toMatch(/hunter22|admin|abcdefghi/);
  });

  it.each<[string, IngressInput, Partial<CreateIngressOptions>, ReturnType<typeof refusal>]>([
    ['no URL', URL_INPUT, {}, refusal(400, 'invalid_argument', 'invalid ingress: missing URL parameter')],
    [
      'another scheme',
      URL_INPUT,
      { url: 'ftp://h/a' },
      refusal(400, 'invalid_argument', 'invalid url scheme ftp'),
    ],
    [
      'what may not be reached',
      URL_INPUT,
      { url: 'http://169.254.169.254/latest/meta-data' },
      refusal(403, 'permission_denied', 'ingress.allow_networks'),
    ],
    [
      'a private camera that is not listed',
      URL_INPUT,
      { url: 'rtsp://u:p@192.168.1.20/s' },
      refusal(403, 'permission_denied', '192.168.1.20'),
    ],
    [
      'a file',
      URL_INPUT,
      { url: 'file:///etc/passwd' },
      refusal(403, 'permission_denied', 'ingress.file_roots'),
    ],
    [
      'a name that is nobody',
      URL_INPUT,
      { url: 'http://nobody.invalid/a.mp4' },
      refusal(400, 'invalid_argument', 'nobody.invalid cannot be resolved'),
    ],
    [
      'a disabled URL',
      URL_INPUT,
      { url: CAMERA, enabled: false },
      refusal(400, 'invalid_argument', 'disabled'),
    ],
    ['no such type', 9 as never, {}, refusal(400, 'invalid_argument', 'invalid ingress type')],
    [
      'options that cannot be',
      WHIP_INPUT,
      {
        video: new IngressVideoOptions({
          encodingOptions: { case: 'preset', value: IngressVideoEncodingPreset.H264_720P_30FPS_3_LAYERS },
        }),
      },
      refusal(400, 'invalid_argument', 'video encoding options must be empty if transcoding is disabled'),
    ],
    [
      'a name that is too long',
      RTMP_INPUT,
      { participantName: 'x'.repeat(300) },
      refusal(400, 'invalid_argument', 'participant_name has 300 characters'),
    ],
  ])('refuses %s, and keeps nothing of it', async (_, input, options, expected) => {
    expect(await refused(client.createIngress(input, { ...WHO, ...options }))).toMatchObject(expected);
    expect(await client.listIngress({})).toEqual([]);
  });
});

describe('ListIngress', () => {
  it('lists all, those of a room, or one', async () => {
    const a = await client.createIngress(RTMP_INPUT, WHO);
    const b = await client.createIngress(WHIP_INPUT, { ...WHO, roomName: 'other' });
    const ids = (infos: IngressInfo[]) => infos.map(({ ingressId }) => ingressId).toSorted();
    expect(ids(await client.listIngress({}))).toEqual([a.ingressId, b.ingressId].toSorted());
    expect(ids(await client.listIngress({ roomName: 'other' }))).toEqual([b.ingressId]);
    expect(ids(await client.listIngress({ roomName: 'nobody' }))).toEqual([]);
    expect(ids(await client.listIngress({ ingressId: a.ingressId }))).toEqual([a.ingressId]);
    expect(await refused(client.listIngress({ ingressId: 'IN_none' }))).toMatchObject(
      refusal(404, 'not_found', 'ingress does not exist'),
    );
  });

  it('shows the state a worker has written', async () => {
    const info = await client.createIngress(RTMP_INPUT, WHO);
    await publish(info);
    const metrics = await fetch(`${api.url}/metrics`);
    expect(await metrics.text()).toContain('\nsluice_ingress_sessions 1\n');
    const [listed] = await client.listIngress({});
    expect(listed?.state).toMatchObject({ status: ENDPOINT_PUBLISHING, roomId: 'RM_1', resourceId: 'IR_1' });
  });
});

describe('UpdateIngress', () => {
  it('changes what is said, also while somebody publishes', async () => {
    const info = await client.createIngress(RTMP_INPUT, { ...WHO, name: 'a' });
    await publish(info);
    const updated = await client.updateIngress(info.ingressId, {
      name: 'b',
      roomName: 'other',
      participantName: 'B',
      enabled: false,
    });
    expect(updated).toMatchObject({
      name: 'b',
      roomName: 'other',
      participantIdentity: 'obs',
      participantName: 'B',
      enabled: false,
      streamKey: info.streamKey,
      state: { status: ENDPOINT_PUBLISHING },
    });
    expect(await client.listIngress({ roomName: 'other' })).toEqual([updated]);
  });

  it('takes an error of the past back', async () => {
    const info = await client.createIngress(RTMP_INPUT, WHO);
    const attempt = await publish(info);
    const error = new IngressState({ status: ENDPOINT_ERROR, error: 'no media' });
    await api.ingressStore.endSession(info.ingressId, attempt, error);
    const updated = await client.updateIngress(info.ingressId, { name: 'again' });
    expect(updated.state?.status).toBe(ENDPOINT_INACTIVE);
  });

  it('refuses what LiveKit refuses', async () => {
    const url = await client.createIngress(URL_INPUT, { ...WHO, url: CAMERA });
    expect(await refused(client.updateIngress(url.ingressId, { name: 'x' }))).toMatchObject(
      refusal(400, 'invalid_argument', 'ingress is not reusable and cannot be modified'),
    );
    expect(await refused(client.updateIngress('IN_none', { name: 'x' }))).toMatchObject(
      refusal(404, 'not_found', 'ingress does not exist'),
    );
    const whip = await client.createIngress(WHIP_INPUT, WHO);
    const video = new IngressVideoOptions({
      encodingOptions: { case: 'preset', value: IngressVideoEncodingPreset.H264_720P_30FPS_3_LAYERS },
    });
    expect(await refused(client.updateIngress(whip.ingressId, { name: '', video }))).toMatchObject(
      refusal(400, 'invalid_argument', 'video encoding options must be empty'),
    );
    expect(
      (await client.updateIngress(whip.ingressId, { name: '', video, enableTranscoding: true }))
        .enableTranscoding,
    ).toBe(true);
  });
});

describe('DeleteIngress', () => {
  it('answers what it was, INACTIVE, and its key is nobody’s', async () => {
    const info = await client.createIngress(RTMP_INPUT, WHO);
    const attempt = await publish(info);
    const deleted = await client.deleteIngress(info.ingressId);
    expect(deleted).toMatchObject({ ingressId: info.ingressId, state: { status: ENDPOINT_INACTIVE } });
    expect(await api.ingressStore.byStreamKey(info.streamKey)).toBeUndefined();
    expect(await api.ingressStore.begin(info.ingressId, attempt)).toBe(false);
    expect(await refused(client.deleteIngress(info.ingressId))).toMatchObject(
      refusal(404, 'not_found', 'ingress does not exist'),
    );
  });
});

describe('on the wire', () => {
  const call = async (method: string, body: unknown, auth?: string) =>
    rawCall(`${api.url}/twirp/livekit.Ingress/${method}`, {
      auth: auth ?? (await token({ ingressAdmin: true })),
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });

  it('takes protobuf and answers it', async () => {
    const request = new CreateIngressRequest({ ...WHO, inputType: WHIP_INPUT, enableTranscoding: true });
    const created = await rawCall(`${api.url}/twirp/livekit.Ingress/CreateIngress`, {
      auth: await token({ ingressAdmin: true }),
      headers: { 'content-type': 'application/protobuf' },
      body: Buffer.from(request.toBinary()),
    });
    expect([created.status, created.contentType]).toEqual([200, 'application/protobuf']);
    expect(IngressInfo.fromBinary(created.bytes)).toMatchObject({
      enableTranscoding: true,
      inputType: WHIP_INPUT,
    });
    const listed = await rawCall(`${api.url}/twirp/livekit.Ingress/ListIngress`, {
      auth: await token({ ingressAdmin: true }),
      headers: { 'content-type': 'application/protobuf' },
      body: Buffer.alloc(0),
    });
    expect(ListIngressResponse.fromBinary(listed.bytes).items).toHaveLength(1);
  });

  it('takes JSON of either spelling, and answers in snake_case', async () => {
    const created = await call('CreateIngress', {
      input_type: 'RTMP_INPUT',
      room_name: 'demo',
      participantIdentity: 'obs',
      a_field_of_the_future: 1,
    });
    expect(created.status).toBe(200);
    expect(created.json()).toMatchObject({
      ingress_id: expect.stringMatching(/^IN_/) as string,
      stream_key: expect.stringMatching(/./) as string,
      input_type: 'RTMP_INPUT',
      room_name: 'demo',
      state: { status: 'ENDPOINT_INACTIVE', started_at: '0' },
    });
    expect(created.json()).not.toHaveProperty('enable_transcoding');
  });

  it('wants grant ingressAdmin for each', async () => {
    const without = await token({ roomAdmin: true, room: 'demo', roomCreate: true, roomRecord: true });
    for (const method of ['CreateIngress', 'UpdateIngress', 'ListIngress', 'DeleteIngress']) {
      const answer = await call(method, {}, without);
      expect([method, answer.status, answer.json()]).toEqual([
        method,
        401,
        { code: 'unauthenticated', msg: 'permissions denied' },
      ]);
    }
  });

  it('refuses pages, which are not there', async () => {
    const answer = await call('ListIngress', { page_token: { token: 'abc' } });
    expect([answer.status, answer.json().code]).toEqual([501, 'unimplemented']);
  });
});

describe('while Redis is away', () => {
  it('answers unavailable in time, and what came too late does not stay', async () => {
    api.redis.pause();
    let late: Awaited<ReturnType<typeof refused>>[];
    try {
      late = await Promise.all([
        refused(client.createIngress(RTMP_INPUT, WHO)),
        refused(client.createIngress(URL_INPUT, { ...WHO, url: CAMERA })),
        refused(client.listIngress({})),
      ]);
    } finally {
      api.redis.resume();
    }
    for (const each of late)
      expect(each).toMatchObject(refusal(503, 'unavailable', 'did not answer in time'));
    await expect.poll(() => client.listIngress({})).toEqual([]);
  });
});
