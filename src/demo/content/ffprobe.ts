/** ffprobe, its output parsed: what a file says about itself. Times are seconds. */
import { z } from 'zod';

import { runTool } from './tool.ts';

const number = z.coerce.number();
const optionalNumber = z.preprocess((value) => (value === 'N/A' ? undefined : value), number.optional());
/** `30000/1001` as a number; `0/0` is 0. */
const ratio = z.string().transform((text) => {
  const [over, under] = text.split('/').map(Number);
  return over && under ? over / under : 0;
});

const Stream = z
  .object({
    index: z.number(),
    codec_type: z.string(),
    codec_name: z.string().default('unknown'),
    profile: z.string().optional(),
    level: z.number().optional(),
    width: z.number().optional(),
    height: z.number().optional(),
    pix_fmt: z.string().optional(),
    has_b_frames: z.number().optional(),
    avg_frame_rate: ratio,
    sample_rate: optionalNumber,
    channels: z.number().optional(),
    time_base: z.string(),
    start_time: optionalNumber,
    duration: optionalNumber,
    nb_frames: optionalNumber,
    bit_rate: optionalNumber,
    tags: z.record(z.string(), z.string()).default({}),
  })
  .transform((stream) => ({
    index: stream.index,
    type: stream.codec_type,
    codec: stream.codec_name,
    profile: stream.profile,
    level: stream.level,
    width: stream.width,
    height: stream.height,
    pixelFormat: stream.pix_fmt,
    /** Largest reordering: 0 without B-frames. */
    bFrames: stream.has_b_frames,
    averageFps: stream.avg_frame_rate,
    sampleRate: stream.sample_rate,
    channels: stream.channels,
    timeBase: stream.time_base,
    startTime: stream.start_time,
    duration: stream.duration,
    frames: stream.nb_frames,
    bitRate: stream.bit_rate,
    tags: stream.tags,
  }));

const Probe = z
  .object({
    streams: z.array(Stream),
    format: z.object({
      format_name: z.string(),
      start_time: optionalNumber,
      duration: optionalNumber,
      size: optionalNumber,
      bit_rate: optionalNumber,
      tags: z.record(z.string(), z.string()).default({}),
    }),
  })
  .transform(({ streams, format }) => ({
    /** ffmpeg's name, e.g. `mov,mp4,m4a,3gp,3g2,mj2`. */
    container: format.format_name,
    startTime: format.start_time,
    duration: format.duration,
    /** Bytes. */
    size: format.size,
    bitRate: format.bit_rate,
    tags: format.tags,
    streams,
    video: streams.find(({ type }) => type === 'video'),
    audio: streams.find(({ type }) => type === 'audio'),
  }));

export type ProbeResult = z.output<typeof Probe>;
export type StreamInfo = z.output<typeof Stream>;

export interface PacketInfo {
  pts: number | undefined;
  dts: number | undefined;
  duration: number | undefined;
  /** Bytes. */
  size: number;
  key: boolean;
}

export interface FrameInfo {
  pts: number | undefined;
  key: boolean;
  /** `I`, `P` or `B`. */
  pictureType: string;
  width: number;
  height: number;
}

const Packets = z.object({
  packets: z
    .array(
      z.object({
        pts_time: optionalNumber,
        dts_time: optionalNumber,
        duration_time: optionalNumber,
        size: number,
        flags: z.string(),
      }),
    )
    .default([]),
});

const Frames = z.object({
  frames: z
    .array(
      z.object({
        pts_time: optionalNumber,
        key_frame: z.number(),
        pict_type: z.string(),
        width: z.number(),
        height: z.number(),
      }),
    )
    .default([]),
});

/**
 * Container, streams and tags of a file or URL.
 * @throws Error with ffprobe's own words when it cannot be read
 */
export async function ffprobe(input: string): Promise<ProbeResult> {
  return Probe.parse(await json(input, ['-show_format', '-show_streams']));
}

/** Every packet of a stream (`v:0`, `a:0`, …) in file order, without decoding. */
export async function ffprobePackets(input: string, stream: string): Promise<PacketInfo[]> {
  const entries = 'packet=pts_time,dts_time,duration_time,size,flags';
  const { packets } = Packets.parse(await json(input, ['-select_streams', stream, '-show_entries', entries]));
  return packets.map(({ pts_time, dts_time, duration_time, size, flags }) => ({
    pts: pts_time,
    dts: dts_time,
    duration: duration_time,
    size,
    key: flags.startsWith('K'),
  }));
}

/** Every picture of the first video stream as it is decoded. */
export async function ffprobeFrames(input: string): Promise<FrameInfo[]> {
  const entries = 'frame=pts_time,key_frame,pict_type,width,height';
  const { frames } = Frames.parse(await json(input, ['-select_streams', 'v:0', '-show_entries', entries]));
  return frames.map(({ pts_time, key_frame, pict_type, width, height }) => ({
    pts: pts_time,
    key: key_frame === 1,
    pictureType: pict_type,
    width,
    height,
  }));
}

async function json(input: string, what: string[]): Promise<unknown> {
  const { stdout } = await runTool('ffprobe', ['-v', 'error', ...what, '-of', 'json', '-i', input]);
  return JSON.parse(stdout);
}
