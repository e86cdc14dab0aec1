/** What a decoder is set up with: of H.264's parameter sets and of ADTS headers. Pure. */
import { byte } from '../bytes.ts';
import { NalType, readSps } from '../h264-sps.ts';
import { uint } from './boxes.ts';

export interface VideoConfig {
  width: number;
  height: number;
  /** AVCDecoderConfigurationRecord (ISO/IEC 14496-15, 5.3.3.1). */
  avcc: Buffer;
}

export interface AudioConfig {
  sampleRate: number;
  channels: number;
  /** AudioSpecificConfig (ISO/IEC 14496-3, 1.6.2.1). */
  asc: Buffer;
}

export interface TrackConfigs {
  video: VideoConfig | undefined;
  audio: AudioConfig | undefined;
}

/** Whether a decoder set up with the one can go on with the other. */
export function sameConfigs(a: TrackConfigs, b: TrackConfigs): boolean {
  const same = (one: Buffer | undefined, other: Buffer | undefined) =>
    one === other || (one !== undefined && other !== undefined && one.equals(other));
  return same(a.video?.avcc, b.video?.avcc) && same(a.audio?.asc, b.audio?.asc);
}

/** Profiles whose record goes on with chroma format and bit depths; what is recorded here is 4:2:0 of 8 bits. */
const HIGH_PROFILES: ReadonlySet<number> = new Set([100, 110, 122, 144]);

/** NAL units of an Annex B access unit (ITU-T H.264, annex B), all of them. */
export function splitNals(data: Uint8Array): Uint8Array[] {
  const nals: Uint8Array[] = [];
  const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  let start = -1;
  for (let at = bytes.indexOf(START_CODE); at >= 0; at = bytes.indexOf(START_CODE, at + 3)) {
    if (start >= 0) push(start, at);
    start = at + 3;
  }
  if (start >= 0) push(start, bytes.length);
  return nals;

  function push(from: number, to: number): void {
    let end = to;
    while (end > from && bytes[end - 1] === 0) end--;
    if (end > from) nals.push(bytes.subarray(from, end));
  }
}

const START_CODE = Buffer.from([0, 0, 1]);

/** The picture as `avc1` wants it: lengths instead of start codes, without parameter sets and delimiters. */
export function toLengthPrefixed(nals: readonly Uint8Array[]): Buffer {
  const kept = nals.filter((nal) => !LEFT_OUT.has(byte(nal, 0) & 0x1f));
  return Buffer.concat(kept.flatMap((nal) => [uint(nal.length, 4), nal]));
}

const LEFT_OUT: ReadonlySet<number> = new Set([NalType.sps, NalType.pps, NalType.delimiter]);

/** Of a keyframe's NAL units; undefined without SPS and PPS. */
export function videoConfig(nals: readonly Uint8Array[]): VideoConfig | undefined {
  const ofType = (type: number) => unique(nals.filter((nal) => (byte(nal, 0) & 0x1f) === type));
  const [sps] = ofType(NalType.sps);
  const pps = ofType(NalType.pps);
  const details = sps && readSps(sps);
  if (!sps || !details || pps.length === 0) return undefined;
  const profile = byte(sps, 1);
  const avcc = Buffer.concat([
    // Version 1; lengths of four bytes; one SPS.
    Buffer.from([1, profile, byte(sps, 2), byte(sps, 3), 0xff, 0xe1]),
    ...[uint(sps.length, 2), sps, uint(pps.length, 1)],
    ...pps.flatMap((each) => [uint(each.length, 2), each]),
    HIGH_PROFILES.has(profile) ? Buffer.from([0xfd, 0xf8, 0xf8, 0]) : Buffer.alloc(0),
  ]);
  return { width: details.width, height: details.height, avcc };
}

function unique(nals: readonly Uint8Array[]): Uint8Array[] {
  return nals.filter(
    (nal, i) => nals.findIndex((other) => Buffer.compare(Buffer.from(other), Buffer.from(nal)) === 0) === i,
  );
}

const SAMPLE_RATES = [
  96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350,
];

/** Whole AAC frames of ADTS (ISO/IEC 13818-7, 6.2), without their headers. */
export function readAdtsFrames(data: Uint8Array): { frames: Uint8Array[]; config: AudioConfig | undefined } {
  const frames: Uint8Array[] = [];
  let config: AudioConfig | undefined;
  for (let at = 0; at + 7 <= data.length;) {
    if (data[at] !== 0xff || (byte(data, at + 1) & 0xf6) !== 0xf0) break;
    const header = byte(data, at + 1) & 1 ? 7 : 9;
    const length =
      ((byte(data, at + 3) & 0x03) << 11) | (byte(data, at + 4) << 3) | (byte(data, at + 5) >> 5);
    if (length <= header || at + length > data.length) break;
    frames.push(data.subarray(at + header, at + length));
    config ??= audioConfig(byte(data, at + 2), byte(data, at + 3));
    at += length;
  }
  return { frames, config };
}

function audioConfig(b2: number, b3: number): AudioConfig | undefined {
  const index = (b2 >> 2) & 0x0f;
  const sampleRate = SAMPLE_RATES[index];
  const channels = ((b2 & 1) << 2) | (b3 >> 6);
  if (sampleRate === undefined || channels === 0) return undefined;
  const objectType = (b2 >> 6) + 1;
  return { sampleRate, channels, asc: uint((objectType << 11) | (index << 7) | (channels << 3), 2) };
}
