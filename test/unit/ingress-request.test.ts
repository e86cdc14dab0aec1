/* eslint-disable @typescript-eslint/no-deprecated -- bypass_transcoding is what older clients know */
import {
  AudioCodec,
  CreateIngressRequest,
  IngressAudioEncodingOptions,
  IngressAudioOptions,
  IngressInfo,
  IngressInput,
  IngressState_Status,
  IngressVideoEncodingOptions,
  IngressVideoEncodingPreset,
  IngressVideoOptions,
  TrackSource,
  UpdateIngressRequest,
  VideoCodec,
  VideoLayer,
  VideoQuality,
} from '@livekit/protocol';
import { describe, expect, it } from 'vitest';
import { newIngressInfo, updatedIngressInfo } from '../../src/ingress/request/info.ts';
import { checkSourceUrl, redactSourceUrl } from '../../src/ingress/request/source-url.ts';

const NAMES = {
  ingressId: 'IN_1',
  streamKey: 'thekey',
  urls: { rtmp: 'rtmp://h:1935/live', whip: 'http://h:7880/whip' },
};
type Request = ConstructorParameters<typeof CreateIngressRequest>[0];
const create = (request: Request = {}) =>
  newIngressInfo(
    new CreateIngressRequest({ roomName: 'demo', participantIdentity: 'obs', ...request }),
    NAMES,
  );
const push = { roomName: 'demo', participantIdentity: 'obs' };
const pull = { inputType: IngressInput.URL_INPUT, url: 'https://media.example.com/a.m3u8' };

const video = (options: ConstructorParameters<typeof IngressVideoEncodingOptions>[0]) =>
  new IngressVideoOptions({
    encodingOptions: { case: 'options', value: new IngressVideoEncodingOptions(options) },
  });
const audio = (options: ConstructorParameters<typeof IngressAudioEncodingOptions>[0]) =>
  new IngressAudioOptions({
    encodingOptions: { case: 'options', value: new IngressAudioEncodingOptions(options) },
  });
const layer = (quality: VideoQuality, width: number, height: number, bitrate = 0) =>
  new VideoLayer({ quality, width, height, bitrate });
const preset = new IngressVideoOptions({
  encodingOptions: { case: 'preset', value: IngressVideoEncodingPreset.H264_540P_25FPS_2_LAYERS },
});

