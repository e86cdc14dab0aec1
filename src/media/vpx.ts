/** Sizes out of VP8 and VP9 keyframes. */
import { byte } from './bytes.ts';

export interface FrameSize {
  width: number;
  height: number;
}

/** RFC 6386, 9.1: bit 0 of the frame tag is 0 in a keyframe. */
export function vp8FrameSize(frame: Uint8Array): FrameSize | undefined {
  if (frame.length < 10 || (byte(frame, 0) & 1) !== 0) return undefined;
  if (frame[3] !== 0x9d || frame[4] !== 0x01 || frame[5] !== 0x2a) return undefined;
  return size(
    (byte(frame, 6) | (byte(frame, 7) << 8)) & 0x3fff,
    (byte(frame, 8) | (byte(frame, 9) << 8)) & 0x3fff,
  );
}

/** VP9 bitstream, 6.2 uncompressed_header. */
export function vp9FrameSize(frame: Uint8Array): FrameSize | undefined {
  let at = 0;
  const bits = (count: number): number => {
    let value = 0;
    for (let i = 0; i < count; i++, at++) value = value * 2 + (((frame[at >> 3] ?? 0) >> (7 - (at & 7))) & 1);
    return value;
  };
  if (frame.length < 10 || bits(2) !== 2) return undefined;
  const profile = bits(1) + bits(1) * 2;
  if (profile === 3) bits(1);
  if (bits(1)) return undefined; // show_existing_frame
  if (bits(1)) return undefined; // not a keyframe
  bits(2); // show_frame, error_resilient_mode
  if (bits(24) !== 0x498342) return undefined;
  if (profile >= 2) bits(1); // ten or twelve bits
  const colorSpace = bits(3);
  if (colorSpace !== 7) {
    bits(1);
    if (profile === 1 || profile === 3) bits(3);
  } else if (profile === 1 || profile === 3) {
    bits(1);
  }
  return size(bits(16) + 1, bits(16) + 1);
}

function size(width: number, height: number): FrameSize | undefined {
  return width > 0 && height > 0 ? { width, height } : undefined;
}
