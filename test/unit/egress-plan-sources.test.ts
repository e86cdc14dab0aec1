/** What participant, web and v2's requests become: sources, storages of their outputs, PASSTHROUGH. */
import {
  AudioMixing,
  ParticipantEgressRequest,
  RoomCompositeEgressRequest,
  StartEgressRequest,
} from '@livekit/protocol';
import type { JsonValue } from '@bufbuild/protobuf';
import { describe, expect, it } from 'vitest';
import { echoed } from '../../src/egress/request/echo.ts';
import { loadOptions, parseOptions, storeOptions } from '../../src/egress/request/options.ts';
import { planEgress, planOfRecord } from '../../src/egress/plan/plan.ts';
import { storeRequest } from '../../src/egress/request/types.ts';
import { initialInfo } from '../../src/egress/info.ts';
import { refusalOf } from '../support/refusal.ts';

const egressId = 'EG_test';
const file = { file: { filepath: 'a.mp4' } };
const start = (more: Record<string, JsonValue>) =>
  StartEgressRequest.fromJson({ roomName: 'demo', outputs: [file], ...more });
const plan = (request: Parameters<typeof planEgress>[0]) => planEgress(request, { egressId });

describe('a participant', () => {
  const participant = (more: Record<string, JsonValue> = {}) =>
    ParticipantEgressRequest.fromJson({
      ...{ roomName: 'demo', identity: 'gina', fileOutputs: [{ filepath: '{publisher_identity}/{time}' }] },
      ...more,
    });

  it('is copied where possible, unless encoding is asked for', () => {
    expect(plan(participant({ screenShare: true }))).toMatchObject({
      source: { type: 'participant', identity: 'gina', screenShare: true },
      choice: { program: 'auto' },
      video: { width: 1280 },
      audio: { codec: 'aac' },
    });
    expect(plan(participant({ preset: 'H264_1080P_30' })).choice).toEqual({ program: 'composite' });
  });

  it('gives its files their names at once', () => {
    const request = participant();
    const info = initialInfo(request, plan(request), { roomId: 'RM_1', createdAtMs: 0 });
    expect(info.fileResults[0]?.filename).toBe('gina/1970-01-01T000000.mp4');
    const unnamed = participant({ fileOutputs: [{ filepath: 'r/' }] });
    expect(
      initialInfo(unnamed, plan(unnamed), { roomId: 'RM_1', createdAtMs: 0 }).fileResults[0]?.filename,
    ).toBe('r/gina-1970-01-01T000000.mp4');
  });

  it('has to be named', () => {
    expect(refusalOf(() => plan(participant({ identity: '' })))).toMatchObject({
      code: 'invalid_argument',
      field: 'identity',
    });
  });
});