describe('a new ingress', () => {
  it('of RTMP has a key, a URL without it, and can be used again', () => {
    const info = create({ name: 'stage', participantName: 'Stage', participantMetadata: '{}' });
    expect(info).toEqual(
      new IngressInfo({
        ingressId: 'IN_1',
        name: 'stage',
        streamKey: 'thekey',
        url: 'rtmp://h:1935/live',
        inputType: IngressInput.RTMP_INPUT,
        ...push,
        participantName: 'Stage',
        participantMetadata: '{}',
        reusable: true,
        state: { status: IngressState_Status.ENDPOINT_INACTIVE },
      }),
    );
  });

  it('of WHIP is told the WHIP URL, and is not transcoded unless it says so', () => {
    const info = create({ inputType: IngressInput.WHIP_INPUT });
    expect(info).toMatchObject({
      url: 'http://h:7880/whip',
      streamKey: 'thekey',
      enableTranscoding: false,
      bypassTranscoding: true,
      reusable: true,
    });
    expect(
      create({ inputType: IngressInput.WHIP_INPUT, enableTranscoding: true, video: preset }),
    ).toMatchObject({
      enableTranscoding: true,
      bypassTranscoding: false,
    });
  });

  it('of a URL has no key, shows no credential, and is used once', () => {
    const info = create({ ...pull, url: 'rtsp://admin:hunter2@10.0.0.4:554/stream1' });
    expect(info).toMatchObject({
      url: 'rtsp://{credentials}@10.0.0.4:554/stream1',
      streamKey: '',
      reusable: false,
    });
  });

  it('leaves open whether RTMP and URLs are transcoded', () => {
    expect(create().enableTranscoding).toBeUndefined();
    expect(create(pull).enableTranscoding).toBeUndefined();
    expect(create({ enableTranscoding: false })).toMatchObject({
      enableTranscoding: false,
      bypassTranscoding: true,
    });
    expect(create({ bypassTranscoding: true }).enableTranscoding).toBe(false);
    expect(create({ enableTranscoding: true, video: preset }).bypassTranscoding).toBe(false);
    expect(create({ video: preset }).enableTranscoding).toBeUndefined();
  });

  it('may name its room later when it is pushed to', () => {
    expect(create({ roomName: '' }).roomName).toBe('');
  });

  it('may be created disabled when it is pushed to', () => {
    expect(create({ enabled: false }).enabled).toBe(false);
    expect(create().enabled).toBeUndefined();
  });

  const V = 'invalid video parameters: ';
  const A = 'invalid audio parameters: ';
  const B = 'invalid transcoding bypass configuration: ';
  const { LOW, MEDIUM, HIGH, OFF } = VideoQuality;
  it.each<[string, Request]>([
    ['invalid ingress type', { inputType: 7 as never }],
    ['invalid ingress: missing URL parameter', { ...pull, url: '' }],
    ['invalid ingress: url is for URL inputs', { url: 'http://h/a.mp4' }],
    ['invalid ingress: no room name', { ...pull, roomName: '' }],
    ['invalid ingress: disabled non reusable ingress', { ...pull, enabled: false }],
    ['invalid ingress: no participant identity', { participantIdentity: '' }],
    ['participant_identity has 257 characters', { participantIdentity: 'x'.repeat(257) }],
    ['room_name must not contain control characters', { roomName: 'a\nb' }],
    ['participant_metadata has 64001 bytes', { participantMetadata: 'x'.repeat(64_001) }],
    [
      `${B}video encoding options must be empty if transcoding is disabled`,
      { inputType: IngressInput.WHIP_INPUT, video: preset },
    ],
    [
      `${B}video encoding options must be empty if transcoding is disabled`,
      { enableTranscoding: false, video: preset },
    ],
    [
      `${B}audio encoding options must be empty if transcoding is disabled`,
      { bypassTranscoding: true, audio: audio({}) },
    ],
    [`${B}enable_transcoding and`, { enableTranscoding: true, bypassTranscoding: true }],
    [`${V}invalid track source`, { video: { source: TrackSource.MICROPHONE } }],
    [`${V}invalid preset`, { video: { encodingOptions: { case: 'preset', value: 10 as never } } }],
    [`${V}invalid framerate`, { video: video({ frameRate: -1 }) }],
    [`${V}invalid framerate`, { video: video({ frameRate: NaN }) }],
    [`${V}invalid framerate`, { video: video({ frameRate: 121 }) }],
    [`${V}video codec unsupported`, { video: video({ videoCodec: VideoCodec.H264_HIGH }) }],
    [`${V}invalid output media dimensions`, { video: video({ layers: [layer(HIGH, 0, 720)] }) }],
    ['invalid ingress: layer width must be even', { video: video({ layers: [layer(HIGH, 1281, 720)] }) }],
    ['invalid ingress: layer height must be even', { video: video({ layers: [layer(HIGH, 1280, 721)] }) }],
    [`${V}layer width is 8192`, { video: video({ layers: [layer(HIGH, 8192, 720)] }) }],
    [`${V}layer height is 8`, { video: video({ layers: [layer(HIGH, 16, 8)] }) }],
    [`${V}quality of a layer`, { video: video({ layers: [layer(OFF, 1280, 720)] }) }],
    [`${V}bitrate of a layer is 500`, { video: video({ layers: [layer(HIGH, 1280, 720, 500)] }) }],
    [
      `${V}more than one layer with the same quality level`,
      { video: video({ layers: [layer(LOW, 320, 180), layer(LOW, 640, 360)] }) },
    ],
    [
      `${V}video layers do not have increasing width with increasing quality`,
      { video: video({ layers: [layer(MEDIUM, 320, 400), layer(LOW, 640, 360)] }) },
    ],
    [
      `${V}video layers do not have increasing height with increasing quality`,
      { video: video({ layers: [layer(HIGH, 640, 180), layer(LOW, 640, 360)] }) },
    ],
    [`${A}invalid track source`, { audio: { source: TrackSource.CAMERA } }],
    [`${A}invalid preset`, { audio: { encodingOptions: { case: 'preset', value: 5 as never } } }],
    [`${A}audio codec unsupported`, { audio: audio({ audioCodec: AudioCodec.AAC }) }],
    [`${A}invalid audio channel count`, { audio: audio({ channels: 3 }) }],
    [`${A}bitrate is 96: 6000 to 510000 bit/s`, { audio: audio({ bitrate: 96 }) }],
  ])('is refused: %s', (message, request) => {
    expect(() => create(request)).toThrow(
      expect.objectContaining({
        code: 'invalid_argument',
        message: expect.stringContaining(message) as string,
      }),
    );
  });

  it('takes layers of any order, and every source', () => {
    const layers = [layer(HIGH, 1280, 720), layer(LOW, 320, 180), layer(MEDIUM, 640, 360)];
    expect(create({ video: video({ layers, frameRate: 25 }) }).video?.encodingOptions.case).toBe('options');
    create({
      video: { source: TrackSource.SCREEN_SHARE },
      audio: { source: TrackSource.SCREEN_SHARE_AUDIO },
    });
    create({ audio: audio({ channels: 1, bitrate: 32_000, audioCodec: AudioCodec.OPUS }) });
  });
});

