/** The RTP parameters of what an ingress publishes: what the room's router takes (src/sfu/codecs.ts). Pure. */
import type { AudioOutput, VideoOutput } from '../../pipelines/shared/ingress-protocol.ts';
import type { BridgeParams } from '../bridge/protocol.ts';

type RtpParameters = BridgeParams<'publish'>['rtpParameters'];
type Codec = RtpParameters['codecs'][number];

const VIDEO_CLOCK_RATE = 90_000;
const OPUS_CLOCK_RATE = 48_000;

const VIDEO_FEEDBACK: Codec['rtcpFeedback'] = [
  { type: 'nack' },
  { type: 'nack', parameter: 'pli' },
  { type: 'ccm', parameter: 'fir' },
];

/**
 * profile-level-id by FFmpeg's name of an H.264 profile. The level is the router's: levels are matched loosely
 * (level-asymmetry-allowed), profiles are not.
 */
const H264_PROFILES: Readonly<Record<string, string>> = {
  'Constrained Baseline': '42e01f',
  Baseline: '42001f',
  Main: '4d001f',
  High: '64001f',
  'Constrained High': '640c1f',
};
/** What our encoders make, and what a profile we do not know is called. */
const CONSTRAINED_BASELINE = '42e01f';

/** SSRCs of a video output, smallest layer first. */
export function videoSsrcs(output: VideoOutput): number[] {
  return output.mode === 'copy' ? [output.ssrc] : output.layers.map(({ ssrc }) => ssrc);
}

/** @param sourceProfile of a copied H.264 stream, as FFmpeg names it */
export function videoParameters(output: VideoOutput, cname: string, sourceProfile = ''): RtpParameters {
  const encodings =
    output.mode === 'copy'
      ? [{ ssrc: output.ssrc }]
      : output.layers.map(({ ssrc, bitrate }) => ({ ssrc, maxBitrate: bitrate }));
  return { codecs: [videoCodec(output, sourceProfile)], encodings, cname };
}

function videoCodec(output: VideoOutput, sourceProfile: string): Codec {
  const common = {
    payloadType: output.payloadType,
    clockRate: VIDEO_CLOCK_RATE,
    rtcpFeedback: [...VIDEO_FEEDBACK],
  };
  if (output.codec === 'vp8') return { ...common, mimeType: 'video/VP8', parameters: {} };
  const profile = output.mode === 'copy' ? H264_PROFILES[sourceProfile] : undefined;
  return {
    ...common,
    mimeType: 'video/H264',
    parameters: {
      'packetization-mode': 1,
      'level-asymmetry-allowed': 1,
      'profile-level-id': profile ?? CONSTRAINED_BASELINE,
    },
  };
}

/** @param sourceChannels of a copied stream */
export function audioParameters(output: AudioOutput, cname: string, sourceChannels = 2): RtpParameters {
  const channels = output.mode === 'encode' ? output.channels : sourceChannels;
  const stereo = channels >= 2 ? 1 : 0;
  return {
    codecs: [
      {
        mimeType: 'audio/opus',
        payloadType: output.payloadType,
        clockRate: OPUS_CLOCK_RATE,
        // RFC 7587 §4.1: always 2; how many there really are is in `stereo`.
        channels: 2,
        parameters: {
          minptime: 10,
          useinbandfec: 1,
          stereo,
          'sprop-stereo': stereo,
          ...(output.mode === 'encode' && { usedtx: output.dtx ? 1 : 0 }),
        },
        rtcpFeedback: [],
      },
    ],
    encodings: [{ ssrc: output.ssrc }],
    cname,
  };
}
