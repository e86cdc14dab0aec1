import { describe, expect, test } from 'vitest';

import type { SrtpKey } from '../../pipelines/shared/protocol.ts';
import { codecElements, rtpCaps, srtpCipher } from '../../pipelines/shared/rtp-codecs.ts';

const decode = (base64: string): Uint8Array => Buffer.from(base64, 'base64');

describe('caps of RTP', () => {
  test('of H.264, with what makes feedback possible', () => {
    const caps = rtpCaps(
      {
        mimeType: 'video/H264',
        payloadType: 96,
        clockRate: 90_000,
        parameters: {
          'packetization-mode': 1,
          'profile-level-id': '42e01f',
          'sprop-parameter-sets': 'Z0IAH5WoFAFuQA==,aM48gA==',
        },
      },
      1234,
    );
    expect(caps).toBe(
      'application/x-rtp, media=(string)video, encoding-name=(string)H264, payload=(int)96, clock-rate=(int)90000, ' +
        'ssrc=(uint)1234, rtcp-fb-nack-pli=(boolean)true, rtcp-fb-nack=(boolean)true, packetization-mode=(string)"1", ' +
        'profile-level-id=(string)"42e01f", sprop-parameter-sets=(string)"Z0IAH5WoFAFuQA==,aM48gA=="',
    );
  });

  test('of Opus and PCMU', () => {
    expect(
      rtpCaps(
        { mimeType: 'audio/opus', payloadType: 111, clockRate: 48_000, channels: 2, parameters: {} },
        1,
      ),
    ).toContain(
      'encoding-name=(string)OPUS, payload=(int)111, clock-rate=(int)48000, ssrc=(uint)1, rtcp-fb-nack=(boolean)true, encoding-params=(string)2',
    );
    expect(rtpCaps({ mimeType: 'audio/PCMU', payloadType: 0, clockRate: 8000, parameters: {} }, 1)).toContain(
      'encoding-name=(string)PCMU',
    );
  });

  test('cannot be broken out of by fmtp', () => {
    const caps = rtpCaps(
      {
        mimeType: 'video/VP8',
        payloadType: 97,
        clockRate: 90_000,
        parameters: { 'a b': 'x', ok: '1', evil: '"; ssrc=(uint)9', 'x=1, y': '2' },
      },
      1,
    );
    expect(caps.endsWith('ok=(string)"1"')).toBe(true);
  });

  test('carry the key of SRTP', () => {
    const key = srtpCipher(
      { cryptoSuite: 'AES_CM_128_HMAC_SHA1_32', keyBase64: Buffer.alloc(30, 0xab).toString('base64') },
      decode,
    );
    const caps = rtpCaps(
      { mimeType: 'video/VP8', payloadType: 97, clockRate: 90_000, parameters: {} },
      1,
      key,
    );
    expect(caps).toContain('application/x-srtp');
    expect(caps).toContain(
      `srtp-key=(buffer)${'ab'.repeat(30)}, srtp-cipher=(string)aes-128-icm, srtp-auth=(string)hmac-sha1-32`,
    );
    expect(caps).toContain('srtcp-auth=(string)hmac-sha1-80');
  });
});

test.each<[SrtpKey['cryptoSuite'], number]>([
  ['AEAD_AES_256_GCM', 44],
  ['AEAD_AES_128_GCM', 28],
  ['AES_CM_128_HMAC_SHA1_80', 30],
  ['AES_CM_128_HMAC_SHA1_32', 30],
])('%s takes %i bytes, and says so of others', (cryptoSuite, bytes) => {
  const key = (length: number): SrtpKey => ({
    cryptoSuite,
    keyBase64: Buffer.alloc(length).toString('base64'),
  });
  expect(srtpCipher(key(bytes), decode).keyHex).toHaveLength(bytes * 2);
  expect(() => srtpCipher(key(bytes - 1), decode)).toThrow(
    `${cryptoSuite} takes ${bytes} bytes of key and salt, not ${bytes - 1}`,
  );
});

test('codecs are known whatever their case, others refused by name', () => {
  expect(codecElements('video/h264')).toBe(codecElements('video/H264'));
  expect(() => codecElements('video/AV1')).toThrow('codec video/AV1 cannot be received (known: video/h264,');
});
