import {
  AudioCodec,
  IngressAudioEncodingOptions,
  IngressAudioEncodingPreset,
  IngressAudioOptions,
  IngressInfo,
  IngressVideoEncodingOptions,
  IngressVideoEncodingPreset,
  IngressVideoOptions,
  VideoCodec,
  VideoLayer,
  VideoQuality,
} from '@livekit/protocol';
import { describe, expect, it } from 'vitest';
import type { InputAudio, InputVideo } from '../../src/ingress/inputs/types.ts';
import { layersFor, resizeLayers } from '../../src/ingress/layers.ts';
import { planMedia } from '../../src/ingress/plan.ts';
import { audioEncoding, videoEncoding } from '../../src/ingress/presets.ts';

const P = IngressVideoEncodingPreset;
const withPreset = (value: IngressVideoEncodingPreset) =>
  new IngressVideoOptions({ encodingOptions: { case: 'preset', value } });
const withOptions = (options: Partial<IngressVideoEncodingOptions>) =>
  new IngressVideoOptions({
    encodingOptions: { case: 'options', value: new IngressVideoEncodingOptions(options) },
  });
const show = (layers: readonly { width: number; height: number; bitrate: number }[]) =>
  layers.map(({ width, height, bitrate }) => `${width}x${height}@${bitrate}`);
const sizes = (layers: readonly { width: number; height: number }[]) =>
  layers.map(({ width, height }) => `${width}x${height}`);

describe('video presets', () => {
  // The lower layers: top bitrate * (1/4)^0.75 and * (1/16)^0.75, without the fraction.
  it.each([
    [P.H264_720P_30FPS_3_LAYERS, 30, ['320x180@237500', '640x360@671751', '1280x720@1900000']],
    [P.H264_1080P_30FPS_3_LAYERS, 30, ['480x270@437500', '960x540@1237436', '1920x1080@3500000']],
    [P.H264_540P_25FPS_2_LAYERS, 25, ['480x270@353553', '960x540@1000000']],
    [P.H264_720P_30FPS_1_LAYER, 30, ['1280x720@1900000']],
    [P.H264_1080P_30FPS_1_LAYER, 30, ['1920x1080@3500000']],
    [P.H264_720P_30FPS_3_LAYERS_HIGH_MOTION, 30, ['320x180@312500', '640x360@883883', '1280x720@2500000']],
    [P.H264_1080P_30FPS_3_LAYERS_HIGH_MOTION, 30, ['480x270@562500', '960x540@1590990', '1920x1080@4500000']],
    [P.H264_540P_25FPS_2_LAYERS_HIGH_MOTION, 25, ['480x270@459619', '960x540@1300000']],
    [P.H264_720P_30FPS_1_LAYER_HIGH_MOTION, 30, ['1280x720@2500000']],
    [P.H264_1080P_30FPS_1_LAYER_HIGH_MOTION, 30, ['1920x1080@4500000']],
  ])('%s: %s frames a second, %j', (preset, framerate, layers) => {
    const choice = videoEncoding(withPreset(preset));
    expect(choice).toMatchObject({ codec: 'h264', framerate });
    expect(show(choice.layers)).toEqual(layers);
  });

  it('are all there', () => {
    const values = Object.values(P).filter((value) => typeof value === 'number');
    expect(values).toHaveLength(10);
    for (const value of values) expect(videoEncoding(withPreset(value)).layers.length).toBeGreaterThan(0);
    expect(() => videoEncoding(withPreset(99 as never))).toThrow(RangeError);
  });

  it('default to 720p30 in three layers', () => {
    const expected = videoEncoding(withPreset(P.H264_720P_30FPS_3_LAYERS));
    expect(videoEncoding(undefined)).toEqual(expected);
    expect(videoEncoding(new IngressVideoOptions({ name: 'camera' }))).toEqual(expected);
  });
});

describe('custom video options', () => {
  it('have three layers of 720p at 1.7 Mbit/s unless they say others', () => {
    const choice = videoEncoding(withOptions({}));
    expect(choice).toMatchObject({ codec: 'h264', framerate: 30 });
    expect(show(choice.layers)).toEqual(['320x180@212500', '640x360@601040', '1280x720@1700000']);
  });

  it('choose codec, frame rate and layers, in the order of their quality', () => {
    const choice = videoEncoding(
      withOptions({
        videoCodec: VideoCodec.VP8,
        frameRate: 15,
        layers: [
          new VideoLayer({ quality: VideoQuality.HIGH, width: 1000, height: 500, bitrate: 900_000 }),
          new VideoLayer({ quality: VideoQuality.LOW, width: 500, height: 250, bitrate: 300_000 }),
        ],
      }),
    );
    expect(choice).toMatchObject({ codec: 'vp8', framerate: 15 });
    expect(show(choice.layers)).toEqual(['500x250@300000', '1000x500@900000']);
  });

  // 3.5 Mbit/s * (area / 1080p)^0.75 * (rate / 30)^0.75
  it.each([
    [30, 1920, 1080, 3_500_000],
    [30, 960, 540, 1_237_436],
    [60, 1920, 1080, 5_886_274],
    [15, 640, 360, 400_510],
  ])('compute a bitrate that is not said: %s frames of %sx%s', (frameRate, width, height, bitrate) => {
    const layers = [new VideoLayer({ quality: VideoQuality.HIGH, width, height })];
    expect(videoEncoding(withOptions({ frameRate, layers })).layers).toEqual([{ width, height, bitrate }]);
  });
});

