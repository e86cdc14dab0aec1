/**
 * Where a chunk begins on the running time (pure). mpegtsmux counts the time of its output from its first buffer,
 * so that what multifilesink announces is off by when that came; the bytes know better.
 */
import type { Container } from './protocol.ts';

/** mpegtsmux adds an hour to every timestamp, so that none is negative. */
const TS_OFFSET_90KHZ = 3600 * 90_000;
const TS_PACKET = 188;
const TS_WRAP = 2 ** 33;

/** Bytes of a chunk's head that are enough: a Matroska header, or PAT, PMT and a few PES headers. */
export const CHUNK_HEAD_BYTES = 32 * 1024;

/**
 * Running time of a chunk's first frame in ns, or undefined if there is none in `head`.
 * @param nearNs about where it is expected: MPEG-TS timestamps wrap every 26.5 hours
 */
export function chunkStart(container: Container, head: Uint8Array, nearNs: number): number | undefined {
  if (container === 'matroska') return firstClusterTime(head);
  const pts = firstPts(head);
  if (pts === undefined) return undefined;
  const ns = ((pts - TS_OFFSET_90KHZ) * 1e5) / 9;
  const wrapNs = (TS_WRAP * 1e5) / 9;
  return ns + Math.round((nearNs - ns) / wrapNs) * wrapNs;
}

/** First PTS, 90 kHz (ISO/IEC 13818-1, 2.4.3.6). */
function firstPts(head: Uint8Array): number | undefined {
  for (let at = 0; at + TS_PACKET <= head.length; at += TS_PACKET) {
    const packet = head.subarray(at, at + TS_PACKET);
    const byte = (index: number): number => packet[index] ?? 0;
    if (byte(0) !== 0x47) return undefined;
    const startsUnit = (byte(1) & 0x40) !== 0;
    const hasPayload = (byte(3) & 0x10) !== 0;
    if (!startsUnit || !hasPayload) continue;
    const payload = (byte(3) & 0x20) !== 0 ? 5 + byte(4) : 4;
    const isPes = byte(payload) === 0 && byte(payload + 1) === 0 && byte(payload + 2) === 1;
    if (!isPes || (byte(payload + 7) & 0x80) === 0) continue;
    const [a, b, c, d, e] = [9, 10, 11, 12, 13].map((index) => byte(payload + index)) as [
      number,
      number,
      number,
      number,
      number,
    ];
    return ((a >> 1) & 7) * 2 ** 30 + (b << 22) + ((c >> 1) << 15) + (d << 7) + (e >> 1);
  }
  return undefined;
}

/** Time of the first cluster (RFC 9559, 5.1.3), in ns: its timestamp counts milliseconds. */
function firstClusterTime(head: Uint8Array): number | undefined {
  const id = [0x1f, 0x43, 0xb6, 0x75];
  for (let at = 0; at + 16 < head.length; at++) {
    if (!id.every((byte, index) => head[at + index] === byte)) continue;
    const sizeLength = Math.clz32(head[at + 4] ?? 0) - 23;
    const timestamp = at + 4 + sizeLength;
    if (sizeLength > 8 || head[timestamp] !== 0xe7) continue;
    const length = (head[timestamp + 1] ?? 0) & 0x7f;
    const bytes = head.subarray(timestamp + 2, timestamp + 2 + length);
    return bytes.reduce((value, byte) => value * 256 + byte, 0) * 1e6;
  }
  return undefined;
}
