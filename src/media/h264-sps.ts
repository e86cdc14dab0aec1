/** H.264 sequence parameter sets (ITU-T H.264, 7.3.2.1 and annex E). */
import { BitReader, unescape } from './bits.ts';

export const NalType = { slice: 1, idr: 5, sei: 6, sps: 7, pps: 8, delimiter: 9 } as const;

export interface SpsInfo {
  width: number;
  height: number;
  profile: string;
}

export interface SpsDetails extends SpsInfo {
  /** `profile_idc`. */
  profileIdc: number;
  /** `pic_order_cnt_type`: 2 says that frames are shown in the order they are coded. */
  orderType: number;
  /** Frames that may come before one that is shown earlier (`max_num_reorder_frames`); undefined when it does not say. */
  reorderFrames: number | undefined;
  /** Frames a second of its timing information; undefined without. */
  framerate: number | undefined;
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
  const sps = readSps(nal);
  return sps && { width: sps.width, height: sps.height, profile: sps.profile };
}

/** The same, and what it says of order and timing. A cut-off VUI counts as none. */
export function readSps(nal: Uint8Array): SpsDetails | undefined {
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
  const vui = bits.read(1) ? readVui(bits) : NO_VUI;
  return {
    width,
    height,
    profile: constrained ? 'Constrained Baseline' : (PROFILES[profileIdc] ?? `profile ${profileIdc}`),
    profileIdc,
    orderType,
    ...vui,
  };
}

type Vui = Pick<SpsDetails, 'reorderFrames' | 'framerate'>;
const NO_VUI: Vui = { reorderFrames: undefined, framerate: undefined };
const EXTENDED_ASPECT_RATIO = 255;
/** No real stream has more, and a broken one has any number. */
const MAX_FRAMERATE = 1000;

/** Annex E.1.1. */
function readVui(bits: BitReader): Vui {
  if (bits.read(1) && bits.read(8) === EXTENDED_ASPECT_RATIO) bits.read(32);
  if (bits.read(1)) bits.read(1); // overscan
  if (bits.read(1)) {
    bits.read(4); // format, range
    if (bits.read(1)) bits.read(24); // colours
  }
  if (bits.read(1)) {
    bits.ue(); // chroma location
    bits.ue();
  }
  let framerate: number | undefined;
  if (bits.read(1)) {
    const unitsInTick = bits.read(32);
    const timeScale = bits.read(32);
    bits.read(1);
    // A frame is two ticks (two fields).
    const rate = unitsInTick > 0 ? timeScale / unitsInTick / 2 : 0;
    if (rate > 0 && rate <= MAX_FRAMERATE) framerate = rate;
  }
  const nalHrd = bits.read(1);
  if (nalHrd) skipHrd(bits);
  const vclHrd = bits.read(1);
  if (vclHrd) skipHrd(bits);
  if (nalHrd || vclHrd) bits.read(1);
  bits.read(1); // pic_struct
  let reorderFrames: number | undefined;
  if (bits.read(1)) {
    bits.read(1);
    for (let i = 0; i < 4; i++) bits.ue();
    reorderFrames = bits.ue();
  }
  return bits.exhausted ? NO_VUI : { reorderFrames, framerate };
}

/** Annex E.1.2. */
function skipHrd(bits: BitReader): void {
  const count = bits.ue() + 1;
  bits.read(8); // scales
  for (let i = 0; i < count && !bits.exhausted; i++) {
    bits.ue();
    bits.ue();
    bits.read(1);
  }
  bits.read(20); // lengths
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
