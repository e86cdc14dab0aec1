/** Encoders of an ingress as text for GStreamer (pure). Keyframes come when they are asked for. */
import type { AudioOutput, LayerSettings, VideoOutput } from './ingress-protocol.ts';

export type EncodedVideo = Extract<VideoOutput, { mode: 'encode' }>;
export type EncodedAudio = Extract<AudioOutput, { mode: 'encode' }>;

/** A keyframe comes at least this often, s: for recorders that cannot ask, and after a loss nobody told of. */
const KEYFRAME_INTERVAL = 10;
/** What one thread of x264 (veryfast) is given at most, pixels a second: it does several times that on one core. */
const PIXELS_PER_THREAD = 1280 * 720 * 60;

/**
 * The pictures encoders are given. One colour space for all layers: left open, GStreamer takes it from each picture's
 * height, and converts every small layer, at 50 thousandths of a core each. H.264 names its own; VP8 (RFC 6386,
 * section 9.2) knows BT.601 alone.
 */
export function rawCaps({ codec }: Pick<EncodedVideo, 'codec'>): string {
  return `video/x-raw,format=I420,colorimetry=${codec === 'vp8' ? 'bt601' : 'bt709'}`;
}

/** The size a layer's picture is scaled to, as caps. */
export function layerCaps(
  video: Pick<EncodedVideo, 'codec'>,
  { width, height }: { width: number; height: number },
): string {
  return `${rawCaps(video)},width=${width},height=${height},pixel-aspect-ratio=1/1`;
}

/**
 * One layer's encoder.
 * @param cpus threads are given by the size of the picture, never more than this: three layers run side by side
 */
export function layerEncoder(video: EncodedVideo, layer: LayerSettings, name: string, cpus: number): string {
  const keyframes = Math.max(1, Math.round(KEYFRAME_INTERVAL * video.framerate));
  const load = (layer.width * layer.height * video.framerate) / PIXELS_PER_THREAD;
  const threads = Math.max(1, Math.min(cpus, Math.ceil(load), 4));
  if (video.codec === 'vp8')
    return [
      `vp8enc name=${name} deadline=1 cpu-used=8 threads=${threads} end-usage=cbr target-bitrate=${layer.bitrate}`,
      `lag-in-frames=0 error-resilient=default keyframe-max-dist=${keyframes} buffer-size=1000 buffer-initial-size=500`,
      'buffer-optimal-size=600 undershoot=100 overshoot=15 min-quantizer=2 max-quantizer=56 static-threshold=1',
    ].join(' ');
  return [
    `x264enc name=${name} tune=zerolatency speed-preset=veryfast pass=cbr bitrate=${Math.round(layer.bitrate / 1000)}`,
    `threads=${threads} bframes=0 key-int-max=${keyframes} option-string="scenecut=0" byte-stream=true aud=false`,
    '! video/x-h264,stream-format=byte-stream,alignment=au,profile=constrained-baseline',
  ].join(' ');
}

/** Frames of 20 ms; forward error correction is what Opus makes of it at the bitrate. */
export function opusEncoder(audio: EncodedAudio, name: string): string {
  return [
    `opusenc name=${name} bitrate=${audio.bitrate} bitrate-type=constrained-vbr frame-size=20`,
    `dtx=${audio.dtx} inband-fec=true packet-loss-percentage=5`,
  ].join(' ');
}
