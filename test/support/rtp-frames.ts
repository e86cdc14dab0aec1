/** H.264 pictures out of RTP packets (RFC 6184, non-interleaved mode). */
import type { ReceivedPacket } from './rtp-receiver.ts';

export interface RtpFrame {
  /** When its last packet came, ms. */
  at: number;
  timestamp: number;
  key: boolean;
  /** Byte stream. */
  data: Buffer;
  /** Coded slices alone, without start codes. */
  slices: Buffer[];
  bytes: number;
}

const START_CODE = Buffer.from([0, 0, 0, 1]);

export function framesOf(packets: readonly ReceivedPacket[]): RtpFrame[] {
  const frames: RtpFrame[] = [];
  const groups = new Map<number, ReceivedPacket[]>();
  for (const packet of packets) {
    const group = groups.get(packet.timestamp);
    if (group) group.push(packet);
    else groups.set(packet.timestamp, [packet]);
  }
  for (const [timestamp, group] of groups) {
    const units = unitsOf(group);
    const slices = units.filter((unit) => [1, 5].includes(typeOf(unit)));
    frames.push({
      at: group.at(-1)?.at ?? 0,
      timestamp,
      key: slices.some((unit) => typeOf(unit) === 5),
      data: Buffer.concat(units.flatMap((unit) => [START_CODE, unit])),
      slices,
      bytes: group.reduce((sum, { payload }) => sum + payload.length, 0),
    });
  }
  return frames;
}

function typeOf(unit: Buffer): number {
  return (unit[0] ?? 0) & 31;
}

function unitsOf(packets: readonly ReceivedPacket[]): Buffer[] {
  const units: Buffer[] = [];
  let parts: Buffer[] = [];
  for (const { payload } of packets) {
    const type = typeOf(payload);
    if (type === 24) {
      // STAP-A
      for (let at = 1; at + 2 < payload.length;) {
        const length = payload.readUInt16BE(at);
        units.push(payload.subarray(at + 2, at + 2 + length));
        at += 2 + length;
      }
    } else if (type === 28) {
      // FU-A
      const header = payload.readUInt8(1);
      if ((header & 0x80) !== 0) parts = [Buffer.from([(payload.readUInt8(0) & 0xe0) | (header & 31)])];
      parts.push(payload.subarray(2));
      if ((header & 0x40) !== 0) units.push(Buffer.concat(parts));
    } else units.push(payload);
  }
  return units;
}