describe('StartEgress', () => {
  it('takes a template as a room', () => {
    const request = start({
      template: { layout: 'speaker', audioOnly: false },
      advanced: { width: 640, height: 360 },
    });
    expect(plan(request)).toMatchObject({
      source: { type: 'room', layout: 'speaker', audioMixing: 'default' },
      choice: { program: 'composite' },
      video: { width: 640, height: 360 },
    });
  });

  it('takes one picture, and sound by rules', () => {
    const request = start({
      media: {
        participantVideo: { identity: 'gina', preferScreenShare: true },
        audio: {
          captureAll: true,
          routes: [
            { trackId: 'TR_A', channel: 'AUDIO_CHANNEL_LEFT' },
            { participantIdentity: 'gina', channel: 'AUDIO_CHANNEL_RIGHT' },
            { participantKind: 'AGENT', channel: 'AUDIO_CHANNEL_BOTH' },
          ],
        },
      },
    });
    expect(plan(request)).toMatchObject({
      source: {
        type: 'media',
        video: { identity: 'gina', preferScreenShare: true },
        audio: {
          captureAll: true,
          routes: [
            { trackId: 'TR_A', channel: 'left' },
            { identity: 'gina', channel: 'right' },
            { kind: 'agent', channel: 'both' },
          ],
        },
      },
      choice: { program: 'auto' },
    });
    expect(planOfRecord({ egressId, ...storeRequest(request), trackKind: undefined })).toEqual(plan(request));
    expect(plan(start({ media: { audio: { captureAll: true } } }))).toMatchObject({ video: null });
    expect(plan(start({ media: { videoTrackId: 'TR_V' } }))).toMatchObject({ audio: null });
  });

  it("stores each output where it says, else where the request says, else in the server's own", () => {
    const s3 = (bucket: string) => ({ s3: { bucket, accessKey: 'AK', secret: 'SK' } });
    const { outputs, storages } = plan(
      start({
        template: {},
        storage: s3('common'),
        outputs: [
          { ...file, storage: s3('own') },
          { segments: { filenamePrefix: 'seg' } },
          { images: { filenamePrefix: 'img' }, storage: s3('own') },
        ],
      }),
    );
    const buckets = outputs.map((output) => {
      const storage = 'storage' in output ? storages[output.storage] : undefined;
      return storage?.type === 's3' ? storage.s3.bucket : undefined;
    });
    expect(buckets).toEqual(['own', 'common', 'own']);
    expect(plan(start({ template: {} })).storages).toEqual([{ type: 'default' }]);
  });

  it('copies one track with PASSTHROUGH', () => {
    const preset = 'PASSTHROUGH';
    expect(plan(start({ preset, media: { videoTrackId: 'TR_V' } }))).toMatchObject({
      source: { type: 'tracks', audioTrackId: undefined, videoTrackId: 'TR_V' },
      choice: { program: 'auto' },
      audio: null,
      outputs: [{ type: 'file', fileType: 'auto' }],
    });
    expect(plan(start({ preset, media: { audio: { routes: [{ trackId: 'TR_A' }] } } }))).toMatchObject({
      source: { audioTrackId: 'TR_A', videoTrackId: undefined },
      video: null,
    });
  });

  it('is echoed without its secrets', () => {
    const { value } = echoed(
      start({
        template: {},
        storage: { s3: { bucket: 'b', accessKey: 'AK1', secret: 'SK1' } },
        outputs: [
          { ...file, storage: { s3: { bucket: 'b', accessKey: 'AK2', secret: 'SK2' } } },
          { stream: { urls: ['rtmp://host/app/secretstreamkey'] } },
        ],
      }),
    );
    expect(value?.toJsonString()).not.toMatch(/AK1|AK2|SK1|SK2|secretstreamkey/);
  });

  const passthrough = { preset: 'PASSTHROUGH' };
  it.each<[string, Record<string, JsonValue>, RegExp]>([
    ['no source', {}, /source: name one of template, web and media/],
    ['no outputs', { template: {}, outputs: [] }, /outputs: name at least one/],
    ['an output that is none', { template: {}, outputs: [{}] }, /outputs: each output is one of/],
    ['no room', { template: {}, roomName: '' }, /room_name/],
    ['neither picture nor sound', { media: {} }, /media: name a picture/],
    ['a nameless participant', { media: { participantVideo: {} } }, /participant_video.identity/],
    ['sound of nobody', { media: { videoTrackId: 'TR_V', audio: {} } }, /capture_all/],
    ['a route about nothing', { media: { audio: { routes: [{}] } } }, /audio.routes: each route names/],
    [
      'a channel that is none',
      { media: { audio: { routes: [{ trackId: 'TR', channel: 7 }] } } },
      /7 is not a channel/,
    ],
    ['two files', { template: {}, outputs: [file, file] }, /multiple file outputs/],
    ['a page that is none', { web: { url: 'file:///etc/passwd' } }, /web.url: it must be a URL/],
    ['PASSTHROUGH of a room', { ...passthrough, template: {} }, /PASSTHROUGH.*the source has to be media/],
    [
      'PASSTHROUGH of two tracks',
      { ...passthrough, media: { videoTrackId: 'V', audio: { routes: [{ trackId: 'A' }] } } },
      /there are two tracks/,
    ],
    [
      'PASSTHROUGH of a participant',
      { ...passthrough, media: { participantVideo: { identity: 'g' } } },
      /has to be a video_track_id/,
    ],
    [
      'PASSTHROUGH on one channel',
      { ...passthrough, media: { audio: { routes: [{ trackId: 'A', channel: 1 }] } } },
      /cannot be put on one channel/,
    ],
    [
      'PASSTHROUGH into segments',
      { ...passthrough, media: { videoTrackId: 'V' }, outputs: [{ segments: { filenamePrefix: 's' } }] },
      /has to be one file/,
    ],
    [
      'PASSTHROUGH into MP4',
      { ...passthrough, media: { videoTrackId: 'V' }, outputs: [{ file: { fileType: 'MP4' } }] },
      /file_type has to be empty/,
    ],
  ])('refuses %s', (_what, more, message) => {
    const error = refusalOf(() => plan(start(more)));
    expect(error.code).toBe('invalid_argument');
    expect(error.message).toMatch(message);
  });
});

it('takes how the sound of a room is laid on two channels', () => {
  const room = (audioMixing: AudioMixing) =>
    plan(new RoomCompositeEgressRequest({ roomName: 'demo', audioMixing, fileOutputs: [{ filepath: 'a' }] }))
      .source;
  expect(room(AudioMixing.DUAL_CHANNEL_AGENT)).toMatchObject({ audioMixing: 'dual-agent' });
  expect(room(AudioMixing.DUAL_CHANNEL_ALTERNATE)).toMatchObject({ audioMixing: 'dual-alternate' });
});

describe('options of our own', () => {
  it('come back from the store as they went in', () => {
    const options = parseOptions({ show_names: true });
    expect(loadOptions(storeOptions(options))).toEqual(options);
    expect(loadOptions({ optionsJson: '' })).toEqual({});
  });

  it('are refused by name when there is no such option', () => {
    expect(() => parseOptions({ shown_ames: true })).toThrow(/options\.shown_ames: there is no such option/);
  });
});
