/** Publishes a MediaStream over WHIP. */
import { HttpPeer } from './http-peer.ts';
import type { HttpPeerEvents, HttpPeerOptions } from './http-peer.ts';

export interface WhipOptions extends HttpPeerOptions {
  stream: MediaStream;
  /** e.g. `VP8`; tried first, the others stay in the offer. */
  codec?: string;
  /** Three layers: a quarter, half and all of the picture. */
  simulcast?: boolean;
  /** Of the full picture, bit/s. Default 2 500 000. */
  maxBitrate?: number;
}

export class WhipClient extends HttpPeer {
  readonly #options: WhipOptions;

  constructor(options: WhipOptions, events: Partial<HttpPeerEvents> = {}) {
    super(options, events);
    this.#options = options;
  }

  /** Codecs this browser can send, e.g. `VP8`, without retransmission and error correction. */
  static videoCodecs(): string[] {
    const codecs = RTCRtpSender.getCapabilities('video')?.codecs ?? [];
    const names = codecs.map(({ mimeType }) => mimeType.split('/')[1] ?? '');
    return [...new Set(names)].filter((name) => /^(VP8|VP9|H264|AV1)$/i.test(name));
  }

  protected override prepare(): void {
    const { stream, codec, simulcast = false, maxBitrate = 2_500_000 } = this.#options;
    for (const track of stream.getTracks()) {
      const transceiver = this.connection.addTransceiver(track, {
        direction: 'sendonly',
        streams: [stream],
        ...(track.kind === 'video' ? { sendEncodings: encodings(simulcast, maxBitrate) } : {}),
      });
      if (track.kind === 'video' && codec !== undefined) prefer(transceiver, codec);
    }
  }
}

function encodings(simulcast: boolean, maxBitrate: number): RTCRtpEncodingParameters[] {
  if (!simulcast) return [{ maxBitrate }];
  return [
    { rid: 'q', scaleResolutionDownBy: 4, maxBitrate: Math.round(maxBitrate / 14) },
    { rid: 'h', scaleResolutionDownBy: 2, maxBitrate: Math.round(maxBitrate / 4) },
    { rid: 'f', maxBitrate },
  ];
}

function prefer(transceiver: RTCRtpTransceiver, codec: string): void {
  const codecs = RTCRtpSender.getCapabilities('video')?.codecs ?? [];
  const wanted = ({ mimeType }: { mimeType: string }) =>
    mimeType.toLowerCase() === `video/${codec.toLowerCase()}`;
  transceiver.setCodecPreferences([
    ...codecs.filter(wanted).sort((a, b) => h264Rank(a.sdpFmtpLine) - h264Rank(b.sdpFmtpLine)),
    ...codecs.filter((each) => !wanted(each)),
  ]);
}

/** Constrained baseline in packetization mode 1 plays everywhere. */
function h264Rank(fmtp = ''): number {
  return (fmtp.includes('profile-level-id=42e0') ? 0 : 2) + (fmtp.includes('packetization-mode=1') ? 0 : 1);
}
