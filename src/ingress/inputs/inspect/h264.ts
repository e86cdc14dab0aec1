/** What an H.264 stream tells about itself as it passes: its size, and whether frames are shown in another order. */
import { BitReader, unescape } from '../../../media/bits.ts';
import { NalType, readSps } from '../../../media/h264-sps.ts';
import type { SpsDetails } from '../../../media/h264-sps.ts';

/** ms of media, and frames, that are looked at when the parameter sets do not tell. */
const WATCH_MS = 1000;
const WATCH_FRAMES = 150;
/** A group of pictures shorter than this shows nothing. */
const WHOLE_GOP = 10;
/** Bytes of a slice in which its type must be. */
const SLICE_HEAD = 16;

/** Profiles without B slices: Baseline, and those that are all intra. */
const BASELINE = 66;
const INTRA_ONLY = 44;
const ORDER_AS_CODED = 2;

/** What the parameter set alone tells of B-frames; undefined when only the frames will show. */
export function reorders(sps: SpsDetails): boolean | undefined {
  if (sps.profileIdc === BASELINE || sps.profileIdc === INTRA_ONLY) return false;
  if (sps.orderType === ORDER_AS_CODED) return false;
  return sps.reorderFrames === undefined ? undefined : sps.reorderFrames > 0;
}

/** First SPS and length of the NAL lengths of an `AVCDecoderConfigurationRecord` (ISO/IEC 14496-15, 5.3.3.1). */
export function readAvcConfig(config: Uint8Array): { lengthSize: number; sps: SpsDetails } | undefined {
  if (config.length < 8 || config[0] !== 1) return undefined;
  const lengthSize = ((config[4] ?? 0) & 3) + 1;
  const count = (config[5] ?? 0) & 0x1f;
  const size = ((config[6] ?? 0) << 8) | (config[7] ?? 0);
  if (count === 0 || 8 + size > config.length) return undefined;
  const sps = readSps(config.subarray(8, 8 + size));
  return sps && { lengthSize, sps };
}

/** NAL units of a frame, each with its length before it; the last may be cut off. */
export function* lengthPrefixed(frame: Uint8Array, lengthSize: number): Generator<Uint8Array> {
  for (let at = 0; at + lengthSize < frame.length;) {
    let size = 0;
    for (let i = 0; i < lengthSize; i++) size = size * 256 + (frame[at + i] ?? 0);
    at += lengthSize;
    if (size === 0) continue;
    yield frame.subarray(at, at + size);
    at += size;
  }
}

/** NAL units after start codes (Annex B). */
export function* startCoded(frame: Uint8Array): Generator<Uint8Array> {
  let from = -1;
  for (let i = 0; i + 2 < frame.length; i++) {
    if (frame[i] !== 0 || frame[i + 1] !== 0 || frame[i + 2] !== 1) continue;
    if (from >= 0) yield frame.subarray(from, i);
    from = i + 3;
    i += 2;
  }
  if (from >= 0 && from < frame.length) yield frame.subarray(from);
}

export class H264Watch {
  #lengthSize: number | undefined;
  #sps: SpsDetails | undefined;
  #frames = 0;
  #sinceKey = 0;
  #startMs: number | undefined;
  #lastMs = -Infinity;
  #seen: boolean | undefined;

  /** The last one seen. */
  get sps(): SpsDetails | undefined {
    return this.#sps;
  }

  /** Whether frames are shown in another order than they are coded; undefined until it is decided. */
  get bFrames(): boolean | undefined {
    return (this.#sps && reorders(this.#sps)) ?? this.#seen;
  }

  /** An `AVCDecoderConfigurationRecord`. False when it is none. */
  config(record: Uint8Array): boolean {
    const read = readAvcConfig(record);
    if (!read) return false;
    this.#lengthSize = read.lengthSize;
    this.#sps = read.sps;
    return true;
  }

  /**
   * A frame, in the order of coding; its beginning is enough.
   * @param shownMs presentation time
   * @param keyFrame of the container
   */
  frame(head: Uint8Array, shownMs: number, keyFrame: boolean): void {
    const nals = this.#lengthSize === undefined ? startCoded(head) : lengthPrefixed(head, this.#lengthSize);
    const undecided = this.bFrames === undefined;
    if (!keyFrame && !undecided) return;
    let slice = false;
    for (const nal of nals) {
      const type = (nal[0] ?? 0) & 0x1f;
      if (type === NalType.sps) this.#sps = readSps(nal) ?? this.#sps;
      else if (type === NalType.slice || type === NalType.idr) {
        if (type === NalType.slice && isB(nal)) this.#seen = true;
        slice = true;
        break;
      }
    }
    if (slice && undecided) this.#watch(shownMs, keyFrame);
  }

  #watch(shownMs: number, keyFrame: boolean): void {
    if (keyFrame && this.#sinceKey >= WHOLE_GOP) this.#seen ??= false;
    if (keyFrame) this.#sinceKey = 0;
    this.#sinceKey++;
    this.#frames++;
    this.#startMs ??= shownMs;
    // A frame that is shown before one that was coded earlier: whatever its slices are called.
    if (shownMs < this.#lastMs && this.#lastMs - shownMs < WATCH_MS) this.#seen = true;
    this.#lastMs = shownMs;
    if (shownMs - this.#startMs >= WATCH_MS || this.#frames >= WATCH_FRAMES) this.#seen ??= false;
  }

  /** Nobody waits longer: what has been seen so far decides. */
  settle(): void {
    if (this.#frames > 0) this.#seen ??= false;
  }
}

/** `slice_type` of a slice header (7.3.3): 1 and 6 are B. */
function isB(nal: Uint8Array): boolean {
  const bits = new BitReader(unescape(nal.subarray(1, SLICE_HEAD)));
  bits.ue();
  return bits.ue() % 5 === 1;
}
