/**
 * The media of the test publisher: two sources on one clock, their encoders and payloaders, as text for
 * `Gst.parse_launch`, and the caps the peer connection negotiates with.
 */
import type { H264Profile, PublisherSettings, PublisherVideo } from './protocol.ts';
import { CHANNELS, SAMPLE_RATE } from './signal.ts';

export const VIDEO_PAYLOAD_TYPE = 96;
export const AUDIO_PAYLOAD_TYPE = 111;
/** Samples in one Opus frame, 20 ms. */
export const CHUNK_SAMPLES = 960;

const MID_EXTENSION = 'extmap-1=urn:ietf:params:rtp-hdrext:sdes:mid';

/** Element names in the pipeline. */
export const NAMES = { peer: 'peer', video: 'video', videoEncoder: 'encoder', audio: 'audio' } as const;

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
  if (settings.audio) parts.push(audioBranch(ssrcs.audio));
  return parts.join('\n');
}

function videoBranch(video: PublisherVideo, ssrc: number): string {
  return [
    `appsrc name=${NAMES.video} is-live=true format=time max-buffers=4 leaky-type=downstream caps="${pictureCaps(video.width, video.height, video.fps)}"`,
    encoder(video),
    video.codec === 'h264'
      ? // The encoder repeats its parameter sets; the payloader would put them before every slice of a keyframe.
        `rtph264pay config-interval=0 aggregate-mode=zero-latency mtu=1200 pt=${VIDEO_PAYLOAD_TYPE} ssrc=${ssrc}`
      : `rtpvp8pay picture-id-mode=15-bit mtu=1200 pt=${VIDEO_PAYLOAD_TYPE} ssrc=${ssrc}`,
    `capsfilter caps="${videoRtpCaps(video)},ssrc=(uint)${ssrc}"`,
    `${NAMES.peer}.`,
  ].join(' ! ');
}

function encoder(video: PublisherVideo): string {
  // Keyframes come when they are due or asked for, never because a flash looks like a new scene.
  const gop = Math.max(1, Math.round(video.gopSeconds * video.fps));
  if (video.codec === 'vp8')
    return (
      `vp8enc name=${NAMES.videoEncoder} deadline=1 cpu-used=8 threads=1 end-usage=cbr lag-in-frames=0 ` +
      `error-resilient=default keyframe-max-dist=${gop} target-bitrate=${video.bitrate * 1000}`
    );
  // Slices are asked for by x264's own option: sliced-threads would cost a thread for each of them.
  return (
    `x264enc name=${NAMES.videoEncoder} speed-preset=superfast tune=zerolatency threads=1 sliced-threads=false ` +
    `bframes=0 key-int-max=${gop} bitrate=${video.bitrate} dct8x8=${video.profile === 'high'} ` +
    `option-string="scenecut=0:slices=${video.slices}" ! ` +
    `video/x-h264,profile=${video.profile},stream-format=byte-stream,alignment=au`
  );
}

function audioBranch(ssrc: number): string {
  return [
    `appsrc name=${NAMES.audio} is-live=true format=time max-buffers=16 leaky-type=downstream ` +
      `caps="audio/x-raw,format=S16LE,rate=${SAMPLE_RATE},channels=${CHANNELS},layout=interleaved"`,
    `opusenc frame-size=20 bitrate=64000 complexity=4 dtx=false`,
    `rtpopuspay pt=${AUDIO_PAYLOAD_TYPE} ssrc=${ssrc}`,
    `capsfilter caps="${audioRtpCaps()},ssrc=(uint)${ssrc}"`,
    `${NAMES.peer}.`,
  ].join(' ! ');
}

/** RTP caps on the way to the peer. What the encoder decides itself (profile and level) must not be in them. */
function videoRtpCaps(video: PublisherVideo): string {
  return (
    `application/x-rtp,media=video,encoding-name=${video.codec === 'h264' ? 'H264' : 'VP8'},` +
    `payload=${VIDEO_PAYLOAD_TYPE},clock-rate=90000,rtcp-fb-nack=true,rtcp-fb-nack-pli=true,` +
    `rtcp-fb-ccm-fir=true,${MID_EXTENSION}`
  );
}

function audioRtpCaps(): string {
  return (
    `application/x-rtp,media=audio,encoding-name=OPUS,payload=${AUDIO_PAYLOAD_TYPE},` +
    `clock-rate=${SAMPLE_RATE},encoding-params=(string)${CHANNELS},${MID_EXTENSION}`
  );
}

/** What the offer says about video: the RTP caps and the format parameters. */
export function videoPreferences(video: PublisherVideo): string {
  if (video.codec === 'vp8') return videoRtpCaps(video);
  return (
    `${videoRtpCaps(video)},packetization-mode=(string)1,level-asymmetry-allowed=(string)1,` +
    `profile-level-id=(string)${PROFILE[video.profile]}${video.height > 720 ? '28' : '1f'}`
  );
}

/** What the offer says about audio. */
export function audioPreferences(): string {
  return `${audioRtpCaps()},minptime=(string)10,useinbandfec=(string)1`;
}

/** profile_idc and constraint flags of RFC 6184's profile-level-id. */
const PROFILE: Readonly<Record<H264Profile, string>> = {
  'constrained-baseline': '42e0',
  main: '4d00',
  high: '6400',
};
