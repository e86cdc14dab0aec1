/** The text of a track's receiver: from its UDP socket to whole frames or raw media. */
import type { Command } from '../shared/protocol.ts';
import { codecElements } from '../shared/rtp-codecs.ts';

export type Connect = Extract<Command, { cmd: 'connect' }>;

/**
 * Milliseconds a missing packet is waited for; packets that come in order are not delayed by it. What was lost on its
 * way to the SFU is waited for too: of a publisher whose round trip the SFU cannot measure (GStreamer's) it asks again
 * after 100 to 140 ms, so this leaves time for three questions, and on the SFU's own path for eight.
 */
export const JITTER_LATENCY_MS = 400;

/** Bytes the kernel may hold for us: 2 s of a 8 Mbit/s stream, where net.core.rmem_max allows. */
const SOCKET_BUFFER = 2 * 1024 * 1024;

export const RECEIVER = {
  rtp: 'rtp',
  udpSource: 'udpin',
  udpSink: 'udpout',
  srtpDecoder: 'srtpdec',
  srtpEncoder: 'srtpenc',
  /** Holds the packet that left the jitterbuffer last: its RTP timestamp and its running time, in one piece. */
  lastPacket: 'lastpacket',
  /** The element of the tail whose source pad is the bin's. */
  out: 'out',
} as const;

/**
 * RTP in, RTCP both ways over one socket (RFC 5761: rtpsession takes RTCP from the RTP pad; SRTP's decoder
 * tells the two apart by itself). `drop-on-latency` is off: a frame that comes late is recorded late, not lost.
 * More than one SSRC must be let in at first: mediasoup's bandwidth probes (payload type 127) may come before. Socket,
 * caps, destination and keys are set as properties afterwards: what comes from outside is never parsed as text.
 *
 * @param tail element text after the depayloader; its last element is named `out`
 */
export function receiverDescription(connect: Connect, tail: string): string {
  const { depay, kind } = codecElements(connect.codec.mimeType);
  // When the kernel took a packet in, not when we came to read it: a busy machine moves nothing against anything.
  const input = `udpsrc name=${RECEIVER.udpSource} close-socket=false buffer-size=${SOCKET_BUFFER} socket-timestamp=realtime`;
  const output = `udpsink name=${RECEIVER.udpSink} close-socket=false sync=false async=false`;
  const keyframes = kind === 'video' ? ' request-keyframe=true wait-for-keyframe=true' : '';
  const { rtp, srtpDecoder, srtpEncoder } = RECEIVER;
  const wires = connect.srtp
    ? [
        `${input} ! srtpdec name=${srtpDecoder}`,
        `${srtpDecoder}.rtp_src ! ${rtp}.recv_rtp_sink_0  ${srtpDecoder}.rtcp_src ! ${rtp}.recv_rtcp_sink_0`,
        `srtpenc name=${srtpEncoder}  ${rtp}.send_rtcp_src_0 ! ${srtpEncoder}.rtcp_sink_0`,
        `${srtpEncoder}.rtcp_src_0 ! ${output}`,
      ]
    : [`${input} ! ${rtp}.recv_rtp_sink_0`, `${rtp}.send_rtcp_src_0 ! ${output}`];
  return [
    `rtpbin name=${rtp} rtp-profile=avpf latency=${JITTER_LATENCY_MS} do-retransmission=true`,
    'do-lost=true drop-on-latency=false',
    ...wires,
    `${rtp}.recv_rtp_src_0_${connect.ssrc}_${connect.codec.payloadType} ! tee name=packets ! ${depay}${keyframes} ! ${tail}`,
    `packets. ! fakesink name=${RECEIVER.lastPacket} sync=false async=false enable-last-sample=true`,
  ].join(' ');
}
