/** MPEG-TS packets, tables and PES headers (ISO/IEC 13818-1), as far as our own muxer's output needs them. */
import { byte } from '../../media/bytes.ts';

export const TS_PACKET = 188;
const SYNC = 0x47;
/** Timestamps are 33 bits of 90 kHz. */
export const TS_WRAP = 2 ** 33;
export const TS_CLOCK = 90_000;
/**
 * GStreamer's mpegtsmux adds one hour, so that a decoding time before zero fits: its timestamps are the
 * pipeline's running time (our egress clock) plus this.
 */
export const TS_CLOCK_BASE = 3600 * TS_CLOCK;

export type StreamKind = 'h264' | 'aac';

const STREAM_TYPES: Readonly<Record<number, StreamKind>> = { 0x1b: 'h264', 0x0f: 'aac' };

export interface TsPacket {
  pid: number;
  /** A PES packet or table section starts here. */
  start: boolean;
  randomAccess: boolean;
  /** The adaptation field announces a break in continuity. */
  discontinuity: boolean;
  hasPayload: boolean;
  continuity: number;
  /** Offset of the payload from the packet's first byte (188 when there is none). */
  payload: number;
}

/** Reads the packet at `at`, or undefined where no intact packet starts there. */
export function readPacket(data: Uint8Array, at: number): TsPacket | undefined {
  if (at + TS_PACKET > data.length || data[at] !== SYNC) return undefined;
  const b1 = byte(data, at + 1);
  const b3 = byte(data, at + 3);
  if (b1 & 0x80) return undefined; // transport_error_indicator
  const hasAdaptation = (b3 & 0x20) !== 0;
  const hasPayload = (b3 & 0x10) !== 0;
  let payload = 4;
  let randomAccess = false;
  let discontinuity = false;
  if (hasAdaptation) {
    const length = byte(data, at + 4);
    if (length > 183) return undefined;
    payload = 5 + length;
    if (length > 0) {
      const flags = byte(data, at + 5);
      discontinuity = (flags & 0x80) !== 0;
      randomAccess = (flags & 0x40) !== 0;
    }
  }
  return {
    pid: ((b1 & 0x1f) << 8) | byte(data, at + 2),
    start: (b1 & 0x40) !== 0,
    randomAccess,
    discontinuity,
    hasPayload,
    continuity: b3 & 0x0f,
    payload: hasPayload ? payload : TS_PACKET,
  };
}

/** Section bytes of a table that starts and ends in this packet; undefined when it is not one. */
function section(data: Uint8Array, at: number, packet: TsPacket, tableId: number): Uint8Array | undefined {
  const pointer = data[at + packet.payload];
  if (pointer === undefined) return undefined;
  const start = at + packet.payload + 1 + pointer;
  if (start + 3 > at + TS_PACKET || data[start] !== tableId) return undefined;
  const length = ((byte(data, start + 1) & 0x0f) << 8) | byte(data, start + 2);
  const end = start + 3 + length;
  return end > at + TS_PACKET || length < 9 ? undefined : data.subarray(start, end - 4);
}

/** PID of the first programme's PMT. */
export function readPat(data: Uint8Array, at: number, packet: TsPacket): number | undefined {
  const table = section(data, at, packet, 0x00);
  if (!table) return undefined;
  for (let i = 8; i + 4 <= table.length; i += 4) {
    const program = (byte(table, i) << 8) | byte(table, i + 1);
    if (program !== 0) return ((byte(table, i + 2) & 0x1f) << 8) | byte(table, i + 3);
  }
  return undefined;
}

/** Elementary streams of a PMT by PID; streams of other types are left out. */
export function readPmt(data: Uint8Array, at: number, packet: TsPacket): Map<number, StreamKind> | undefined {
  const table = section(data, at, packet, 0x02);
  if (!table || table.length < 12) return undefined;
  const streams = new Map<number, StreamKind>();
  let i = 12 + (((byte(table, 10) & 0x0f) << 8) | byte(table, 11));
  while (i + 5 <= table.length) {
    const kind = STREAM_TYPES[byte(table, i)];
    if (kind) streams.set(((byte(table, i + 1) & 0x1f) << 8) | byte(table, i + 2), kind);
    i += 5 + (((byte(table, i + 3) & 0x0f) << 8) | byte(table, i + 4));
  }
  return streams;
}

export interface PesHeader {
  /** Presentation and decoding time, 33-bit ticks. */
  pts: number | undefined;
  dts: number | undefined;
  /** Whole PES packet's bytes, header included; 0 when unbounded. */
  length: number;
  /** Offset of the elementary stream's bytes from the PES packet's first byte. */
  header: number;
}

/** Reads the PES header at `at`; `end` is the end of the bytes that may be looked at. */
export function readPesHeader(data: Uint8Array, at: number, end: number): PesHeader | undefined {
  if (at + 9 > end) return undefined;
  if (data[at] !== 0 || data[at + 1] !== 0 || data[at + 2] !== 1) return undefined;
  const declared = (byte(data, at + 4) << 8) | byte(data, at + 5);
  const flags = byte(data, at + 7) >> 6;
  const header = 9 + byte(data, at + 8);
  if (at + header > end) return undefined;
  const pts = flags & 2 && at + 14 <= end ? timestamp(data, at + 9) : undefined;
  const dts = flags === 3 && at + 19 <= end ? timestamp(data, at + 14) : pts;
  return { pts, dts, length: declared === 0 ? 0 : declared + 6, header };
}

function timestamp(data: Uint8Array, at: number): number {
  // 3, 15 and 15 bits, each followed by a marker bit; past 32 bits, so no shifts at the top.
  return (
    ((byte(data, at) >> 1) & 0x07) * 2 ** 30 +
    (byte(data, at + 1) << 22) +
    ((byte(data, at + 2) >> 1) << 15) +
    (byte(data, at + 3) << 7) +
    (byte(data, at + 4) >> 1)
  );
}

/** The value congruent to `ticks` (33 bits) that is nearest to `near`. */
export function unwrap(ticks: number, near: number): number {
  return ticks + Math.round((near - ticks) / TS_WRAP) * TS_WRAP;
}

/** Unwrapped ticks of our muxer to the egress clock, ns. */
export function ticksToNs(ticks: number): number {
  return Math.round(((ticks - TS_CLOCK_BASE) * 100_000) / 9);
}

/** Egress clock, ns, to the muxer's (unwrapped) ticks. */
export function nsToTicks(ns: number): number {
  return Math.round((ns * 9) / 100_000) + TS_CLOCK_BASE;
}
