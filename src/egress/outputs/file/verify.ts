/** Holds a finished file against the log it was made of: frames in log = frames in file, or the difference is a gap. */
import type { Logger } from 'pino';
import { countPackets } from '../../../pipeline/ffmpeg.ts';
import type { SegmentLog } from '../../log/reader.ts';
import type { GapLine } from '../../log/types.ts';
import { OutputError } from '../errors.ts';
import { readMp4 } from './mp4-reader.ts';
import type { RemuxPlan } from './remux-plan.ts';

export interface FileContent {
  durationNs: number;
  videoFrames: number;
  audioFrames: number;
}

/** A larger share of the frames than this missing is no gap but a broken file. */
const MAX_LOST_SHARE = 0.01;
/** Fewer than this many are forgiven in a short file. */
const ALWAYS_FORGIVEN = 3;

/** @throws OutputError `frames_lost` */
export async function verify(
  log: SegmentLog,
  plan: RemuxPlan,
  path: string,
  messages: readonly string[],
  logger: Logger,
  signal: AbortSignal | undefined,
): Promise<FileContent & { gaps: GapLine[] }> {
  const content =
    plan.format === 'mp4' ? await readMp4Content(path) : await probeContent(path, logger, signal);
  const gaps: GapLine[] = [];
  if (plan.format !== 'mp3' && plan.format !== 'ogg')
    checkCount('video', log, log.videoFrames, content.videoFrames, gaps, messages);
  // Encoders cut sound into frames of their own: then only its length can be compared.
  if (!plan.encodeAudio) checkCount('audio', log, log.audioFrames, content.audioFrames, gaps, messages);
  return { ...content, gaps };
}

function checkCount(
  kind: 'video' | 'audio',
  log: SegmentLog,
  expected: number,
  found: number,
  gaps: GapLine[],
  messages: readonly string[],
): void {
  const lost = expected - found;
  if (lost <= 0) return;
  const reason = `${lost} of ${expected} ${kind} frames are not in the file`;
  if (lost > Math.max(ALWAYS_FORGIVEN, expected * MAX_LOST_SHARE)) {
    const because = messages.length > 0 ? ` (${messages.slice(-3).join('; ')})` : '';
    throw new OutputError('frames_lost', `${reason}${because}`);
  }
  gaps.push({ type: 'gap', startNs: log.chunks[0]?.startNs ?? 0, endNs: log.endNs, reason });
}

async function readMp4Content(path: string): Promise<FileContent> {
  const { tracks, durationNs } = await readMp4(path);
  const samples = (type: 'video' | 'audio'): number =>
    tracks.filter((track) => track.type === type).reduce((sum, track) => sum + track.samples, 0);
  return { durationNs, videoFrames: samples('video'), audioFrames: samples('audio') };
}

async function probeContent(
  path: string,
  logger: Logger,
  signal: AbortSignal | undefined,
): Promise<FileContent> {
  const { streams, duration } = await countPackets(path, logger, signal);
  const packets = (type: 'video' | 'audio'): number =>
    streams.filter((stream) => stream.type === type).reduce((sum, stream) => sum + stream.packets, 0);
  return {
    durationNs: Math.round(duration * 1e9),
    videoFrames: packets('video'),
    audioFrames: packets('audio'),
  };
}
