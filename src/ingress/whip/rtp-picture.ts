/** Size and time of pictures, read off RTP packets as they pass. */
import { NalType, parseSps } from '../../media/h264-sps.ts';
import { vp8FrameSize, vp9FrameSize } from '../../media/vpx.ts';
import type { FrameSize } from '../../media/vpx.ts';

export interface RtpPacket {
  ssrc: number;
  timestamp: number;
  payload: Uint8Array;
}

/** RFC 3550 §5.1; undefined when it is cut short. */
export function parseRtp(packet: Uint8Array): RtpPacket | undefined {
  const [first = 0] = packet;
  if (packet.length < 12 || first >> 6 !== 2) return undefined;
  const view = new DataView(packet.buffer, packet.byteOffset, packet.byteLength);
  let start = 12 + 4 * (first & 0x0f);
  if (first & 0x10) {
    if (packet.length < start + 4) return undefined;
    start += 4 + 4 * view.getUint16(start + 2);
  }
  const padding = first & 0x20 ? (packet.at(-1) ?? 0) : 0;
  const end = packet.length - padding;
  if (end < start) return undefined;
  return { ssrc: view.getUint32(8), timestamp: view.getUint32(4), payload: packet.subarray(start, end) };
}

/**
 * The picture's size, if this packet of it has one: the first of a VP8 or VP9 keyframe, or an H.264 SPS.
 * @param mimeType of the track; others than these three have none
 */
export function sizeOf(mimeType: string, payload: Uint8Array): FrameSize | undefined {
  switch (mimeType.toLowerCase()) {
    case 'video/vp8':
      return vp8Size(payload);
    case 'video/vp9':
      return vp9Size(payload);
    case 'video/h264':
      return h264Size(payload);
    default:
      return undefined;
  }
}

/** RFC 7741 §4.2. */
function vp8Size(payload: Uint8Array): FrameSize | undefined {
  const [first = 0, extension = 0] = payload;
  // Only the start of the first partition has a frame header.
  if ((first & 0x17) !== 0x10) return undefined;
  let at = 1;
  if (first & 0x80) {
    at += 1;
    if (extension & 0x80) at += (payload[at] ?? 0) & 0x80 ? 2 : 1;
    if (extension & 0x40) at += 1;
    if (extension & 0x30) at += 1;
  }
  return vp8FrameSize(payload.subarray(at));
}

/** RFC 9628 §4.2: from the scalability structure, which has the size of every layer, or the frame itself. */
function vp9Size(payload: Uint8Array): FrameSize | undefined {
  const [first = 0] = payload;
  const has = (bit: number) => (first & bit) !== 0;
  let at = 1;
  if (has(0x80)) at += (payload[at] ?? 0) & 0x80 ? 2 : 1;
  if (has(0x20)) at += has(0x10) ? 1 : 2;
  if (has(0x10) && has(0x40)) {
    for (let references = 0; references < 3; references++) {
      if (((payload[at++] ?? 0) & 1) === 0) break;
    }
  }
  if (has(0x02)) {
    const structure = payload[at++] ?? 0;
    if (structure & 0x10) {
      const top = at + 4 * (structure >> 5);
      const number = (index: number) => ((payload[index] ?? 0) << 8) | (payload[index + 1] ?? 0);
      return { width: number(top), height: number(top + 2) };
    }
    if (structure & 0x08) {
      let pictures = payload[at++] ?? 0;
      for (; pictures > 0; pictures--) at += 1 + (((payload[at] ?? 0) >> 2) & 3);
    }
  }
  const startsKeyframe = has(0x08) && !has(0x40);
  return startsKeyframe ? vp9FrameSize(payload.subarray(at)) : undefined;
}

/** RFC 6184: an SPS comes alone, or with others in a STAP-A (§5.7.1). */
function h264Size(payload: Uint8Array): FrameSize | undefined {
  const type = (payload[0] ?? 0) & 0x1f;
  if (type === NalType.sps) return spsSize(payload);
  if (type !== 24) return undefined;
  for (let at = 1; at + 2 < payload.length;) {
    const length = ((payload[at] ?? 0) << 8) | (payload[at + 1] ?? 0);
    const nal = payload.subarray(at + 2, at + 2 + length);
    if (((nal[0] ?? 0) & 0x1f) === NalType.sps) return spsSize(nal);
    at += 2 + length;
  }
  return undefined;
}

function spsSize(nal: Uint8Array): FrameSize | undefined {
  const sps = parseSps(nal);
  return sps && { width: sps.width, height: sps.height };
}
