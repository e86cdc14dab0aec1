import { ortc } from 'mediasoup';
import { describe, expect, it } from 'vitest';
import { mediaCodecs } from '../../src/sfu/codecs.ts';

const { codecs = [] } = ortc.generateRouterRtpCapabilities([...mediaCodecs]);

/** `a=rtpmap` and `a=fmtp` of Chromium 156's createOffer() (Debian 12), with the number of its RTX. */
const CHROMIUM: [number, string, Record<string, string | number>, number | undefined][] = [
  [111, 'audio/opus', {}, undefined],
  [0, 'audio/PCMU', {}, undefined],
  [8, 'audio/PCMA', {}, undefined],
  [96, 'video/VP8', {}, 97],
  [98, 'video/VP9', { 'profile-id': 0 }, 99],
  [100, 'video/VP9', { 'profile-id': 2 }, 101],
  [102, 'video/H264', { 'packetization-mode': 1, 'profile-level-id': '42001f' }, 103],
  [104, 'video/H264', { 'packetization-mode': 0, 'profile-level-id': '42001f' }, 107],
  [108, 'video/H264', { 'packetization-mode': 1, 'profile-level-id': '42e01f' }, 109],
  [114, 'video/H264', { 'packetization-mode': 0, 'profile-level-id': '42e01f' }, 115],
  [116, 'video/H264', { 'packetization-mode': 1, 'profile-level-id': '4d001f' }, 117],
  [45, 'video/AV1', {}, undefined],
];

describe("the router's payload types", () => {
  it.each(CHROMIUM)('%i is %s %o, as in Chromium', (payloadType, mimeType, parameters, rtx) => {
    const codec = codecs.find(({ preferredPayloadType }) => preferredPayloadType === payloadType);
    expect(codec).toMatchObject({ mimeType, parameters });
    if (rtx === undefined) return;
    expect(codecs.find(({ preferredPayloadType }) => preferredPayloadType === rtx)).toMatchObject({
      mimeType: 'video/rtx',
      parameters: { apt: payloadType },
    });
  });

  it('has every profile people publish', () => {
    const profiles = codecs.map(({ parameters }) => parameters?.['profile-level-id']);
    for (const profile of ['42e01f', '42001f', '4d001f', '64001f', '640c1f'])
      expect(profiles).toContain(profile);
  });

  it('uses no number twice', () => {
    const numbers = codecs.map(({ preferredPayloadType }) => preferredPayloadType);
    expect(new Set(numbers).size).toBe(numbers.length);
  });
});