describe('audio options', () => {
  const stereo = { codec: 'opus', bitrate: 96_000, channels: 2, dtx: true };
  it.each<[string, IngressAudioOptions | undefined, object]>([
    ['none', undefined, stereo],
    ['no encoding', new IngressAudioOptions(), stereo],
    [
      'the stereo preset',
      new IngressAudioOptions({
        encodingOptions: { case: 'preset', value: IngressAudioEncodingPreset.OPUS_STEREO_96KBPS },
      }),
      stereo,
    ],
    [
      'the mono preset',
      new IngressAudioOptions({
        encodingOptions: { case: 'preset', value: IngressAudioEncodingPreset.OPUS_MONO_64KBS },
      }),
      { codec: 'opus', bitrate: 64_000, channels: 1, dtx: true },
    ],
    ['empty options', custom({}), stereo],
    ['mono', custom({ channels: 1 }), { codec: 'opus', bitrate: 64_000, channels: 1, dtx: true }],
    [
      'all of them',
      custom({ audioCodec: AudioCodec.OPUS, channels: 2, bitrate: 128_000, disableDtx: true }),
      { codec: 'opus', bitrate: 128_000, channels: 2, dtx: false },
    ],
  ])('%s', (_, options, expected) => {
    expect(audioEncoding(options)).toEqual(expected);
  });

  function custom(options: Partial<IngressAudioEncodingOptions>): IngressAudioOptions {
    return new IngressAudioOptions({
      encodingOptions: { case: 'options', value: new IngressAudioEncodingOptions(options) },
    });
  }
});

describe('layersFor', () => {
  const three = videoEncoding(undefined);

  it.each([
    ['as large as the top', 1280, 720, ['320x180', '640x360', '1280x720']],
    ['larger', 1920, 1080, ['320x180', '640x360', '1280x720']],
    ['between two', 960, 540, ['320x180', '640x360', '960x540']],
    ['as large as the middle', 640, 360, ['320x180', '640x360']],
    ['as large as the smallest', 320, 180, ['320x180']],
    ['smaller than the smallest', 160, 90, ['160x90']],
    ['4:3', 640, 480, ['240x180', '480x360', '640x480']],
    ['upright', 1080, 1920, ['102x180', '202x360', '406x720']],
    ['square', 720, 720, ['180x180', '360x360', '720x720']],
    ['odd', 853, 481, ['320x180', '640x360', '852x480']],
    ['odd and small', 161, 91, ['160x90']],
    ['very wide', 3000, 20, ['320x16', '640x16', '1280x16']],
    ['tiny', 10, 8, ['10x8']],
    ['not known', 0, 0, ['320x180', '640x360', '1280x720']],
  ])('a source that is %s', (_, width, height, expected) => {
    expect(sizes(layersFor(three, { width, height }))).toEqual(expected);
  });

  it('keeps the bitrate of each layer', () => {
    expect(show(layersFor(three, { width: 960, height: 540 }))).toEqual([
      '320x180@237500',
      '640x360@671751',
      '960x540@1900000',
    ]);
  });

  it('holds for every source: even, never above it, its shape, growing', () => {
    for (let width = 16; width <= 2000; width += 37) {
      for (let height = 16; height <= 2000; height += 41) {
        const layers = layersFor(three, { width, height });
        let last = 0;
        for (const layer of layers) {
          expect(layer.width % 2 || layer.height % 2, `${width}x${height}`).toBe(0);
          expect(layer.width <= width && layer.height <= height).toBe(true);
          expect(layer.width * layer.height).toBeGreaterThan(last);
          last = layer.width * layer.height;
          // Rounding to even costs a small side more.
          const error = Math.abs(layer.width - (layer.height * width) / height);
          if (layer.width > 16 && layer.height > 16)
            expect(error).toBeLessThanOrEqual(2 + (2 * width) / height);
        }
      }
    }
  });
});

describe('resizeLayers', () => {
  const three = videoEncoding(undefined);
  it.each([
    ['the same', 1280, 720, 3, ['320x180', '640x360', '1280x720']],
    ['larger', 1920, 1080, 3, ['320x180', '640x360', '1280x720']],
    ['turned', 720, 1280, 3, ['102x180', '202x360', '406x720']],
    ['half', 640, 360, 3, ['160x90', '320x180', '640x360']],
    ['small', 320, 180, 3, ['80x46', '160x90', '320x180']],
    ['between', 960, 540, 3, ['320x180', '640x360', '960x540']],
    ['of a single layer', 640, 360, 1, ['320x180']],
    ['of two', 1920, 1080, 2, ['320x180', '640x360']],
    ['tiny', 16, 16, 3, ['16x16', '16x16', '16x16']],
  ])('%s: %sx%s in %s layers', (_, width, height, count, expected) => {
    const layers = resizeLayers(three, { width, height }, count);
    expect(sizes(layers)).toEqual(expected);
    expect(layers.map(({ bitrate }) => bitrate)).toEqual([237_500, 671_751, 1_900_000].slice(0, count));
  });
});

