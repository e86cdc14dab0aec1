/** Transports of a real SFU for an ingress program: what the bridge would make. */
import type { types as ms } from 'mediasoup';

import type { AudioOutput, VideoOutput } from '../../pipelines/shared/ingress-protocol.ts';
import type { RtpCodec, SrtpKey } from '../../pipelines/shared/protocol.ts';

const LOOPBACK = '127.0.0.1';
const LOCAL_KEY: SrtpKey = {
  cryptoSuite: 'AES_CM_128_HMAC_SHA1_80',
  keyBase64: Buffer.alloc(30, 9).toString('base64'),
};

/** Where to send, and with which keys. */
export interface Target {
  remote: { ip: string; port: number };
  srtp?: { local: SrtpKey; remote: SrtpKey };
}

/** A transport towards a bound port of the program. */
export async function transportTo(
  router: ms.Router,
  port: number,
  srtp: boolean,
): Promise<{ transport: ms.PlainTransport; target: Target }> {
  const transport = await router.createPlainTransport({
    listenInfo: { protocol: 'udp', ip: LOOPBACK },
    rtcpMux: true,
    comedia: false,
    enableSrtp: srtp,
  });
  await transport.connect({ ip: LOOPBACK, port, ...(srtp && { srtpParameters: LOCAL_KEY }) });
  const remote = { ip: LOOPBACK, port: transport.tuple.localPort };
  const keys = transport.srtpParameters;
  return {
    transport,
    target: srtp && keys ? { remote, srtp: { local: LOCAL_KEY, remote: keys } } : { remote },
  };
}

/** What the program's output is to mediasoup. */
export function sendParameters(output: VideoOutput | AudioOutput): ms.RtpParameters {
  const ssrcs = 'layers' in output ? output.layers.map(({ ssrc }) => ssrc) : [output.ssrc];
  const base = { payloadType: output.payloadType };
  const codec: ms.RtpCodecParameters =
    output.codec === 'opus'
      ? { ...base, mimeType: 'audio/opus', clockRate: 48_000, channels: 2, parameters: {} }
      : {
          ...base,
          mimeType: output.codec === 'h264' ? 'video/H264' : 'video/VP8',
          clockRate: 90_000,
          parameters:
            output.codec === 'h264'
              ? { 'packetization-mode': 1, 'profile-level-id': '42e01f', 'level-asymmetry-allowed': 1 }
              : {},
          rtcpFeedback: [{ type: 'nack' }, { type: 'nack', parameter: 'pli' }],
        };
  return { codecs: [codec], encodings: ssrcs.map((ssrc) => ({ ssrc })), rtcp: { cname: 'IN_test' } };
}

/** What a consumer sends, as the program is told of it. */
export function receiveParameters({ rtpParameters }: ms.Consumer): { codec: RtpCodec; ssrc: number } {
  const [codec] = rtpParameters.codecs;
  const ssrc = rtpParameters.encodings?.[0]?.ssrc;
  if (!codec || ssrc === undefined) throw new Error('the consumer has no codec or no SSRC');
  return {
    codec: {
      mimeType: codec.mimeType,
      payloadType: codec.payloadType,
      clockRate: codec.clockRate,
      ...(codec.channels !== undefined && { channels: codec.channels }),
      parameters: codec.parameters as RtpCodec['parameters'],
    },
    ssrc,
  };
}
