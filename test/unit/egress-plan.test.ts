import {
  AudioCodec,
  EncodedFileOutput,
  EncodedFileType,
  EncodingOptions,
  EncodingOptionsPreset,
  GCPUpload,
  AzureBlobUpload,
  AliOSSUpload,
  ImageOutput,
  ProxyConfig,
  RoomCompositeEgressRequest,
  S3Upload,
  SegmentedFileOutput,
  SegmentedFileSuffix,
  StreamOutput,
  StreamProtocol,
  TrackCompositeEgressRequest,
  TrackEgressRequest,
  VideoCodec,
  WebhookConfig,
  DirectFileOutput,
} from '@livekit/protocol';
import { describe, expect, it } from 'vitest';
import { planEgress, planOfRecord } from '../../src/egress/plan/plan.ts';
import { storeRequest } from '../../src/egress/request/types.ts';
import { refusalOf } from '../support/refusal.ts';

const egressId = 'EG_test';
/** A value no enum has a name for, as a newer client may send it. */
const unnamed = (value: number) => value as never;
const mp4 = new EncodedFileOutput({ filepath: 'a.mp4' });
const hls = (more: Partial<SegmentedFileOutput> = {}) =>
  new SegmentedFileOutput({ filenamePrefix: 'seg', ...more });
const rtmp = (...urls: string[]) => new StreamOutput({ urls });

type RoomOptions = ConstructorParameters<typeof RoomCompositeEgressRequest>[0];
const room = (more: RoomOptions = {}) =>
  new RoomCompositeEgressRequest({ roomName: 'demo', fileOutputs: [mp4], ...more });
const advanced = (options: ConstructorParameters<typeof EncodingOptions>[0]) =>
  room({ options: { case: 'advanced', value: new EncodingOptions(options) } });
const plan = (request: Parameters<typeof planEgress>[0]) => planEgress(request, { egressId });

describe('a room composite', () => {
  it("takes LiveKit's defaults", () => {
    expect(plan(room())).toEqual({
      egressId,
      roomName: 'demo',
      source: { type: 'room', layout: 'grid', audioOnly: false, videoOnly: false, audioMixing: 'default' },
      choice: { program: 'composite' },
      video: {
        codec: 'h264',
        profile: 'main',
        width: 1280,
        height: 720,
        framerate: 30,
        bitrate: 3000,
        keyFrameInterval: 2,
        preset: 'veryfast',
      },
      audio: { codec: 'aac', bitrate: 128, frequency: 44100, channels: 2 },
      outputs: [{ type: 'file', filepath: 'a.mp4', fileType: 'mp4', disableManifest: false, storage: 0 }],
      storages: [{ type: 'default' }],
      options: {},
    });
  });

  it('knows layout grid by name too, and sound or picture alone', () => {
    expect(plan(room({ layout: 'grid' })).source).toMatchObject({ layout: 'grid' });
    expect(plan(room({ audioOnly: true }))).toMatchObject({ video: null, audio: { codec: 'aac' } });
    expect(plan(room({ videoOnly: true }))).toMatchObject({ audio: null, video: { width: 1280 } });
  });

  it.each([
    [EncodingOptionsPreset.H264_720P_30, 1280, 720, 30, 3000],
    [EncodingOptionsPreset.H264_720P_60, 1280, 720, 60, 4500],
    [EncodingOptionsPreset.H264_1080P_30, 1920, 1080, 30, 4500],
    [EncodingOptionsPreset.H264_1080P_60, 1920, 1080, 60, 6000],
    [EncodingOptionsPreset.PORTRAIT_H264_720P_30, 720, 1280, 30, 3000],
    [EncodingOptionsPreset.PORTRAIT_H264_720P_60, 720, 1280, 60, 4500],
    [EncodingOptionsPreset.PORTRAIT_H264_1080P_30, 1080, 1920, 30, 4500],
    [EncodingOptionsPreset.PORTRAIT_H264_1080P_60, 1080, 1920, 60, 6000],
  ])('preset %s is %ix%i at %i fps and %i kbit/s', (value, width, height, framerate, bitrate) => {
    const { video } = plan(room({ options: { case: 'preset', value } }));
    expect(video).toMatchObject({ width, height, framerate, bitrate, profile: 'main' });
  });

  it('advanced options replace the defaults they name', () => {
    const { video, audio } = plan(
      advanced({
        width: 640,
        height: 360,
        depth: 24,
        framerate: 25,
        videoCodec: VideoCodec.H264_HIGH,
        videoBitrate: 900,
        keyFrameInterval: 3,
        audioCodec: AudioCodec.AAC,
        audioBitrate: 96,
        audioFrequency: 48000,
      }),
    );
    expect(video).toEqual({
      codec: 'h264',
      profile: 'high',
      width: 640,
      height: 360,
      framerate: 25,
      bitrate: 900,
      keyFrameInterval: 3,
      preset: 'veryfast',
    });
    expect(audio).toEqual({ codec: 'aac', bitrate: 96, frequency: 48000, channels: 2, exact: true });
    expect(plan(advanced({ videoCodec: VideoCodec.H264_BASELINE })).video?.profile).toBe('baseline');
    expect(plan(advanced({})).video).toEqual(plan(room()).video);
  });

  // [segment duration, asked for, keyframes every]
  it.each([
    [4, 0, 2],
    [0, 0, 2],
    [1, 0, 1],
    [3, 0, 1.5],
    [5, 0, 5 / 3],
    [6, 0, 2],
    [4, 1, 1],
    [4, 4, 4],
    [4, 10, 4],
    [4, 3, 2],
  ])(
    'segments of %i s and a keyframe interval of %f: keyframes every %f s',
    (segmentDuration, interval, expected) => {
      const { video } = plan(
        room({
          fileOutputs: [],
          segmentOutputs: [hls({ segmentDuration })],
          options: { case: 'advanced', value: new EncodingOptions({ keyFrameInterval: interval }) },
        }),
      );
      expect(video?.keyFrameInterval).toBeCloseTo(expected, 9);
    },
  );
});

