/** Builds MPEG-TS chunks byte by byte, for tests that must know exactly what is in them. */

export const VIDEO_PID = 65;
export const AUDIO_PID = 66;
const PMT_PID = 32;
const CLOCK_BASE = 3600 * 90_000;

export interface BuiltUnit {
  kind: 'video' | 'audio';
  /** Seconds on the egress clock. */
  at: number;
  key?: boolean;
  /** Elementary stream bytes; default: a picture, or one ADTS frame. */
  data?: Uint8Array;
  /** Write the PES packet without a length, as large pictures have it. */
  unbounded?: boolean;
}

export const SPS_640 = Buffer.from('674d401eeca05017fcb80880000003008000001e078b16cb', 'hex');
export const SPS_1080 = Buffer.from('67640028acd940780227e5c044000003000400000300f03c60c658', 'hex');
export const PPS = Buffer.from('68ebe3cb22c0', 'hex');

const START_CODE = Buffer.from([0, 0, 0, 1]);

/** A keyframe with parameter sets in front, or a dependent picture, about `size` bytes. */
export function picture(key: boolean, size = 1000, sps: Uint8Array = SPS_640): Buffer {
  const slice = Buffer.alloc(size, 0xab);
  slice[0] = key ? 0x65 : 0x41;
  const delimiter = Buffer.from([9, 0xf0]);
  const units = key ? [delimiter, sps, PPS, slice] : [delimiter, slice];
  return Buffer.concat(units.flatMap((unit) => [START_CODE, unit]));
}

/** ADTS frames of AAC-LC, 48 kHz stereo. */
export function adts(frames = 1, size = 100): Buffer {
  return Buffer.concat(
    Array.from({ length: frames }, () => {
      const frame = Buffer.alloc(size, 0x21);
      frame.set([0xff, 0xf1, 0x4c, 0x80 | (size >> 11), (size >> 3) & 0xff, ((size & 7) << 5) | 0x1f, 0xfc]);
      return frame;
    }),
  );
}

/** A chunk: tables, then the units. Continuity counters begin at `continuity`. */
export function buildTs(units: readonly BuiltUnit[], options: { tables?: 'first' | 'none' } = {}): Buffer {
  const counters = new Map<number, number>();
  const packets =
    options.tables === 'none' ? [] : [table(0, pat(), counters), table(PMT_PID, pmt(), counters)];
  for (const unit of units) packets.push(...pes(unit, counters));
  return Buffer.concat(packets);
}

function pes(unit: BuiltUnit, counters: Map<number, number>): Buffer[] {
  const data = unit.data ?? (unit.kind === 'video' ? picture(unit.key ?? false) : adts());
  const header = Buffer.alloc(14);
  header.set([0, 0, 1, unit.kind === 'video' ? 0xe0 : 0xc0]);
  if (!unit.unbounded) header.writeUInt16BE(data.length + 8, 4);
  header.set([0x84, 0x80, 5], 6);
  header.set(timestamp(Math.round(unit.at * 90_000) + CLOCK_BASE), 9);
  const pid = unit.kind === 'video' ? VIDEO_PID : AUDIO_PID;
  return packetise(pid, Buffer.concat([header, data]), counters, unit.key ?? false);
}

function timestamp(ticks: number): number[] {
  const value = BigInt(ticks) & ((1n << 33n) - 1n);
  const bits = (shift: bigint, mask: bigint): number => Number((value >> shift) & mask);
  return [
    0x21 | (bits(30n, 7n) << 1),
    bits(22n, 0xffn),
    (bits(15n, 0x7fn) << 1) | 1,
    bits(7n, 0xffn),
    (bits(0n, 0x7fn) << 1) | 1,
  ];
}

function packetise(
  pid: number,
  payload: Buffer,
  counters: Map<number, number>,
  randomAccess: boolean,
): Buffer[] {
  const packets: Buffer[] = [];
  for (let at = 0; at < payload.length;) {
    const first = at === 0;
    const flags = first && randomAccess ? 0x40 : 0;
    const least = flags ? 2 : 0;
    const take = Math.min(184 - least, payload.length - at);
    const stuffing = 184 - take;
    const packet = Buffer.alloc(188, 0xff);
    const counter = counters.get(pid) ?? 0;
    counters.set(pid, (counter + 1) & 15);
    packet.set([0x47, (first ? 0x40 : 0) | (pid >> 8), pid & 0xff, (stuffing ? 0x30 : 0x10) | counter]);
    if (stuffing > 0) packet[4] = stuffing - 1;
    if (stuffing > 1) packet[5] = flags;
    payload.copy(packet, 4 + stuffing, at, at + take);
    packets.push(packet);
    at += take;
  }
  return packets;
}

function table(pid: number, section: Buffer, counters: Map<number, number>): Buffer {
  const packet = Buffer.alloc(188, 0xff);
  const counter = counters.get(pid) ?? 0;
  counters.set(pid, (counter + 1) & 15);
  packet.set([0x47, 0x40 | (pid >> 8), pid & 0xff, 0x10 | counter, 0]);
  section.copy(packet, 5);
  return packet;
}

function pat(): Buffer {
  return withCrc([0, 0xb0, 13, 0, 1, 0xc1, 0, 0, 0, 1, 0xe0 | (PMT_PID >> 8), PMT_PID]);
}

function pmt(): Buffer {
  const streams = [0x1b, 0xe0, VIDEO_PID, 0xf0, 0, 0x0f, 0xe0, AUDIO_PID, 0xf0, 0];
  return withCrc([2, 0xb0, 13 + streams.length, 0, 1, 0xc1, 0, 0, 0xe0, VIDEO_PID, 0xf0, 0, ...streams]);
}

/** The reader does not check the CRC; FFmpeg does. */
function withCrc(section: number[]): Buffer {
  let crc = 0xffffffff;
  for (const value of section) {
    crc ^= value << 24;
    for (let i = 0; i < 8; i++) crc = crc & 0x80000000 ? (crc << 1) ^ 0x04c11db7 : crc << 1;
  }
  const tail = Buffer.alloc(4);
  tail.writeUInt32BE(crc >>> 0);
  return Buffer.concat([Buffer.from(section), tail]);
}
