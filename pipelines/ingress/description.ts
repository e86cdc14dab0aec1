/** The text of an ingress's pipeline: from the input to the RTP sessions. Sockets, keys and names are set afterwards. */
import { decoder } from '../shared/ingress-decoders.ts';
import {
  type EncodedAudio,
  type EncodedVideo,
  layerCaps,
  layerEncoder,
  opusEncoder,
  rawCaps,
} from '../shared/ingress-encoders.ts';
import {
  type AudioOutput,
  type IngressInit,
  INPUT_FD,
  type VideoOutput,
} from '../shared/ingress-protocol.ts';

export type Kind = 'audio' | 'video';

/** RTP session of each kind. */
export const SESSION: Readonly<Record<Kind, number>> = { video: 0, audio: 1 };

/** Element names. */
export const NAMES = {
  rtp: 'rtpsend',
  source: 'source',
  demux: 'demux',
  /** Queue a kind's stream comes in through. */
  input: (kind: Kind) => `${kind}in`,
  /** Its source pad's caps are the input's format. */
  shape: (kind: Kind) => `${kind}shape`,
  /** Holds the first frame while the pipeline is paused. */
  first: (kind: Kind) => `${kind}first`,
  pace: (kind: Kind) => `${kind}pace`,
  size: (layer: number) => `layersize${layer}`,
  encoder: (layer: number) => `layerencoder${layer}`,
  rtpSink: (kind: Kind) => `${kind}rtpout`,
  rtcpSink: (kind: Kind) => `${kind}rtcpout`,
  rtcpSource: (kind: Kind) => `${kind}rtcpin`,
  srtpEncoder: (kind: Kind) => `${kind}srtpenc`,
  srtpDecoder: (kind: Kind) => `${kind}srtpdec`,
} as const;

/** Bytes of a packet (mediasoup's and browsers' usual limit, with room for headers of the path). */
const MTU = 1200;
/** Coded bytes that may wait for a decoder; what is more waits in the pipe. */
const INPUT_BYTES = 8 * 1024 * 1024;
/** Raw frames that may wait for an encoder; then the oldest is left out. */
const LAYER_FRAMES = 10;

/** What videorate averages over where no rate is known. */
const RATE_PERIOD_NS = 200_000_000;

const ROTATIONS = { 0: 'auto', 90: '90r', 180: '180', 270: '90l' } as const;

/** @param secure kinds that are sent by SRTP. @throws Error if there is nothing to send */
export function description(init: IngressInit, secure: ReadonlySet<Kind>, cpus: number): string {
  const { video, audio } = init;
  if (!video && !audio) throw new Error('an ingress without video and audio has nothing to send');
  const parts = [`rtpbin name=${NAMES.rtp} rtp-profile=avpf rtcp-sync-send-time=false`];
  if (init.input.type === 'pipe')
    parts.push(
      `fdsrc name=${NAMES.source} fd=${INPUT_FD} blocksize=65536 ! ${init.input.container}demux name=${NAMES.demux}`,
    );
  parts.push(...unwanted(init));
  // Layers of one picture have the same RTP timestamps, whatever their encoders' threads do.
  const timestamps = Math.floor(Math.random() * 2 ** 31);
  if (video) {
    parts.push(
      [...head(init, 'video'), ...videoBranch(init, video, timestamps, cpus)].join(' '),
      wires('video', secure),
    );
  }
  if (audio)
    parts.push([...head(init, 'audio'), ...audioBranch(init, audio)].join(' '), wires('audio', secure));
  return parts.join('  ');
}

/** The queue a stream comes in through. That of an `rtp` input is linked to its receiver later. */
function head({ input }: IngressInit, kind: Kind): string[] {
  const queue = `queue name=${NAMES.input(kind)} max-size-buffers=0 max-size-time=0 max-size-bytes=${INPUT_BYTES} !`;
  if (input.type === 'rtp') return [queue];
  const pad = input.container === 'flv' ? kind : `${kind}_0`;
  return [`${NAMES.demux}.${pad} !`, queue];
}

/** FLV's demuxer takes it for an error when what comes first is linked to nobody. */
function unwanted(init: IngressInit): string[] {
  const { input } = init;
  if (input.type !== 'pipe' || input.container !== 'flv') return [];
  return (['video', 'audio'] as const)
    .filter((kind) => !init[kind])
    .map((kind) => `${NAMES.demux}.${kind} ! queue leaky=downstream ! fakesink sync=false async=false`);
}

function videoBranch(init: IngressInit, video: VideoOutput, timestamps: number, cpus: number): string[] {
  const { rtp } = NAMES;
  const shape = NAMES.shape('video');
  if (video.mode === 'copy') {
    // Parameter sets before every keyframe: one who joins later has not heard the first. (As a byte stream it would
    // get access unit delimiters besides.)
    const parse =
      video.codec === 'h264'
        ? `h264parse name=${shape} config-interval=-1 ! video/x-h264,stream-format=avc,alignment=au`
        : `identity name=${shape} silent=true`;
    return [
      `${parse} !${pacing(init, 'video')}`,
      `${payloader(video, video.ssrc, timestamps)} ! ${rtp}.send_rtp_sink_${SESSION.video}`,
    ];
  }
  const rotation = init.input.type === 'pipe' ? (init.input.video?.rotation ?? 0) : 0;
  return [
    ...(init.input.type === 'pipe' ? [`${decoder(init.input.video?.codec, 'videodecode')} !`] : []),
    `videoconvert ! ${rawCaps(video)} !`,
    `videoflip name=${shape} video-direction=${ROTATIONS[rotation]} !`,
    `${rateLimit(init, video)} !${pacing(init, 'video')}`,
    'tee name=pictures',
    ...video.layers.map((_, index) => layerBranch(video, index, timestamps, cpus)),
    `rtpfunnel name=layers ! ${rtp}.send_rtp_sink_${SESSION.video}`,
  ];
}

