/**
 * The media of the test publisher: two sources on one clock, their encoders and payloaders, as text for
 * `Gst.parse_launch`, and the caps the peer connection negotiates with.
 */
import type { AudioCodec, H264Profile, PublisherSettings, PublisherVideo } from './protocol.ts';
import { CHANNELS, SAMPLE_RATE } from './signal.ts';

export const VIDEO_PAYLOAD_TYPE = 96;
/** PCMU has a number of its own (RFC 3551, section 6). */
const AUDIO_PAYLOAD_TYPE: Readonly<Record<AudioCodec, number>> = { opus: 111, pcmu: 0 };
/** Samples in one Opus frame, 20 ms. */
export const CHUNK_SAMPLES = 960;

const MID_EXTENSION = 'extmap-1=urn:ietf:params:rtp-hdrext:sdes:mid';

/** Header extension that says which layer a packet belongs to. */
export const RID_EXTENSION_ID = 2;
const RID_EXTENSION = 'urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id';

/** Element names in the pipeline. */
export const NAMES = { peer: 'peer', video: 'video', audio: 'audio' } as const;

export interface Ssrcs {
  video: number;
  audio: number;
}

/** Caps of the raw picture at a size. */
export function pictureCaps(width: number, height: number, fps: number): string {
  return `video/x-raw,format=I420,width=${width},height=${height},framerate=${fps}/1,pixel-aspect-ratio=1/1,interlace-mode=progressive,colorimetry=bt601`;
}

/** The whole pipeline. The peer's pads are in the order video, audio. */
export function pipelineDescription(settings: PublisherSettings, ssrcs: Ssrcs): string {
  const parts = [`webrtcbin name=${NAMES.peer} bundle-policy=max-bundle`];
  if (settings.video) parts.push(videoBranch(settings.video, ssrcs.video));
  if (settings.audio) parts.push(audioBranch(settings.audio, ssrcs.audio));
  return parts.join('\n');
}

function videoBranch(video: PublisherVideo, ssrc: number): string {
  const source =
    `appsrc name=${NAMES.video} is-live=true format=time ` +
    `caps="${pictureCaps(video.width, video.height, video.fps)}"`;
  if (!video.simulcast)
    return [
      source,
      encoder(video, layersOf(video)[0]),
      payloader(video, 0, ssrc),
      `capsfilter caps="${videoRtpCaps(video)},ssrc=(uint)${ssrc}"`,
      `${NAMES.peer}.`,
    ].join(' ! ');
  // One m-line for all layers: what makes it simulcast are the caps behind the funnel.
  return [
    `rtpfunnel name=layers ! capsfilter caps="${videoRtpCaps(video)}" ! ${NAMES.peer}.`,
    `${source} ! tee name=pictures`,
    ...layersOf(video).map((layer, index) =>
      [
        'pictures.',
        'queue max-size-buffers=4 max-size-bytes=0 max-size-time=0',
        'videoscale',
        `capsfilter caps="${pictureCaps(layer.width, layer.height, video.fps)}"`,
        encoder(video, layer),
        payloader(video, index, ssrc + index),
        'layers.',
      ].join(' ! '),
    ),
  ].join('\n');
}

/** An encoding of the picture. */
export interface Layer {
  /** RtpStreamId, empty without simulcast. */
  rid: string;
  width: number;
  height: number;
  /** kbit/s. */
  bitrate: number;
}

/** Lowest first: a quarter, a half and the whole of each side, or the whole only. */
export function layersOf(video: PublisherVideo): [Layer, ...Layer[]] {
  const layer = (rid: string, divisor: number): Layer => ({
    rid,
    width: video.width / divisor,
    height: video.height / divisor,
    bitrate: Math.max(150, Math.round(video.bitrate / divisor ** 1.5)),
  });
  return video.simulcast ? [layer('q', 4), layer('h', 2), layer('f', 1)] : [layer('', 1)];
}

/** Name of a layer's encoder. */
export function encoderName(layer: Layer): string {
  return `encoder${layer.rid}`;
}

/** Name of the nth layer's payloader. */
export function payloaderName(index: number): string {
  return `payloader${index}`;
}