describe('an update', () => {
  const update = (before: Request, request: ConstructorParameters<typeof UpdateIngressRequest>[0]) =>
    updatedIngressInfo(create(before), new UpdateIngressRequest({ ingressId: 'IN_1', ...request }));

  it('changes what is said and nothing else', () => {
    const before = create({ name: 'a', participantName: 'b', enabled: true });
    const after = update(
      { name: 'a', participantName: 'b', enabled: true },
      { participantName: 'c', enabled: false },
    );
    expect(after).toEqual(Object.assign(before.clone(), { participantName: 'c', enabled: false }));
    expect(update({}, { enableTranscoding: true, video: preset })).toMatchObject({
      enableTranscoding: true,
      video: preset,
    });
    expect(
      update({ inputType: IngressInput.WHIP_INPUT }, { bypassTranscoding: false }).enableTranscoding,
    ).toBe(true);
    expect(update({ inputType: IngressInput.WHIP_INPUT }, { name: 'n' }).enableTranscoding).toBe(false);
  });

  it.each<[string, Request, ConstructorParameters<typeof UpdateIngressRequest>[0]]>([
    ['ingress is not reusable and cannot be modified', pull, { name: 'x' }],
    ['ingress is not reusable and cannot be modified', pull, { enabled: false }],
    ['video encoding options must be empty', { inputType: IngressInput.WHIP_INPUT }, { video: preset }],
    ['invalid audio channel count', {}, { audio: audio({ channels: 6 }) }],
    ['participant_name has 300 characters', {}, { participantName: 'x'.repeat(300) }],
  ])('is refused: %s', (message, before, request) => {
    expect(() => update(before, request)).toThrow(
      expect.objectContaining({
        code: 'invalid_argument',
        message: expect.stringContaining(message) as string,
      }),
    );
  });
});

describe('the URL of a source', () => {
  it.each([
    'http://media.example.com/a.mp4',
    'https://media.example.com:8443/live/index.m3u8?token=abc#loop',
    'rtsp://user:pa%20ss@10.0.0.4:554/Streaming/Channels/101#transport=udp',
    'rtsps://[2001:db8::1]/s',
    'srt://host:9000',
    'srt://host:9000?mode=caller&passphrase=0123456789&streamid=#!::r=live/a,m=request',
    'srt://0.0.0.0:9000?mode=listener',
    'srt://:9000?mode=listener',
    'file:///srv/media/trailer.mp4',
    'file:///srv/media/a%20b.mp4#loop',
  ])('can be %s', (url) => {
    expect(() => checkSourceUrl(url)).not.toThrow();
  });

  it.each([
    ['', 'missing URL parameter'],
    ['media.example.com/a.mp4', 'cannot be parsed'],
    ['ftp://h/a.mp4', 'invalid url scheme ftp: http, https, rtsp, rtsps, srt, file can be pulled'],
    ['rtmp://h/live/key', 'invalid url scheme rtmp'],
    ['data:video/mp4;base64,AAAA', 'invalid url scheme data'],
    ['concat:/etc/passwd|/etc/hosts', 'invalid url scheme concat'],
    ['http://h/a b.mp4', 'a blank or a control character'],
    ['http://h/a\nb.mp4', 'a blank or a control character'],
    [`http://h/${'x'.repeat(5000)}`, 'longer than 4096 characters'],
    ['rtsp:///stream', 'url has no host'],
    ['srt://host', 'an srt url needs a port'],
    ['srt://host:9000?mode=rendezvous', 'mode of an srt url is caller'],
    ['srt://host:9000?passphrase=short', 'passphrase of an srt url has 5 characters'],
    ['file://server/share/a.mp4', 'a file url has no host'],
    ['file:///srv/media/', 'a file url names a file'],
  ])('cannot be %j', (url, message) => {
    expect(() => checkSourceUrl(url)).toThrow(
      expect.objectContaining({
        code: 'invalid_argument',
        message: expect.stringContaining(message) as string,
      }),
    );
  });

  it.each([
    ['https://h/a.mp4', 'https://h/a.mp4'],
    ['https://me@h/a.mp4', 'https://{credentials}@h/a.mp4'],
    ['rtsp://admin:p@ss:w@10.0.0.4/s', 'rtsp://{credentials}@10.0.0.4/s'],
    ['rtsp://10.0.0.4/cam?channel=1&subtype=0', 'rtsp://10.0.0.4/cam?channel=1&subtype=0'],
    ['https://h/l.m3u8?hdnts=exp=1~hmac=abc&x=1', 'https://h/l.m3u8?hdnts={...}&x={...}'],
    ['https://h/a?X-Amz-Signature=abc&Policy=def', 'https://h/a?X-Amz-Signature={...}&Policy={...}'],
    [
      'srt://h:9000?mode=caller&latency=200&passphrase=0123456789&streamid=publish:abc',
      'srt://h:9000?mode=caller&latency=200&passphrase={...}&streamid={...}',
    ],
    ['srt://h:9000?streamid=#!::r=live/key,m=request', 'srt://h:9000?streamid={...}'],
    ['srt://h:9000?streamid=#!::key&latency=9', 'srt://h:9000?streamid={...}&latency=9'],
    ['srt://h:9000?stream=a-very-long-secret-thing', 'srt://h:9000?stream={...}'],
    ['rtsp://u:p@h/s#transport=udp', 'rtsp://{credentials}@h/s#transport=udp'],
    ['file:///srv/a.mp4#loop', 'file:///srv/a.mp4#loop'],
  ])('%s is shown as %s', (url, shown) => {
    expect(redactSourceUrl(url)).toBe(shown);
  });
});
