/** MPEG-TS that is moved in time (pure): PTS, DTS and PCR rewritten (ISO/IEC 13818-1, 2.4.3.5 and 2.4.3.7). */
import { byte } from '../../media/bytes.ts';
import {
  nsToTicks,
  readPacket,
  readPesHeader,
  ticksToNs,
  TS_CLOCK,
  TS_PACKET,
  TS_WRAP,
  unwrap,
} from '../log/ts-packets.ts';

/**
 * A chunk's bytes, each PES packet earlier by what `before` says of its presentation time.
 * @param nearNs egress-clock time the chunk is near to
 * @param before ns to take off a time on the egress clock
 */
export function earlierTs(data: Uint8Array, nearNs: number, before: (atNs: number) => number): Buffer {
  const moved = Buffer.from(data);
  const near = nsToTicks(nearNs);
  const ticksOff = (ticks: number) => Math.round((before(ticksToNs(unwrap(ticks, near))) / 1e9) * TS_CLOCK);
  for (let at = 0; at + TS_PACKET <= moved.length; at += TS_PACKET) {
    const packet = readPacket(moved, at);
    if (!packet) continue;
    movePcr(moved, at, ticksOff);
    if (!packet.start || packet.payload >= TS_PACKET) continue;
    const pes = at + packet.payload;
    const header = readPesHeader(moved, pes, at + TS_PACKET);
    if (header?.pts === undefined) continue;
    // Of one frame both are moved alike, also where only one of them lies behind a pause.
    const off = ticksOff(header.pts);
    writeTimestamp(moved, pes + 9, header.pts - off);
    const hasDts = byte(moved, pes + 7) >> 6 === 3;
    if (hasDts && header.dts !== undefined) writeTimestamp(moved, pes + 14, header.dts - off);
  }
  return moved;
}

/** The marker bits and the prefix stay as they are. */
function writeTimestamp(data: Buffer, at: number, ticks: number): void {
  const value = ((ticks % TS_WRAP) + TS_WRAP) % TS_WRAP;
  data[at] = (byte(data, at) & 0xf1) | (Math.floor(value / 2 ** 30) << 1);
  data[at + 1] = (value >>> 22) & 0xff;
  data[at + 2] = (byte(data, at + 2) & 0x01) | (((value >>> 15) & 0x7f) << 1);
  data[at + 3] = (value >>> 7) & 0xff;
  data[at + 4] = (byte(data, at + 4) & 0x01) | ((value & 0x7f) << 1);
}

function movePcr(data: Buffer, at: number, ticksOff: (ticks: number) => number): void {
  const hasAdaptation = (byte(data, at + 3) & 0x20) !== 0;
  const hasPcr = hasAdaptation && byte(data, at + 4) >= 7 && (byte(data, at + 5) & 0x10) !== 0;
  if (!hasPcr) return;
  const base = data.readUInt32BE(at + 6) * 2 + (byte(data, at + 10) >> 7);
  const value = (((base - ticksOff(base)) % TS_WRAP) + TS_WRAP) % TS_WRAP;
  data.writeUInt32BE(Math.floor(value / 2), at + 6);
  data[at + 10] = (byte(data, at + 10) & 0x7f) | ((value % 2) << 7);
}
