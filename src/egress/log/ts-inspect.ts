/** What an MPEG-TS chunk holds. Pure; a chunk of 1 MB takes a few milliseconds. */
import { byte } from '../../media/bytes.ts';
import { h264Info } from './h264.ts';
import type { AudioInspection, InspectOptions, Inspection, VideoInspection } from './inspection.ts';
import { scanTs } from './ts-scan.ts';
import type { PesRecord } from './ts-scan.ts';
import { nsToTicks, ticksToNs, TS_CLOCK, unwrap } from './ts-packets.ts';
import type { AudioStreamInfo } from './types.ts';

/** Length of a picture whose neighbours do not tell. */
const DEFAULT_FRAME_TICKS = TS_CLOCK / 30;

/** @throws InspectError */
export function inspectTs(data: Uint8Array, options: InspectOptions): Inspection {
  const scan = scanTs(data, options.closed);
  const wholeBytes = wholePrefix(scan.pes, scan.packetsEnd);
  const whole = scan.pes.filter((pes) => pes.complete && pes.to <= wholeBytes);
  const near = nsToTicks(options.nearNs);
  return {
    bytes: data.length,
    wholeBytes,
    video: inspectVideo(
      whole.filter((pes) => pes.kind === 'h264'),
      near,
    ),
    audio: inspectAudio(
      whole.filter((pes) => pes.kind === 'aac'),
      near,
    ),
    damaged: scan.damaged,
  };
}

/**
 * The longest prefix that no unfinished PES packet reaches into. Only the last PES packet of each stream can be
 * unfinished that way: damage in the middle is counted instead, for what follows it is still good.
 */
function wholePrefix(pes: readonly PesRecord[], end: number): number {
  const last = new Map<PesRecord['kind'], PesRecord>();
  for (const record of pes) last.set(record.kind, record);
  let cut = end;
  for (const record of last.values()) if (!record.complete) cut = Math.min(cut, record.from);
  // Another stream's packet may straddle the cut; it is left out too, which may move the cut again.
  for (const record of pes.toReversed()) {
    if (record.from < cut && record.to > cut && record.complete) cut = record.from;
  }
  return cut;
}

function inspectVideo(pes: readonly PesRecord[], near: number): VideoInspection | null {
  const times = pes.flatMap((record) => (record.pts === undefined ? [] : [unwrap(record.pts, near)]));
  if (times.length === 0) return null;
  const first = min(times);
  const last = max(times);
  const frame = times.length > 1 ? (last - first) / (times.length - 1) : DEFAULT_FRAME_TICKS;
  const video: VideoInspection = {
    frames: pes.length,
    keyFrames: 0,
    startsWithKeyFrame: pes[0]?.randomAccess ?? false,
    startNs: ticksToNs(first),
    // A pause inside the chunk must not make its last picture long.
    endNs: ticksToNs(last + Math.min(frame, TS_CLOCK / 5)),
    infos: [],
    changes: [],
  };
  for (const record of pes) {
    if (!record.randomAccess) continue;
    video.keyFrames++;
    const info = h264Info(record.payload);
    if (!info || video.infos.at(-1)?.parametersHash === info.parametersHash) continue;
    if (video.infos.length > 0 && record.pts !== undefined) {
      video.changes.push({ offset: record.from, atNs: ticksToNs(unwrap(record.pts, near)) });
    }
    video.infos.push(info);
  }
  return video;
}

function inspectAudio(pes: readonly PesRecord[], near: number): AudioInspection | null {
  let frames = 0;
  let first = Infinity;
  let end = -Infinity;
  let info: AudioStreamInfo | undefined;
  for (const record of pes) {
    const adts = readAdts(record.payload);
    if (adts.frames === 0) continue;
    frames += adts.frames;
    info ??= adts.info;
    if (record.pts === undefined) continue;
    const at = unwrap(record.pts, near);
    first = Math.min(first, at);
    end = Math.max(end, at + (adts.frames * 1024 * TS_CLOCK) / (adts.info?.sampleRate ?? 48_000));
  }
  if (!info || first === Infinity) return null;
  return { frames, startNs: ticksToNs(first), endNs: ticksToNs(end), info };
}

const SAMPLE_RATES = [
  96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350,
];

/** Counts the whole ADTS frames (ISO/IEC 13818-7, 6.2) of a PES packet's payload. */
function readAdts(data: Uint8Array): { frames: number; info: AudioStreamInfo | undefined } {
  let frames = 0;
  let info: AudioStreamInfo | undefined;
  for (let at = 0; at + 7 <= data.length;) {
    if (data[at] !== 0xff || (byte(data, at + 1) & 0xf6) !== 0xf0) break;
    const length =
      ((byte(data, at + 3) & 0x03) << 11) | (byte(data, at + 4) << 3) | (byte(data, at + 5) >> 5);
    if (length < 7 || at + length > data.length) break;
    const sampleRate = SAMPLE_RATES[(byte(data, at + 2) >> 2) & 0x0f];
    const channels = ((byte(data, at + 2) & 1) << 2) | (byte(data, at + 3) >> 6);
    if (sampleRate !== undefined) info ??= { codec: 'aac', sampleRate, channels };
    frames++;
    at += length;
  }
  return { frames, info };
}

function min(values: readonly number[]): number {
  return values.reduce((a, b) => Math.min(a, b));
}

function max(values: readonly number[]): number {
  return values.reduce((a, b) => Math.max(a, b));
}