function encoder(video: PublisherVideo, layer: Layer): string {
  // Keyframes come when they are due or asked for, never because a flash looks like a new scene.
  const gop = Math.max(1, Math.round(video.gopSeconds * video.fps));
  if (video.codec === 'vp8')
    return (
      `vp8enc name=${encoderName(layer)} deadline=1 cpu-used=8 threads=1 end-usage=cbr lag-in-frames=0 ` +
      `error-resilient=default keyframe-max-dist=${gop} target-bitrate=${layer.bitrate * 1000}`
    );
  if (video.codec === 'vp9')
    return (
      `vp9enc name=${encoderName(layer)} deadline=1 cpu-used=8 threads=1 end-usage=cbr lag-in-frames=0 ` +
      `error-resilient=default keyframe-max-dist=${gop} target-bitrate=${layer.bitrate * 1000}`
    );
  // What makes a picture better at the same bitrate is not looked at, and other profiles need some of it.
  const preset = video.profile === 'constrained-baseline' ? 'ultrafast' : 'superfast';
  // Slices are asked for by x264's own option: sliced-threads would cost a thread for each of them.
  return (
    `x264enc name=${encoderName(layer)} speed-preset=${preset} tune=zerolatency threads=1 ` +
    `sliced-threads=false bframes=0 key-int-max=${gop} bitrate=${layer.bitrate} ` +
    `dct8x8=${video.profile === 'high'} option-string="scenecut=0:slices=${video.slices}" ! ` +
    `video/x-h264,profile=${video.profile},stream-format=byte-stream,alignment=au`
  );
}

function payloader(video: PublisherVideo, index: number, ssrc: number): string {
  const common = `name=${payloaderName(index)} mtu=1200 pt=${VIDEO_PAYLOAD_TYPE} ssrc=${ssrc}`;
  // The encoder repeats its parameter sets; the payloader would put them before every slice of a keyframe.
  return video.codec === 'h264'
    ? `rtph264pay ${common} config-interval=0 aggregate-mode=zero-latency`
    : `rtp${video.codec}pay ${common} picture-id-mode=15-bit`;
}

function audioBranch(codec: AudioCodec, ssrc: number): string {
  const rtp = `pt=${AUDIO_PAYLOAD_TYPE[codec]} ssrc=${ssrc}`;
  const coded = {
    opus: [`opusenc frame-size=20 bitrate=64000 complexity=4 dtx=false`, `rtpopuspay ${rtp}`],
    pcmu: [
      'audioconvert ! audioresample ! audio/x-raw,rate=8000,channels=1',
      'mulawenc',
      `rtppcmupay ${rtp} min-ptime=20000000 max-ptime=20000000`,
    ],
  }[codec];
  return [
    `appsrc name=${NAMES.audio} is-live=true format=time ` +
      `caps="audio/x-raw,format=S16LE,rate=${SAMPLE_RATE},channels=${CHANNELS},layout=interleaved"`,
    ...coded,
    `capsfilter caps="${audioRtpCaps(codec)},ssrc=(uint)${ssrc}"`,
    `${NAMES.peer}.`,
  ].join(' ! ');
}

/** RTP caps on the way to the peer. What the encoder decides itself (profile and level) must not be in them. */
function videoRtpCaps(video: PublisherVideo): string {
  return (
    `application/x-rtp,media=video,encoding-name=${video.codec.toUpperCase()},` +
    `payload=${VIDEO_PAYLOAD_TYPE},clock-rate=90000,rtcp-fb-nack=true,rtcp-fb-nack-pli=true,` +
    `rtcp-fb-ccm-fir=true,${MID_EXTENSION}${video.simulcast ? `,${simulcastCaps(video)}` : ''}`
  );
}

/** RFC 8853 as webrtcbin reads it from caps. */
function simulcastCaps(video: PublisherVideo): string {
  const rids = layersOf(video).map(({ rid }) => rid);
  return (
    `extmap-${RID_EXTENSION_ID}=${RID_EXTENSION},a-simulcast=(string)"send\\ ${rids.join(';')}",` +
    rids.map((rid) => `rid-${rid}=(string)send`).join(',')
  );
}

function audioRtpCaps(codec: AudioCodec): string {
  const clock = codec === 'opus' ? `${SAMPLE_RATE},encoding-params=(string)${CHANNELS}` : '8000';
  return (
    `application/x-rtp,media=audio,encoding-name=${codec.toUpperCase()},` +
    `payload=${AUDIO_PAYLOAD_TYPE[codec]},clock-rate=${clock},${MID_EXTENSION}`
  );
}

/** What the offer says about video: the RTP caps and the format parameters. */
export function videoPreferences(video: PublisherVideo): string {
  if (video.codec === 'vp9') return `${videoRtpCaps(video)},profile-id=(string)0`;
  if (video.codec === 'vp8') return videoRtpCaps(video);
  return (
    `${videoRtpCaps(video)},packetization-mode=(string)1,level-asymmetry-allowed=(string)1,` +
    `profile-level-id=(string)${PROFILE[video.profile]}${video.height > 720 ? '28' : '1f'}`
  );
}

/** What the offer says about audio. */
export function audioPreferences(codec: AudioCodec): string {
  const opus = codec === 'opus' ? ',minptime=(string)10,useinbandfec=(string)1' : '';
  return audioRtpCaps(codec) + opus;
}

/** profile_idc and constraint flags of RFC 6184's profile-level-id. */
const PROFILE: Readonly<Record<H264Profile, string>> = {
  'constrained-baseline': '42e0',
  main: '4d00',
  high: '6400',
};
