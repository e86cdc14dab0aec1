/** Boxes of the ISO base media file format (ISO/IEC 14496-12) as bytes. Pure. */

/** Unsigned big-endian number of `bytes` bytes; beyond 32 bits up to 2^53. */
export function uint(value: number, bytes: 1 | 2 | 3 | 4 | 8): Buffer {
  const out = Buffer.alloc(bytes);
  if (bytes === 8) out.writeBigUInt64BE(BigInt(value));
  else out.writeUIntBE(value, 0, bytes);
  return out;
}

/** A box of four letters. */
export function box(type: string, ...content: readonly Uint8Array[]): Buffer {
  const size = content.reduce((sum, part) => sum + part.length, 8);
  return Buffer.concat([uint(size, 4), Buffer.from(type, 'latin1'), ...content], size);
}

/** A box with version and flags in front of its content. */
export function fullBox(
  type: string,
  version: number,
  flags: number,
  ...content: readonly Uint8Array[]
): Buffer {
  return box(type, uint(version, 1), uint(flags, 3), ...content);
}
