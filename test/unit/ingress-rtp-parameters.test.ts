import { IngressInfo, IngressVideoEncodingPreset } from '@livekit/protocol';
import { describe, expect, it } from 'vitest';
import { Backoff, Limit } from '../../src/ingress/backoff.ts';
import { InputError } from '../../src/ingress/inputs/types.ts';
import type { InputVideo } from '../../src/ingress/inputs/types.ts';
import { outputsFor, resized } from '../../src/ingress/outputs.ts';
import { audioParameters, videoParameters } from '../../src/ingress/rtp-parameters.ts';
import { mediaCodecs } from '../../src/sfu/codecs.ts';

const video: InputVideo = {
  codec: 'h264',
  profile: 'High',
  width: 1280,
  height: 720,
  rotation: 0,
  framerate: 30,
  bFrames: false,
};

/** The router's own H.264 profiles, which mediasoup compares strictly. */
const profiles = mediaCodecs
  .filter(({ mimeType, parameters }) => mimeType === 'video/H264' && parameters?.['packetization-mode'] === 1)
  .map(({ parameters }) => String(parameters?.['profile-level-id']));

describe('the parameters of a copied picture', () => {
  it.each([
    ['Constrained Baseline', '42e01f'],
    ['Baseline', '42001f'],
    ['Main', '4d001f'],
    ['High', '64001f'],
    ['Constrained High', '640c1f'],
    ['', '42e01f'],
  ])('of profile "%s" are %s, which the router has', (profile, expected) => {
    const output = { mode: 'copy', codec: 'h264', payloadType: 108, ssrc: 7 } as const;
    const { codecs, encodings } = videoParameters(output, 'c', profile);
    expect(codecs[0]?.parameters['profile-level-id']).toBe(expected);
    expect(profiles).toContain(expected);
    expect(encodings).toEqual([{ ssrc: 7 }]);
  });
});

describe('the outputs of a source', () => {
  it('have an SSRC of their own for each layer, and the bitrates of the preset', () => {
    const info = new IngressInfo({ enableTranscoding: true });
    const outputs = outputsFor(info, { video, audio: { codec: 'aac', sampleRate: 44_100, channels: 1 } });
    if (outputs.video?.mode !== 'encode') throw new Error('not encoded');
    const { encodings, codecs } = videoParameters(outputs.video, 'c', 'High');
    expect(new Set(encodings.map(({ ssrc }) => ssrc)).size).toBe(3);
    expect(encodings.map(({ maxBitrate }) => maxBitrate)).toEqual([237_500, 671_751, 1_900_000]);
    // What our encoder makes, whatever the source was.
    expect(codecs[0]?.parameters['profile-level-id']).toBe('42e01f');
  });

  it('of sound say whether it is stereo, and whether silence is sent', () => {
    const encoded = audioParameters(
      { mode: 'encode', codec: 'opus', payloadType: 111, ssrc: 1, bitrate: 64_000, channels: 1, dtx: true },
      'c',
    );
    expect(encoded.codecs[0]).toMatchObject({ channels: 2, parameters: { stereo: 0, usedtx: 1 } });
    const copied = audioParameters({ mode: 'copy', codec: 'opus', payloadType: 111, ssrc: 1 }, 'c', 2);
    expect(copied.codecs[0]?.parameters).toMatchObject({ stereo: 1 });
    expect(copied.codecs[0]?.parameters).not.toHaveProperty('usedtx');
  });

  it('are none for a source with nothing in it', () => {
    expect(() => outputsFor(new IngressInfo(), { video: undefined, audio: undefined })).toThrow(InputError);
  });

  it('follow the size of the source, and only when it matters', () => {
    const info = new IngressInfo({
      enableTranscoding: true,
      video: {
        encodingOptions: { case: 'preset', value: IngressVideoEncodingPreset.H264_720P_30FPS_3_LAYERS },
      },
    });
    const outputs = outputsFor(info, { video, audio: undefined });
    expect(resized(info, outputs.video, { width: 1280, height: 720 })).toBeUndefined();
    const smaller = resized(info, outputs.video, { width: 640, height: 360 });
    expect(smaller?.at(-1)).toEqual({ width: 640, height: 360 });
    expect(smaller).toHaveLength(3);
    const copied = { mode: 'copy', codec: 'h264', payloadType: 108, ssrc: 7 } as const;
    expect(resized(info, copied, { width: 640, height: 360 })).toBeUndefined();
  });
});

describe('waiting', () => {
  it('doubles from half a second to ten, and begins anew', () => {
    const backoff = new Backoff();
    expect(Array.from({ length: 7 }, () => backoff.next())).toEqual([
      500, 1000, 2000, 4000, 8000, 10_000, 10_000,
    ]);
    backoff.reset();
    expect(backoff.next()).toBe(500);
  });

  it('has its limit within a window', () => {
    const limit = new Limit(2, 1000);
    expect([0, 100, 200, 1150].map((at) => limit.exceeded(at))).toEqual([false, false, true, false]);
  });
});