describe('outputs', () => {
  it('file, segments and streams in one egress, each with its storage, kept once', () => {
    const s3 = new S3Upload({
      bucket: 'bucket',
      accessKey: 'AK',
      secret: 'SK',
      region: 'us-east-1',
      forcePathStyle: true,
    });
    const { outputs, storages } = plan(
      room({
        fileOutputs: [new EncodedFileOutput({ filepath: 'r/', output: { case: 's3', value: s3 } })],
        segmentOutputs: [
          hls({
            playlistName: 'p',
            livePlaylistName: 'l',
            filenameSuffix: SegmentedFileSuffix.TIMESTAMP,
            output: { case: 's3', value: s3.clone() },
          }),
        ],
        streamOutputs: [rtmp('rtmp://a/app/k1', 'rtmps://b:443/app/k2', 'rtmp://a/app/k1')],
      }),
    );
    expect(outputs).toEqual([
      { type: 'file', filepath: 'r/', fileType: 'mp4', disableManifest: false, storage: 0 },
      { type: 'stream', protocol: 'rtmp', urls: ['rtmp://a/app/k1', 'rtmps://b:443/app/k2'] },
      {
        type: 'segments',
        filenamePrefix: 'seg',
        playlistName: 'p',
        livePlaylistName: 'l',
        segmentDuration: 4,
        suffix: 'timestamp',
        segmentType: 'mpegts',
        lowLatency: false,
        partDuration: 0,
        disableManifest: false,
        storage: 0,
      },
    ]);
    expect(storages).toEqual([
      {
        type: 's3',
        s3: {
          bucket: 'bucket',
          region: 'us-east-1',
          endpoint: '',
          accessKey: 'AK',
          secret: 'SK',
          sessionToken: '',
          forcePathStyle: true,
          metadata: {},
          tagging: '',
          contentDisposition: 'inline',
        },
      },
    ]);
  });

  it('the deprecated field counts alone; beside a list it has to say the same', () => {
    const legacy = new EncodedFileOutput({ filepath: 'legacy.mp4' });
    const output = { case: 'file' as const, value: legacy };
    expect(plan(room({ fileOutputs: [], output })).outputs).toMatchObject([{ filepath: 'legacy.mp4' }]);
    expect(plan(room({ fileOutputs: [legacy], output })).outputs).toHaveLength(1);
    expect(() => plan(room({ output }))).toThrow(/field: output: .* another file output/);
    expect(plan(room({ fileOutputs: [], output: { case: 'segments', value: hls() } })).outputs).toMatchObject(
      [{ type: 'segments' }],
    );
    expect(
      plan(room({ fileOutputs: [], output: { case: 'stream', value: rtmp('rtmp://a/b/c') } })).outputs,
    ).toMatchObject([{ type: 'stream' }]);
  });

  it('a stream without URLs is good next to another output', () => {
    expect(plan(room({ streamOutputs: [rtmp()] })).outputs).toContainEqual({
      type: 'stream',
      protocol: 'rtmp',
      urls: [],
    });
  });
});

