import { describe, expect, it } from 'vitest';
import { h264Info } from '../../src/egress/log/h264.ts';
import { parseSps } from '../../src/media/h264-sps.ts';
import { vp8FrameSize, vp9FrameSize } from '../../src/media/vpx.ts';
import { opusSamples, opusSilence } from '../../src/egress/log/opus.ts';
import { picture, SPS_1080 } from '../support/ts-builder.ts';

const hex = (text: string): Buffer => Buffer.from(text, 'hex');

describe('SPS', () => {
  // Made by x264 for pictures of these sizes.
  it.each([
    ['64x64', '6742c00ad90426c044000003000400000300f03c489920', 64, 64, 'Constrained Baseline'],
    ['640x360', '674d401eeca05017fcb80880000003008000001e078b16cb', 640, 360, 'Main'],
    ['1080p, cropped', '67640028acd940780227e5c044000003000400000300f03c60c658', 1920, 1080, 'High'],
    ['cropped both ways', '6764000dacd941519e226c0440000003004000000f03c50a6580', 322, 182, 'High'],
    ['interlaced', '6764001facd940b424d80880000003008000001e0f8b16cb', 720, 576, 'High'],
    ['4:4:4', '67f4000d919b282833f1b80880000003008000001e078a14cb', 320, 180, 'High 4:4:4 Predictive'],
  ])('%s', (_, sps, width, height, profile) => {
    expect(parseSps(hex(sps))).toEqual({ width, height, profile });
  });

  it('is refused when it is cut short or something else', () => {
    const sps = hex('67640028acd940780227e5c044000003000400000300f03c60c658');
    for (let length = 0; length < 10; length++) expect(parseSps(sps.subarray(0, length))).toBeUndefined();
    expect(parseSps(hex('68ebe3cb22c0'))).toBeUndefined();
  });
});

describe('parameter sets', () => {
  it('hash alike when they are repeated, differently when they differ', () => {
    const once = h264Info(picture(true));
    const twice = h264Info(Buffer.concat([picture(true).subarray(0, 60), picture(true)]));
    expect(once).toMatchObject({ codec: 'h264', width: 640, height: 360 });
    expect(twice?.parametersHash).toBe(once?.parametersHash);
    expect(h264Info(picture(true, 1000, SPS_1080))?.parametersHash).not.toBe(once?.parametersHash);
  });

  it('are not found in a dependent picture', () => expect(h264Info(picture(false))).toBeUndefined());
});

describe('VP8 and VP9', () => {
  it('keyframes tell their size', () => {
    expect(vp8FrameSize(hex('9059009d012a4201b600000708858588'))).toEqual({ width: 322, height: 182 });
    expect(vp9FrameSize(hex('824983420014100b560838241c184a00'))).toEqual({ width: 322, height: 182 });
  });

  it('dependent frames do not', () => {
    expect(vp8FrameSize(hex('9159009d012a4201b600000708858588'))).toBeUndefined();
    expect(vp9FrameSize(hex('864983420014100b560838241c184a00'))).toBeUndefined();
  });
});

describe('Opus packets', () => {
  it.each([
    ['20 ms CELT', 'fcfffe', 960],
    ['10 ms SILK', '00ff', 480],
    ['60 ms SILK', '18ff', 2880],
    ['2 x 20 ms', 'fdff', 1920],
    ['3 x 20 ms', 'ff03', 2880],
    ['2.5 ms CELT', 'e0ff', 120],
    ['20 ms hybrid', '78ff', 960],
  ])('%s', (_, packet, samples) => expect(opusSamples(hex(packet))).toBe(samples));

  it('of no length, or of more than 120 ms, are none', () => {
    expect(opusSamples(hex(''))).toBeUndefined();
    expect(opusSamples(hex('ff00'))).toBeUndefined();
    expect(opusSamples(hex('ff3f'))).toBeUndefined();
  });

  it('of silence last 20 ms', () => expect(opusSamples(opusSilence(2))).toBe(960));
});
