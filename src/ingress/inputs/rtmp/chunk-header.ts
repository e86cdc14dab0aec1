/** The parts of a chunk header (RTMP 1.0, section 5.3.1). Pure. */

/** Bytes of the basic header, by its first one. */
export function basicLength(first: number): number {
  const id = first & 0x3f;
  return id === 0 ? 2 : id === 1 ? 3 : 1;
}

/** Of a whole basic header of that length. */
export function chunkStreamId(header: Buffer, basic: number): number {
  if (basic === 1) return (header[0] ?? 0) & 0x3f;
  return basic === 2 ? 64 + (header[1] ?? 0) : 64 + header.readUInt16LE(1);
}

/** Whether the bytes (up to 4) are the beginning of that number (32 bits, big-endian). */
export function isPrefix(bytes: Buffer, value: number): boolean {
  return bytes.every((byte, index) => byte === ((value >>> (24 - 8 * index)) & 0xff));
}
