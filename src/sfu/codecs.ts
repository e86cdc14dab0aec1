/**
 * The codecs of a room's router.
 *
 * mediasoup gives a packet its payload type once, when it comes in, and no consumer can change it: a WHEP
 * viewer gets the router's numbers. An SDP answer may only use numbers of the offer (RFC 3264 §6.1), so the
 * router takes those that Chromium offers (read from Chromium 156; Firefox and Safari share opus, VP8 and VP9).
 *
 * RTX numbers cannot be asked for: for each video codec mediasoup takes the first number that is free at that
 * point from 100…127, 96…99. **The order of this list is therefore part of its meaning**: each codec stands
 * where the next free number is the one Chromium pairs with it (102/103, 104/107 … 96/97). Codecs between that
 * nobody would miss otherwise (comfort noise, telephone events, 4:4:4 profiles) are Chromium's too, or older
 * browsers', and use up the numbers between. A table test holds the outcome to a real offer.
 */
import type { types as ms } from 'mediasoup';

const h264 = (
  payloadType: number,
  packetizationMode: 0 | 1,
  profileLevelId: string,
): ms.RouterRtpCodecCapability => ({
  kind: 'video',
  mimeType: 'video/H264',
  clockRate: 90000,
  preferredPayloadType: payloadType,
  parameters: {
    'level-asymmetry-allowed': 1,
    'packetization-mode': packetizationMode,
    'profile-level-id': profileLevelId,
  },
});

const vp9 = (payloadType: number, profileId: 0 | 1 | 2 | 3): ms.RouterRtpCodecCapability => ({
  kind: 'video',
  mimeType: 'video/VP9',
  clockRate: 90000,
  preferredPayloadType: payloadType,
  parameters: { 'profile-id': profileId },
});

const audio = (payloadType: number, name: string, clockRate: number): ms.RouterRtpCodecCapability => ({
  kind: 'audio',
  mimeType: `audio/${name}`,
  clockRate,
  preferredPayloadType: payloadType,
});

/** For `worker.createRouter({ mediaCodecs })`. */
export const mediaCodecs: readonly ms.RouterRtpCodecCapability[] = [
  { ...audio(111, 'opus', 48000), channels: 2, parameters: { minptime: 10, useinbandfec: 1 } },
  audio(0, 'PCMU', 8000),
  audio(8, 'PCMA', 8000),
  audio(106, 'CN', 32000),
  audio(105, 'CN', 16000),
  audio(110, 'telephone-event', 48000),
  audio(112, 'telephone-event', 32000),
  audio(113, 'telephone-event', 16000),
  audio(126, 'telephone-event', 8000),
  vp9(100, 2), // rtx 101
  h264(102, 1, '42001f'), // baseline, rtx 103
  h264(104, 0, '42001f'), // rtx 107
  h264(108, 1, '42e01f'), // constrained baseline, rtx 109
  h264(114, 0, '42e01f'), // rtx 115
  h264(116, 1, '4d001f'), // main, rtx 117
  // From here to VP8 the RTX numbers (118…127) match nobody's: these go without RTX, and a lost packet is
  // sent again on its own SSRC.
  h264(39, 0, '4d001f'),
  { kind: 'video', mimeType: 'video/AV1', clockRate: 90000, preferredPayloadType: 45 },
  h264(123, 1, '64001f'), // high
  h264(125, 1, '640c1f'), // constrained high, Safari's
  h264(41, 1, 'f4001f'), // 4:4:4
  vp9(35, 1),
  vp9(37, 3),
  {
    kind: 'video',
    mimeType: 'video/VP8',
    clockRate: 90000,
    preferredPayloadType: 96,
  }, // rtx 97
  vp9(98, 0), // rtx 99
];
