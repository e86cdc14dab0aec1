/** Encoders and muxers as text for GStreamer (pure). */
import type { AudioEncoding, Container, VideoEncoding } from './protocol.ts';

/** Samples of an AAC frame. */
export const AAC_FRAME = 1024;
/** Samples of an Opus frame of 20 ms, at Opus's 48 kHz. */
const OPUS_FRAME = 960;
const OPUS_RATE = 48_000;
/** Samples of an MP3 frame of MPEG-1; half as many of MPEG-2. */
const MP3_FRAME = 1152;
/** Hz. */
const MPEG1_FROM = 32_000;

/** Whether sound of a sampling rate, Hz, is MP3 of MPEG-1 (ISO/IEC 11172-3), not of MPEG-2 (13818-3). */
export function isMpeg1(frequency: number): boolean {
  return frequency >= MPEG1_FROM;
}

/** Samples of a frame of MP3 at a sampling rate, Hz. */
export function mp3FrameSamples(frequency: number): number {
  return isMpeg1(frequency) ? MP3_FRAME : MP3_FRAME / 2;
}

/** What a picture is to its encoder: how much, where 1 is 720p at 30 fps, and frames from keyframe to keyframe. */
function sizeOf({ width, height, framerate, keyFrameInterval }: VideoEncoding): {
  load: number;
  gop: number;
} {
  return {
    load: (width * height * framerate) / (1280 * 720 * 30),
    gop: Math.max(1, Math.round(keyFrameInterval * framerate)),
  };
}

/** Of 720p30, what one thread encodes in a fraction of its time. */
const SMALL_LOAD = 0.25;

/**
 * x264 for something that is recorded and broadcast at the same time.
 * - `bframes=0` and a lookahead of a quarter second, at most eight frames: at 30 fps it keeps nine tenths of what
 *   macroblock-tree rate control gains (SSIM of a moving picture: 24.9 dB; 25.0 with 40 frames, 23.9 with none as
 *   in `zerolatency`, 23.8 with slice threads).
 * - Frame threads only as the picture needs: each but the first holds one frame back.
 * - Keyframes on a grid (no scene-cut keyframes): chunks and HLS segments are as long as they are meant to be.
 * - One second of VBV: what a player with a small buffer and a stable uplink can follow.
 */
export function h264Encoder(video: VideoEncoding, cpus: number, name = 'videoenc'): string {
  const { load, gop } = sizeOf(video);
  const threads = load > SMALL_LOAD ? Math.max(1, Math.min(cpus, Math.ceil(load) + 1, 8)) : 1;
  const lookahead = Math.min(8, Math.round(video.framerate / 4));
  const profile = video.profile === 'baseline' ? 'constrained-baseline' : video.profile;
  return [
    `x264enc name=${name} pass=cbr bitrate=${video.bitrate} vbv-buf-capacity=1000 speed-preset=${video.preset}`,
    `bframes=0 rc-lookahead=${lookahead} sync-lookahead=0 threads=${threads} key-int-max=${gop} option-string="scenecut=0"`,
    `byte-stream=true aud=true ! video/x-h264,stream-format=byte-stream,alignment=au,profile=${profile}`,
  ].join(' ');
}

/**
 * libvpx for something recorded live: no frame is dropped and none comes late, the rate holds over a second. Threads
 * as the picture needs; VP9 shares its work between them by rows.
 */
function vpxEncoder(video: VideoEncoding, cpus: number): string {
  const { load, gop } = sizeOf(video);
  const threads = Math.max(1, Math.min(cpus, Math.ceil(load * 2), 8));
  return [
    `${video.codec}enc name=videoenc deadline=1 cpu-used=${video.codec === 'vp8' ? 6 : 8} threads=${threads}`,
    `end-usage=cbr target-bitrate=${video.bitrate * 1000} lag-in-frames=0 keyframe-max-dist=${gop}`,
    'buffer-size=1000 buffer-initial-size=500 buffer-optimal-size=600 undershoot=100 overshoot=15',
    `min-quantizer=2 max-quantizer=63${video.codec === 'vp9' ? ' row-mt=true' : ''}`,
  ].join(' ');
}

