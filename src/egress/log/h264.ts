/** H.264 parameter sets (ITU-T H.264, 7.3.2.1): what a decoder must be set up with. */
import { byte } from './bytes.ts';
import { createHash } from 'node:crypto';
import type { VideoStreamInfo } from './types.ts';

export const NalType = { slice: 1, idr: 5, sei: 6, sps: 7, pps: 8, delimiter: 9 } as const;

/** NAL units of an Annex B byte stream, without start codes and trailing zeros, up to and including the first slice. */
export function* nalUnits(data: Uint8Array): Generator<Uint8Array> {
  let start = -1;
  for (let i = 0; i + 2 < data.length; i++) {
    if (data[i] !== 0 || data[i + 1] !== 0 || data[i + 2] !== 1) continue;
    if (start >= 0) yield trim(data.subarray(start, i));
    start = i + 3;
    i += 2;
    const type = byte(data, start) & 0x1f;
    // A slice is followed by nothing we look for: do not walk through the picture.
    if (start < data.length && (type === NalType.slice || type === NalType.idr)) {
      yield data.subarray(start);
      return;
    }
  }
  if (start >= 0 && start < data.length) yield trim(data.subarray(start));
}

function trim(nal: Uint8Array): Uint8Array {
  let end = nal.length;
  while (end > 0 && nal[end - 1] === 0) end--;
  return nal.subarray(0, end);
}

/** Describes the parameter sets in front of a picture; undefined without a readable SPS. */
export function h264Info(accessUnit: Uint8Array): VideoStreamInfo | undefined {
  const hash = createHash('sha256');
  const seen = new Set<string>();
  let sps: SpsInfo | undefined;
  for (const nal of nalUnits(accessUnit)) {
    const type = (nal[0] ?? 0) & 0x1f;
    if (type !== NalType.sps && type !== NalType.pps) continue;
    if (type === NalType.sps) sps ??= parseSps(nal);
    // A parser may repeat what the encoder already sent in band: the same set twice is no other stream.
    const key = Buffer.from(nal).toString('latin1');
    if (seen.has(key)) continue;
    seen.add(key);
    hash.update(nal);
  }
  if (!sps) return undefined;
  return { codec: 'h264', ...sps, parametersHash: hash.digest('hex').slice(0, 16) };
}

export interface SpsInfo {
  width: number;
  height: number;
  profile: string;
}

const PROFILES: Readonly<Record<number, string>> = {
  66: 'Baseline',
  77: 'Main',
  88: 'Extended',
  100: 'High',
  110: 'High 10',
  122: 'High 4:2:2',
  244: 'High 4:4:4 Predictive',
};
const HIGH_PROFILES = new Set([100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135]);

/** Profile and cropped size of an SPS NAL unit; undefined when it is not one or is cut short. */
export function parseSps(nal: Uint8Array): SpsInfo | undefined {
  const bits = new BitReader(unescape(nal));
  const header = bits.read(8);
  if ((header & 0x1f) !== NalType.sps) return undefined;
  const profileIdc = bits.read(8);
  const constraints = bits.read(8);
  bits.read(8); // level
  bits.ue(); // id
  let chroma = 1;
  let separatePlanes = 0;
  if (HIGH_PROFILES.has(profileIdc)) {
    chroma = bits.ue();
    if (chroma === 3) separatePlanes = bits.read(1);
    bits.ue(); // bit depths
    bits.ue();
    bits.read(1);
    if (bits.read(1)) skipScalingLists(bits, chroma === 3 ? 12 : 8);
  }
  bits.ue(); // log2_max_frame_num
  const orderType = bits.ue();
  if (orderType === 0) bits.ue();
  else if (orderType === 1) {
    bits.read(1);
    bits.se();
    bits.se();
    const cycle = bits.ue();
    if (cycle > 255) return undefined;
    for (let i = 0; i < cycle; i++) bits.se();
  }
  bits.ue(); // reference frames
  bits.read(1);
  const widthMbs = bits.ue() + 1;
  const heightUnits = bits.ue() + 1;
  const framesOnly = bits.read(1);
  if (!framesOnly) bits.read(1);
  bits.read(1);
  let cropX = 0;
  let cropY = 0;
  if (bits.read(1)) {
    const unitX = chroma === 1 || chroma === 2 ? 2 : 1;
    const unitY = (chroma === 1 ? 2 : 1) * (2 - framesOnly);
    const planar = chroma === 0 || separatePlanes ? { x: 1, y: 2 - framesOnly } : { x: unitX, y: unitY };
    cropX = (bits.ue() + bits.ue()) * planar.x;
    cropY = (bits.ue() + bits.ue()) * planar.y;
  }
  if (bits.exhausted) return undefined;
  const width = widthMbs * 16 - cropX;
  const height = heightUnits * 16 * (2 - framesOnly) - cropY;
  if (width <= 0 || height <= 0 || width > 16_384 || height > 16_384) return undefined;
  const constrained = profileIdc === 66 && (constraints & 0x40) !== 0;
  return {
    width,
    height,
    profile: constrained ? 'Constrained Baseline' : (PROFILES[profileIdc] ?? `profile ${profileIdc}`),
  };
}

function skipScalingLists(bits: BitReader, count: number): void {
  for (let list = 0; list < count; list++) {
    if (!bits.read(1)) continue;
    let last = 8;
    let next = 8;
    for (let i = 0; i < (list < 6 ? 16 : 64) && !bits.exhausted; i++) {
      if (next !== 0) next = (last + bits.se() + 256) % 256;
      if (next !== 0) last = next;
    }
  }
}

/** Takes out emulation prevention bytes (00 00 03). */
function unescape(nal: Uint8Array): Uint8Array {
  const out = new Uint8Array(nal.length);
  let length = 0;
  let zeros = 0;
  for (const byte of nal) {
    if (zeros >= 2 && byte === 3) {
      zeros = 0;
      continue;
    }
    out[length++] = byte;
    zeros = byte === 0 ? zeros + 1 : 0;
  }
  return out.subarray(0, length);
}

/** Reads past the end as zeros and remembers it. */
class BitReader {
  readonly #data: Uint8Array;
  #at = 0;
  exhausted = false;

  constructor(data: Uint8Array) {
    this.#data = data;
  }

  read(count: number): number {
    let value = 0;
    for (let i = 0; i < count; i++) {
      const byte = this.#data[this.#at >> 3];
      if (byte === undefined) this.exhausted = true;
      value = value * 2 + (((byte ?? 0) >> (7 - (this.#at & 7))) & 1);
      this.#at++;
    }
    return value;
  }

  /** Unsigned Exp-Golomb. */
  ue(): number {
    let zeros = 0;
    while (this.read(1) === 0) {
      if (++zeros > 31 || this.exhausted) {
        this.exhausted = true;
        return 0;
      }
    }
    return 2 ** zeros - 1 + this.read(zeros);
  }

  /** Signed Exp-Golomb. */
  se(): number {
    const value = this.ue();
    return value % 2 === 0 ? -(value / 2) : (value + 1) / 2;
  }
}
