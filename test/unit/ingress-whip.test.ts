/** What is read off RTP, and said of it. */
import { describe, expect, it } from 'vitest';
import { parseRtp, sizeOf } from '../../src/ingress/whip/rtp-picture.ts';
import { copyNote, inputState } from '../../src/ingress/whip/state.ts';
import type { MeasuredTrack } from '../../src/ingress/whip/state.ts';

const hex = (text: string): Uint8Array => Buffer.from(text.replaceAll(' ', ''), 'hex');

describe('an RTP packet', () => {
  it.each([
    ['as simple as can be', '80 60 0001 00000bb8 12345678 aabb', 'aabb'],
    ['with CSRCs', '82 60 0001 00000bb8 12345678 00000001 00000002 aabb', 'aabb'],
    ['with a header extension', '90 60 0001 00000bb8 12345678 bede0001 10ff0000 aabb', 'aabb'],
    ['with padding', 'a0 60 0001 00000bb8 12345678 aabb 0002', 'aabb'],
    ['without a payload', '80 60 0001 00000bb8 12345678', ''],
  ])('%s', (_name, packet, payload) => {
    expect(parseRtp(hex(packet))).toEqual({ ssrc: 0x12345678, timestamp: 3000, payload: hex(payload) });
  });

  it.each([
    ['cut short', '80 60 0001 00000bb8'],
    ['of another version', '40 60 0001 00000bb8 12345678 aabb'],
    ['with an extension that is not there', '90 60 0001 00000bb8 12345678'],
    ['with more padding than packet', 'a0 60 0001 00000bb8 12345678 00ff'],
    ['that is empty', ''],
  ])('%s is none', (_name, packet) => expect(parseRtp(hex(packet))).toBeUndefined());
});

/** 640 × 360. */
const VP8_KEYFRAME = '10 02 00 9d012a 8002 6801';
/** Profile 0, 640 × 360, keyframe. */
const VP9_KEYFRAME = '82 49 83 42 00 27 f0 16 70 00';
/** x264, baseline, 640 × 360. */
const SPS = '67 42 c0 1e d9 00 a0 2f f9 70 16 e0 20 20 20 40';

describe('the size of a picture', () => {
  it.each([
    ['VP8', 'video/VP8', `10 ${VP8_KEYFRAME}`],
    ['VP8 with a short picture id', 'video/VP8', `90 80 05 ${VP8_KEYFRAME}`],
    ['VP8 with all there can be', 'video/vp8', `90 f0 8005 07 20 ${VP8_KEYFRAME}`],
    ['VP9', 'video/VP9', `08 ${VP9_KEYFRAME}`],
    ['VP9 with a picture id', 'video/VP9', `88 8005 ${VP9_KEYFRAME}`],
    ['VP9 with layer indices', 'video/VP9', `a8 8005 00 07 ${VP9_KEYFRAME}`],
    ['VP9 with a structure without sizes', 'video/VP9', `0a 08 01 44 01 ${VP9_KEYFRAME}`],
    ['VP9, of the largest layer of its structure', 'video/VP9', '0a 30 0140 00b4 0280 0168 00'],
    ['H.264, alone', 'video/H264', SPS],
    ['H.264, with others', 'video/H264', `78 0002 0910 0010 ${SPS} 0004 68cb83cb`],
  ])('%s', (_name, mimeType, payload) => {
    expect(sizeOf(mimeType, hex(payload))).toEqual({ width: 640, height: 360 });
  });

  it.each([
    ['a VP8 frame that is no keyframe', 'video/VP8', '10 11 02 00 9d012a 8002 6801'],
    ['a later VP8 packet', 'video/VP8', `00 ${VP8_KEYFRAME}`],
    ['a later VP8 partition', 'video/VP8', `11 ${VP8_KEYFRAME}`],
    ['a VP9 frame that is no keyframe', 'video/VP9', `48 ${VP9_KEYFRAME}`],
    ['a later VP9 packet', 'video/VP9', `00 ${VP9_KEYFRAME}`],
    ['an H.264 slice', 'video/H264', '65 88 84 00'],
    ['a STAP-A whose length is a lie', 'video/H264', '78 ffff 0910'],
    ['AV1', 'video/AV1', '10 00 00 00'],
    ['nothing', 'video/VP9', ''],
  ])('is not in %s', (_name, mimeType, payload) => expect(sizeOf(mimeType, hex(payload))).toBeUndefined());
});

const audio: MeasuredTrack = {
  kind: 'audio',
  mimeType: 'audio/opus',
  layers: 1,
  bitrate: 40_000,
  width: 0,
  height: 0,
  framerate: 0,
  channels: 2,
  sampleRate: 48_000,
};
const video: MeasuredTrack = {
  ...audio,
  kind: 'video',
  mimeType: 'video/VP8',
  layers: 3,
  width: 1280,
  height: 720,
  framerate: 29.9,
  channels: 0,
  sampleRate: 0,
};

describe('the state', () => {
  it('says what is copied, video first', () => {
    expect(copyNote([audio, video])).toBe('video: copied (VP8 in 3 layers); audio: copied (Opus)');
    expect(copyNote([{ kind: 'video', mimeType: 'video/H264', layers: 1 }])).toBe('video: copied (H.264)');
  });

  it('has the first track of each kind, and nothing of a kind that is not there', () => {
    const other = { ...video, width: 320 };
    expect(inputState([audio, video, other])).toMatchObject({
      video: { mimeType: 'video/VP8', width: 1280, height: 720, framerate: 29.9 },
      audio: { averageBitrate: 40_000, channels: 2, sampleRate: 48_000 },
    });
    expect(inputState([video])).not.toHaveProperty('audio');
    expect(inputState([])).toEqual({});
  });
});