function layerBranch(video: EncodedVideo, index: number, timestamps: number, cpus: number): string {
  const layer = video.layers[index];
  if (!layer) throw new Error(`there is no layer ${index}`);
  return [
    `pictures. ! queue leaky=downstream max-size-buffers=${LAYER_FRAMES} max-size-bytes=0 max-size-time=0 !`,
    `videoscale add-borders=false ! capsfilter name=${NAMES.size(index)} caps="${layerCaps(video, layer)}" !`,
    `${layerEncoder(video, layer, NAMES.encoder(index), cpus)} !`,
    `${payloader(video, layer.ssrc, timestamps)} ! layers.`,
  ].join(' ');
}

/**
 * Leaves frames out where there are too many. videorate needs to know the source's rate for that (an assertion ends
 * the process where caps name none); with a period it asks for none, but leaves nothing out.
 */
function rateLimit({ input }: IngressInit, video: EncodedVideo): string {
  const known = input.type === 'pipe' ? Math.round(input.video?.framerate ?? 0) : 0;
  const limit = `videorate drop-only=true max-rate=${Math.max(1, Math.round(video.framerate))}`;
  if (known < 1) return `${limit} average-period=${RATE_PERIOD_NS}`;
  return `capssetter caps="video/x-raw,framerate=(fraction)${known}/1" ! ${limit}`;
}

function payloader(
  { codec, payloadType }: { codec: 'h264' | 'vp8'; payloadType: number },
  ssrc: number,
  timestamps: number,
): string {
  const common = `mtu=${MTU} pt=${payloadType} ssrc=${ssrc} timestamp-offset=${timestamps}`;
  // Encoder and parser repeat the parameter sets; the payloader would put them before every slice.
  return codec === 'h264'
    ? `rtph264pay ${common} config-interval=0 aggregate-mode=zero-latency`
    : `rtpvp8pay ${common} picture-id-mode=15-bit`;
}

function audioBranch(init: IngressInit, audio: AudioOutput): string[] {
  const sink = `${NAMES.rtp}.send_rtp_sink_${SESSION.audio}`;
  const common = `pt=${audio.payloadType} ssrc=${audio.ssrc}`;
  const shape = NAMES.shape('audio');
  if (audio.mode === 'copy')
    return [
      `opusparse name=${shape} !${pacing(init, 'audio')} rtpopuspay ${common} perfect-rtptime=false ! ${sink}`,
    ];
  return [
    ...(init.input.type === 'pipe' ? [`${decoder(init.input.audio?.codec, 'audiodecode')} !`] : []),
    `identity name=${shape} silent=true !${pacing(init, 'audio')} ${encodedAudio(audio)}`,
    `! rtpopuspay dtx=${audio.dtx} ${common} perfect-rtptime=false ! ${sink}`,
  ];
}

function encodedAudio(audio: EncodedAudio): string {
  const raw = `audio/x-raw,rate=48000,channels=${audio.channels}`;
  return `audioconvert ! audioresample ! ${raw} ! ${opusEncoder(audio, 'audioencoder')}`;
}

/**
 * Where media with a pace of its own is held back: before the encoder, so that a keyframe asked for is the next to
 * leave. The other branch keeps the first frame, whose time the pace begins at.
 */
function pacing({ pacing: pace }: IngressInit, kind: Kind): string {
  if (pace === 'arrival') return '';
  return [
    ` tee name=${kind}paced  ${kind}paced. ! fakesink name=${NAMES.first(kind)} sync=false async=false`,
    `enable-last-sample=true  ${kind}paced. ! clocksync name=${NAMES.pace(kind)} !`,
  ].join(' ');
}

/** One socket takes RTP and RTCP out and RTCP in (RFC 5761). */
function wires(kind: Kind, secure: ReadonlySet<Kind>): string {
  const { rtp } = NAMES;
  const session = SESSION[kind];
  const sink = (name: string): string => `udpsink name=${name} close-socket=false sync=false async=false`;
  const rtpOut = sink(NAMES.rtpSink(kind));
  const rtcpOut = sink(NAMES.rtcpSink(kind));
  const source = `udpsrc name=${NAMES.rtcpSource(kind)} close-socket=false`;
  if (!secure.has(kind))
    return [
      `${rtp}.send_rtp_src_${session} ! ${rtpOut}  ${rtp}.send_rtcp_src_${session} ! ${rtcpOut}`,
      `${source} ! ${rtp}.recv_rtcp_sink_${session}`,
    ].join('  ');
  const [encoder, decoding] = [NAMES.srtpEncoder(kind), NAMES.srtpDecoder(kind)];
  return [
    `srtpenc name=${encoder}  ${rtp}.send_rtp_src_${session} ! ${encoder}.rtp_sink_0`,
    `${encoder}.rtp_src_0 ! ${rtpOut}  ${rtp}.send_rtcp_src_${session} ! ${encoder}.rtcp_sink_0`,
    `${encoder}.rtcp_src_0 ! ${rtcpOut}`,
    // By name: left to itself, a source of any caps is linked to the pad for RTP.
    `srtpdec name=${decoding}  ${source} ! ${decoding}.rtcp_sink`,
    `${decoding}.rtcp_src ! ${rtp}.recv_rtcp_sink_${session}`,
  ].join('  ');
}
