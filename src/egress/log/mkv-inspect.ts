/** What a Matroska chunk holds. Pure. */
import { createHash } from 'node:crypto';
import { AAC_FRAME, mp3FrameSamples } from '../../../pipelines/shared/encoders.ts';
import type { AudioInspection, Inspection, VideoInspection } from './inspection.ts';
import { scanMkv } from './mkv-scan.ts';
import type { MkvBlock, MkvTrack } from './mkv-scan.ts';
import { opusSamples } from './opus.ts';
import type { VideoStreamInfo } from './types.ts';
import { vp8FrameSize, vp9FrameSize } from '../../media/vpx.ts';

const CODECS: Readonly<Record<string, string>> = {
  V_VP8: 'vp8',
  V_VP9: 'vp9',
  'V_MPEG4/ISO/AVC': 'h264',
  A_OPUS: 'opus',
  A_AAC: 'aac',
  'A_MPEG/L3': 'mp3',
};

const DEFAULT_FRAME_NS = 1e9 / 30;

/**
 * Matroska's times are the pipeline's running time, so the egress clock itself.
 * @throws InspectError
 */
export function inspectMkv(data: Uint8Array): Inspection {
  const scan = scanMkv(data);
  const video = scan.tracks.find((track) => track.type === 'video');
  const audio = scan.tracks.find((track) => track.type === 'audio');
  return {
    bytes: data.length,
    wholeBytes: scan.wholeBytes,
    video: video ? inspectVideo(video, scan.blocks, data) : null,
    audio: audio ? inspectAudio(audio, scan.blocks) : null,
    damaged: 0,
  };
}

function inspectVideo(track: MkvTrack, all: readonly MkvBlock[], data: Uint8Array): VideoInspection | null {
  const blocks = all.filter((block) => block.track === track.number);
  const first = blocks[0];
  if (!first) return null;
  const times = blocks.map((block) => block.atNs);
  const startNs = times.reduce((a, b) => Math.min(a, b));
  const lastNs = times.reduce((a, b) => Math.max(a, b));
  const frameNs = blocks.length > 1 ? (lastNs - startNs) / (blocks.length - 1) : DEFAULT_FRAME_NS;
  const video: VideoInspection = {
    frames: blocks.length,
    keyFrames: 0,
    startsWithKeyFrame: first.keyFrame,
    startNs,
    endNs: Math.round(lastNs + Math.min(frameNs, 0.2e9)),
    infos: [],
    changes: [],
  };
  for (const block of blocks) {
    if (!block.keyFrame) continue;
    video.keyFrames++;
    const info = describe(track, block.frame);
    if (video.infos.at(-1)?.parametersHash === info.parametersHash) continue;
    // Both are offsets in the buffer behind them, which may hold other things before the chunk.
    const offset = block.frame.byteOffset - data.byteOffset;
    if (video.infos.length > 0) video.changes.push({ offset, atNs: block.atNs });
    video.infos.push(info);
  }
  return video;
}

function describe(track: MkvTrack, frame: Uint8Array): VideoStreamInfo {
  const codec = CODECS[track.codecId] ?? track.codecId;
  const own = codec === 'vp8' ? vp8FrameSize(frame) : codec === 'vp9' ? vp9FrameSize(frame) : undefined;
  const { width, height } = own ?? track;
  const hash = createHash('sha256').update(`${codec} ${width}x${height}`);
  if (codec === 'h264' && track.codecPrivate) hash.update(track.codecPrivate);
  return { codec, width, height, parametersHash: hash.digest('hex').slice(0, 16) };
}

function inspectAudio(track: MkvTrack, all: readonly MkvBlock[]): AudioInspection | null {
  const blocks = all.filter((block) => block.track === track.number);
  const [one] = blocks;
  if (!one) return null;
  // In order, unless bytes are damaged.
  const first = blocks.reduce((a, b) => (b.atNs < a.atNs ? b : a), one);
  const last = blocks.reduce((a, b) => (b.atNs >= a.atNs ? b : a), one);
  const codec = CODECS[track.codecId] ?? track.codecId;
  const samples = codec === 'opus' ? (opusSamples(last.frame) ?? 960) : frameSamples(codec, track.sampleRate);
  const rate = codec === 'opus' ? 48_000 : track.sampleRate;
  return {
    frames: blocks.length,
    startNs: first.atNs,
    endNs: Math.round(last.atNs + (samples / rate) * 1e9),
    info: { codec, sampleRate: track.sampleRate, channels: track.channels },
  };
}

/** Samples of a frame of AAC or of MP3. */
function frameSamples(codec: string, sampleRate: number): number {
  return codec === 'mp3' ? mp3FrameSamples(sampleRate) : AAC_FRAME;
}