/** @throws Error for a codec that the container does not take */
export function videoEncoder(video: VideoEncoding, container: Container, cpus: number): string {
  if (video.codec !== 'h264') {
    if (container === 'mpegts') throw new Error(`${video.codec} goes into matroska, not into mpegts`);
    return vpxEncoder(video, cpus);
  }
  return container === 'mpegts'
    ? h264Encoder(video, cpus)
    : `${h264Encoder(video, cpus)} ! h264parse ! video/x-h264,stream-format=avc,alignment=au`;
}

/** Samples a mixer should give out at a time, so that the encoder takes them as they are. */
export function audioFrame(audio: AudioEncoding): number {
  switch (audio.codec) {
    case 'aac':
      return AAC_FRAME;
    case 'mp3':
      return mp3FrameSamples(audio.frequency);
    case 'opus':
      return Math.round((OPUS_FRAME * audio.frequency) / OPUS_RATE);
  }
}

/** kbit/s from which AAC's fast coder is at least as good as the slow one. */
const AAC_FAST_FROM = 96;

/**
 * AAC comes from FFmpeg's encoder. Its `fast` coder takes half of `twoloop`'s CPU (less than voaacenc takes), and at
 * such bitrates its author finds it the better one, too; `twoloop` is for low bitrates, and where a bitrate was asked
 * for: `fast` spends a tenth too much on pure tones, `twoloop` three percent. Mid/side coding is off:
 * GStreamer knows only never and always, and always puts a sixth of a voice that belongs into one ear into the other.
 */
export function audioEncoder(audio: AudioEncoding): string {
  const bitrate = audio.bitrate * 1000;
  if (audio.codec === 'aac') {
    const coder = audio.bitrate >= AAC_FAST_FROM && audio.exact !== true ? 'fast' : 'twoloop';
    return `audioconvert ! avenc_aac name=audioenc bitrate=${bitrate} aac-coder=${coder} aac-ms=false`;
  }
  // Constant: a file's length and the place of a moment in it can be computed from its size, as players of MP3 do.
  if (audio.codec === 'mp3')
    return `audioconvert ! lamemp3enc name=audioenc target=bitrate cbr=true bitrate=${audio.bitrate} ! mpegaudioparse`;
  return `audioconvert ! audioresample ! opusenc name=audioenc bitrate=${bitrate} bitrate-type=cbr frame-size=20`;
}

/** Raw audio between decoders, mixer and encoder. */
export function rawAudio(audio: AudioEncoding, format: 'S16LE' | 'F32LE'): string {
  return `audio/x-raw,format=${format},rate=${audio.frequency},channels=${audio.channels},layout=interleaved`;
}

/** PIDs of the MPEG-TS, the same as FFmpeg's. */
export const TS_PID = { video: 256, audio: 257 } as const;

/**
 * The muxer. MPEG-TS: tables every half second besides those at each chunk's start (the default, 100 ms, is
 * 40 kbit/s of tables); the program clock goes with the sound, which never pauses. Matroska: a cluster a keyframe,
 * at least one a half second for sound alone.
 */
export function muxer(container: Container, legs: { video: boolean; audio: boolean }, name = 'mux'): string {
  if (container === 'matroska')
    return `matroskamux name=${name} streamable=true offset-to-zero=false min-cluster-duration=500000000 writing-app=sluice`;
  const tables = `mpegtsmux name=${name} pat-interval=45000 pmt-interval=45000 si-interval=90000`;
  if (!legs.video || !legs.audio) return tables;
  const { video, audio } = TS_PID;
  return `${tables} prog-map="program_map,sink_${video}=(int)1,sink_${audio}=(int)1,PCR_1=(string)sink_${audio}"`;
}

/** Pad of {@link muxer} for a leg. */
export function muxPad(container: Container, kind: 'audio' | 'video', name = 'mux'): string {
  return container === 'mpegts' ? `${name}.sink_${TS_PID[kind]}` : `${name}.${kind}_%u`;
}