describe('planMedia', () => {
  const h264: InputVideo = {
    codec: 'h264',
    profile: 'High',
    width: 1280,
    height: 720,
    rotation: 0,
    framerate: 30,
    bFrames: false,
  };
  const aac: InputAudio = { codec: 'aac', sampleRate: 44_100, channels: 2 };
  const plan = (
    info: Partial<IngressInfo>,
    video: Partial<InputVideo> | undefined,
    audio?: Partial<InputAudio>,
  ) =>
    planMedia(new IngressInfo(info), {
      video: video && { ...h264, ...video },
      audio: audio && { ...aac, ...audio },
    });

  it('copies what is fit, and says so', () => {
    expect(plan({}, {}, {})).toEqual({
      video: { mode: 'copy', codec: 'h264' },
      audio: { mode: 'encode', codec: 'opus', bitrate: 96_000, channels: 2, dtx: true },
      note: 'video: copied (H.264 without B-frames); audio: encoded to Opus (source is AAC)',
    });
    expect(
      plan({ enableTranscoding: false }, { codec: 'vp8', bFrames: undefined }, { codec: 'opus' }),
    ).toEqual({
      video: { mode: 'copy', codec: 'vp8' },
      audio: { mode: 'copy', codec: 'opus' },
      note: 'video: copied (VP8); audio: copied (Opus)',
    });
  });

  it.each<[Partial<InputVideo>, string]>([
    [{ bFrames: true }, 'source has B-frames'],
    [{ bFrames: undefined }, 'source is H.264 that may have B-frames'],
    [{ codec: 'hevc' }, 'source is HEVC'],
    [{ codec: 'mjpeg' }, 'source is MJPEG'],
    [{ codec: 'av1' }, 'source is AV1'],
    [{ rotation: 180 }, 'source is to be turned by 180 degrees'],
    [{ profile: 'High 4:2:2' }, 'source is H.264 High 4:2:2, which browsers do not show'],
    [{ profile: 'High 10' }, 'source is H.264 High 10, which browsers do not show'],
    [{ framerate: 120 }, 'source has 120 frames a second, more than 60'],
  ])('encodes what is not: %j', (video, reason) => {
    const { video: chosen, note } = plan({}, video);
    expect(chosen).toMatchObject({ mode: 'encode', codec: 'h264', framerate: 30 });
    expect(note).toBe(`video: encoded to H.264, 3 layers (${reason}); audio: none in the source`);
  });

  it.each(['Baseline', 'Constrained Baseline', 'Main', 'High', ''])('copies profile %s', (profile) => {
    expect(plan({}, { profile }).video).toEqual({ mode: 'copy', codec: 'h264' });
  });

  it('encodes everything when asked to, and the kind that encoding options are given for', () => {
    const all = plan({ enableTranscoding: true }, {}, { codec: 'opus' });
    expect([all.video?.mode, all.audio?.mode]).toEqual(['encode', 'encode']);
    expect(all.note).toBe(
      'video: encoded to H.264, 3 layers (enable_transcoding is true); audio: encoded to Opus (enable_transcoding is true)',
    );
    const one = plan({ video: withPreset(P.H264_720P_30FPS_1_LAYER) }, {}, { codec: 'opus' });
    expect([one.video?.mode, one.audio?.mode]).toEqual(['encode', 'copy']);
    expect(one.note).toBe(
      'video: encoded to H.264, one layer (the ingress has encoding options); audio: copied (Opus)',
    );
    expect(plan({ video: new IngressVideoOptions({ name: 'n' }) }, {}).video?.mode).toBe('copy');
  });

  it('encodes into layers no larger than the source, as it is shown', () => {
    expect(plan({}, { bFrames: true, width: 640, height: 360 }).video).toMatchObject({
      layers: [{ width: 320 }, { width: 640 }],
    });
    const turned = plan({}, { rotation: 90, width: 640, height: 360 }).video;
    expect(turned?.mode === 'encode' && sizes(turned.layers)).toEqual(['102x180', '202x360', '360x640']);
  });

  it('takes a source that has one kind only, and sound with more than two channels', () => {
    expect(plan({}, undefined, { codec: 'opus', channels: 6 })).toEqual({
      video: null,
      audio: { mode: 'encode', codec: 'opus', bitrate: 96_000, channels: 2, dtx: true },
      note: 'video: none in the source; audio: encoded to Opus (source has 6 channels)',
    });
    expect(plan({}, {}).audio).toBeNull();
    expect(plan({}, undefined, { codec: 'pcm_mulaw' }).note).toContain('encoded to Opus (source is PCMU)');
  });
});