describe('tracks', () => {
  const tracks = (more: ConstructorParameters<typeof TrackCompositeEgressRequest>[0] = {}) =>
    new TrackCompositeEgressRequest({
      roomName: 'demo',
      audioTrackId: 'TR_A',
      videoTrackId: 'TR_V',
      fileOutputs: [mp4],
      ...more,
    });

  it('are copied where possible, unless encoding is asked for', () => {
    expect(plan(tracks())).toMatchObject({
      source: { type: 'tracks', audioTrackId: 'TR_A', videoTrackId: 'TR_V' },
      choice: { program: 'auto' },
      outputs: [{ fileType: 'mp4' }],
    });
    // The preset whose number is 0 is still one that was asked for.
    const value = EncodingOptionsPreset.H264_720P_30;
    expect(plan(tracks({ options: { case: 'preset', value } })).choice).toEqual({ program: 'composite' });
  });

  it('have only the legs that are named', () => {
    expect(plan(tracks({ audioTrackId: '' }))).toMatchObject({
      audio: null,
      source: { audioTrackId: undefined },
    });
    expect(plan(tracks({ videoTrackId: '' }))).toMatchObject({
      video: null,
      source: { videoTrackId: undefined },
    });
  });

  it('one track into a file of its own kind', () => {
    const request = new TrackEgressRequest({
      roomName: 'demo',
      trackId: 'TR_1',
      output: {
        case: 'file',
        value: new DirectFileOutput({ filepath: 't/{track_id}', disableManifest: true }),
      },
    });
    expect(planEgress(request, { egressId, trackKind: 'audio' })).toMatchObject({
      source: { type: 'tracks', audioTrackId: 'TR_1', videoTrackId: undefined },
      choice: { program: 'auto' },
      video: null,
      outputs: [
        { type: 'file', filepath: 't/{track_id}', fileType: 'auto', disableManifest: true, storage: 0 },
      ],
    });
    expect(planEgress(request, { egressId, trackKind: 'video' })).toMatchObject({
      source: { audioTrackId: undefined, videoTrackId: 'TR_1' },
      audio: null,
    });
  });

  it('is the same plan when it comes back from the store', () => {
    for (const request of [room({ streamOutputs: [rtmp('rtmp://a/b/c')] }), tracks()]) {
      const record = { egressId, ...storeRequest(request), trackKind: undefined };
      expect(planOfRecord(record)).toEqual(plan(request));
    }
    expect(() =>
      planOfRecord({ egressId, requestType: 'ExportReplayRequest', requestJson: '{}', trackKind: undefined }),
    ).toThrow('cannot run a stored ExportReplayRequest');
  });
});

const upload = (s3: ConstructorParameters<typeof S3Upload>[0]) =>
  room({
    fileOutputs: [
      new EncodedFileOutput({ output: { case: 's3', value: new S3Upload({ bucket: 'bucket', ...s3 }) } }),
    ],
  });
const streams = (...urls: string[]) => room({ fileOutputs: [], streamOutputs: [rtmp(...urls)] });
const track = (more: ConstructorParameters<typeof TrackEgressRequest>[0]) =>
  new TrackEgressRequest({
    roomName: 'demo',
    trackId: 'TR_1',
    output: { case: 'file', value: new DirectFileOutput() },
    ...more,
  });
const segments = (more: Partial<SegmentedFileOutput>) => room({ segmentOutputs: [hls(more)] });

describe('refused', () => {
  it.each<[string, Parameters<typeof planEgress>[0], 'invalid_argument' | 'unimplemented', RegExp]>([
    ['no room', room({ roomName: '' }), 'invalid_argument', /room_name/],
    ['an unknown layout', room({ layout: 'spiral' }), 'invalid_argument', /layout "spiral".*single-speaker/],
    ['a template that is no page', room({ customBaseUrl: 'x' }), 'invalid_argument', /custom_base_url/],
    ['an unknown mixing', room({ audioMixing: unnamed(9) }), 'invalid_argument', /audio_mixing/],
    [
      'neither sound nor picture',
      room({ audioOnly: true, videoOnly: true }),
      'invalid_argument',
      /audio_only and video_only/,
    ],
    [
      'a webhook that is no URL',
      room({ webhooks: [new WebhookConfig({ url: 'ftp://h' })] }),
      'invalid_argument',
      /webhooks.url: it has to be a URL with http/,
    ],
    [
      'a filter with an event there is not',
      room({
        webhooks: [new WebhookConfig({ url: 'http://h', filterParams: { includeEvents: ['egress_gone'] } })],
      }),
      'invalid_argument',
      /include_events: "egress_gone" is no event; an egress has egress_started/,
    ],
    [
      'too many webhooks',
      room({ webhooks: Array.from({ length: 9 }, () => new WebhookConfig({ url: 'http://h' })) }),
      'invalid_argument',
      /9 are too many/,
    ],
    ['no output', room({ fileOutputs: [] }), 'invalid_argument', /output: name at least one/],
    ['two files', room({ fileOutputs: [mp4, mp4] }), 'invalid_argument', /multiple file outputs/],
    [
      'two streams',
      room({ streamOutputs: [rtmp('rtmp://a/b/c'), rtmp('rtmp://a/b/d')] }),
      'invalid_argument',
      /multiple stream outputs/,
    ],
    [
      'two segment outputs',
      room({ segmentOutputs: [hls(), hls()] }),
      'invalid_argument',
      /multiple segmented file outputs/,
    ],
    [
      'images of sound',
      room({ audioOnly: true, imageOutputs: [new ImageOutput()] }),
      'invalid_argument',
      /image_outputs/,
    ],
    [
      'a picture in OGG',
      room({ fileOutputs: [new EncodedFileOutput({ fileType: EncodedFileType.OGG })] }),
      'invalid_argument',
      /OGG.*picture.*MP4/,
    ],
    [
      'a picture in MP3',
      room({ fileOutputs: [new EncodedFileOutput({ fileType: EncodedFileType.MP3 })] }),
      'invalid_argument',
      /MP3.*picture/,
    ],
    [
      'an unknown file type',
      room({ fileOutputs: [new EncodedFileOutput({ fileType: unnamed(7) })] }),
      'invalid_argument',
      /file_type/,
    ],
    [
      'NUL in a name',
      room({ fileOutputs: [new EncodedFileOutput({ filepath: 'a\u0000b' })] }),
      'invalid_argument',
      /filepath.*control/,
    ],
    [
      'a name too long',
      room({ fileOutputs: [new EncodedFileOutput({ filepath: 'x'.repeat(300) })] }),
      'invalid_argument',
      /filepath.*longer/,
    ],
    ['an odd width', advanced({ width: 641 }), 'invalid_argument', /width.*641 is odd/],
    ['a width too small', advanced({ width: 14 }), 'invalid_argument', /width.*16 to 4096/],
    ['a width too large', advanced({ width: 8192 }), 'invalid_argument', /width/],
    ['a negative width', advanced({ width: -2 }), 'invalid_argument', /width/],
    ['an odd height', advanced({ height: 17 }), 'invalid_argument', /height/],
    ['a height too small', advanced({ height: 8 }), 'invalid_argument', /height/],
    ['depth 16', advanced({ depth: 16 }), 'unimplemented', /depth 16/],
    ['depth 7', advanced({ depth: 7 }), 'invalid_argument', /depth/],
    ['240 fps', advanced({ framerate: 240 }), 'invalid_argument', /framerate.*1 to 60/],
    ['a negative bitrate', advanced({ videoBitrate: -1 }), 'invalid_argument', /video_bitrate/],
    ['a bitrate in bits', advanced({ videoBitrate: 3_000_000 }), 'invalid_argument', /video_bitrate.*kbit/],
    ['an audio bitrate in bits', advanced({ audioBitrate: 128_000 }), 'invalid_argument', /audio_bitrate/],
    [
      'an audio frequency nobody plays',
      advanced({ audioFrequency: 44000 }),
      'invalid_argument',
      /audio_frequency.*44100/,
    ],
    [
      'a keyframe interval that is no number',
      advanced({ keyFrameInterval: Number.NaN }),
      'invalid_argument',
      /key_frame_interval/,
    ],
    [
      'a keyframe interval of minutes',
      advanced({ keyFrameInterval: 600 }),
      'invalid_argument',
      /key_frame_interval/,
    ],
    [
      'audio codec MP3 in MP4',
      advanced({ audioCodec: AudioCodec.AC_MP3 }),
      'invalid_argument',
      /MP3.*AAC or OPUS/,
    ],
    ['an unknown audio codec', advanced({ audioCodec: unnamed(42) }), 'invalid_argument', /audio_codec/],
    ['an unknown video codec', advanced({ videoCodec: unnamed(42) }), 'invalid_argument', /video_codec/],
    ['a quality', advanced({ videoQuality: 5 }), 'unimplemented', /video_quality/],
    [
      'preset PASSTHROUGH',
      room({ options: { case: 'preset', value: EncodingOptionsPreset.PASSTHROUGH } }),
      'invalid_argument',
      /PASSTHROUGH/,
    ],
    [
      // As protojson reads a name nobody knows.
      'a preset without a value',
      room({ options: { case: 'preset', value: undefined as never } }),
      'invalid_argument',
      /preset: there is no such preset/,
    ],
    [
      'an unknown preset',
      room({ options: { case: 'preset', value: unnamed(99) } }),
      'invalid_argument',
      /preset 99/,
    ],
    [
      'segments of an hour',
      segments({ segmentDuration: 3600 }),
      'invalid_argument',
      /segment_duration.*1 to 60/,
    ],
    ['an unknown suffix', segments({ filenameSuffix: unnamed(5) }), 'invalid_argument', /filename_suffix/],
    ['an unknown segment protocol', segments({ protocol: unnamed(5) }), 'invalid_argument', /protocol/],
    [
      'playlists in two folders',
      segments({ playlistName: 'a/p', livePlaylistName: 'b/l' }),
      'invalid_argument',
      /live_playlist_name.*same directory/,
    ],
    [
      'playlists of one name',
      segments({ playlistName: 'p', livePlaylistName: 'p.m3u8' }),
      'invalid_argument',
      /live_playlist_name.*identical/,
    ],
    ['no URL at all', streams(), 'invalid_argument', /stream url/],
    [
      '17 destinations',
      streams(...Array.from({ length: 17 }, (_, i) => `rtmp://a/b/${i}`)),
      'invalid_argument',
      /at most 16/,
    ],
    ['SRT without a port', streams('srt://host?streamid=a'), 'invalid_argument', /port/],
    ['a listener', streams('srt://host:9000?mode=listener'), 'invalid_argument', /caller/],
    ['mux:// without a key', streams('mux://'), 'invalid_argument', /not a stream URL/],
    ['a WebSocket', streams('wss://host/x'), 'invalid_argument', /websocket_url/],
    ['HTTP', streams('http://host/app/key'), 'invalid_argument', /invalid scheme "http"/],
    ['a file', streams('file:///etc/passwd'), 'invalid_argument', /invalid scheme "file"/],
    ['no URL', streams('not a url'), 'invalid_argument', /rtmp urls must be of format/],
    ['RTMP without a key', streams('rtmp://host/app'), 'invalid_argument', /rtmp urls must be of format/],
    ['RTMP without a host', streams('rtmp:///app/key'), 'invalid_argument', /rtmp urls must be of format/],
    ['a newline in a URL', streams('rtmp://host/app/key\n'), 'invalid_argument', /control character/],
    ['an endless URL', streams(`rtmp://host/app/${'k'.repeat(5000)}`), 'invalid_argument', /longer than/],
    [
      'protocol SRT for RTMP',
      room({
        streamOutputs: [new StreamOutput({ protocol: StreamProtocol.SRT, urls: ['rtmp://host/app/key'] })],
      }),
      'invalid_argument',
      /no SRT destination/,
    ],
    [
      'protocol WEBSOCKET',
      room({
        streamOutputs: [new StreamOutput({ protocol: StreamProtocol.WEBSOCKET, urls: ['wss://host/x'] })],
      }),
      'invalid_argument',
      /WebSocket takes sound alone/,
    ],
    [
      'an unknown protocol',
      room({ streamOutputs: [new StreamOutput({ protocol: unnamed(9) })] }),
      'invalid_argument',
      /protocol/,
    ],
    ['S3 without a bucket', upload({ bucket: '' }), 'invalid_argument', /s3.bucket/],
    ['a bucket with a slash', upload({ bucket: 'a/b' }), 'invalid_argument', /s3.bucket/],
    ['half a pair of keys', upload({ accessKey: 'AK' }), 'invalid_argument', /s3.secret.*both/],
    ['the other half', upload({ secret: 'SK' }), 'invalid_argument', /s3.access_key.*both/],
    ['a session token alone', upload({ sessionToken: 'ST' }), 'invalid_argument', /s3.session_token/],
    ['an endpoint that is no URL', upload({ endpoint: 'minio:9000' }), 'invalid_argument', /s3.endpoint/],
    ['a role that is none', upload({ assumeRoleArn: 'me' }), 'invalid_argument', /s3.assume_role_arn/],
    ['an external id alone', upload({ assumeRoleExternalId: 'id' }), 'invalid_argument', /assume_role_arn/],
    [
      'an external id that is none',
      upload({ assumeRoleArn: 'arn:aws:iam::1:role/x', assumeRoleExternalId: 'a b' }),
      'invalid_argument',
      /s3.assume_role_external_id/,
    ],
    [
      'a proxy that is no URL',
      upload({ proxy: new ProxyConfig({ url: 'p:1' }) }),
      'invalid_argument',
      /proxy.url/,
    ],
    [
      'a proxy with its password in the URL',
      upload({ proxy: new ProxyConfig({ url: 'http://u:p@p' }) }),
      'invalid_argument',
      /proxy.url.*username and password/,
    ],
    [
      "a proxy's password alone",
      upload({ proxy: new ProxyConfig({ url: 'http://p', password: 'p' }) }),
      'invalid_argument',
      /proxy.username/,
    ],
    ['tags that are none', upload({ tagging: 'a b' }), 'invalid_argument', /s3.tagging/],
    ['a tag twice', upload({ tagging: 'a=1&a=2' }), 'invalid_argument', /s3.tagging/],
    [
      'too many tags',
      upload({ tagging: Array.from({ length: 11 }, (_, i) => `t${i}=1`).join('&') }),
      'invalid_argument',
      /s3.tagging.*11/,
    ],
    [
      'GCP',
      room({ fileOutputs: [new EncodedFileOutput({ output: { case: 'gcp', value: new GCPUpload() } })] }),
      'unimplemented',
      /gcp/,
    ],
    [
      'Azure',
      room({
        fileOutputs: [new EncodedFileOutput({ output: { case: 'azure', value: new AzureBlobUpload() } })],
      }),
      'unimplemented',
      /azure/,
    ],
    [
      'AliOSS',
      room({
        fileOutputs: [new EncodedFileOutput({ output: { case: 'aliOSS', value: new AliOSSUpload() } })],
      }),
      'unimplemented',
      /aliOSS/,
    ],
    [
      'a track composite of nothing',
      new TrackCompositeEgressRequest({ roomName: 'demo', fileOutputs: [mp4] }),
      'invalid_argument',
      /audio_track_id or video_track_id/,
    ],
    ['a track egress of nothing', track({ trackId: '' }), 'invalid_argument', /track_id/],
    ['a track egress to nowhere', track({ output: { case: undefined } }), 'invalid_argument', /output/],
    [
      'a track to what is no WebSocket',
      track({ output: { case: 'websocketUrl', value: 'https://h/?token=abcdefghij' } }),
      'invalid_argument',
      /websocket_url.*wss:/,
    ],
  ])('%s', (_what, request, code, message) => {
    const error = refusalOf(() => plan(request));
    expect(error.code).toBe(code);
    expect(error.message).toMatch(message);
    if (code === 'invalid_argument')
      expect(error.message).toContain('request has missing or invalid field: ');
    else expect(error.message).toContain('is not implemented');
  });

  it('without showing the stream key or the secret', () => {
    expect(refusalOf(() => plan(streams('rtmps://host/sekretkey123'))).message).not.toContain('sekretkey123');
    expect(
      refusalOf(() => plan(streams('http://user:pa55word@host/app/sekretkey123'))).message,
    ).not.toContain('pa55word');
    expect(
      refusalOf(() => plan(streams(`srt://h:1?mode=listener&passphrase=sekretkey123`))).message,
    ).not.toContain('sekretkey123');
    expect(refusalOf(() => plan(upload({ accessKey: '', secret: 'sekretkey123' }))).message).not.toContain(
      'sekretkey123',
    );
  });
});
