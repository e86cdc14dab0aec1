/** Matroska's elements that a stream's description needs (RFC 9559). Pure. */
import { children, readFloat, readText, readUint } from '../../../media/ebml.ts';
import type { EbmlElement } from '../../../media/ebml.ts';
import { matroskaCodec } from './matroska-codecs.ts';

export const Id = {
  ebml: 0x1a45dfa3,
  segment: 0x18538067,
  info: 0x1549a966,
  timestampScale: 0x2ad7b1,
  tracks: 0x1654ae6b,
  trackEntry: 0xae,
  trackNumber: 0xd7,
  trackType: 0x83,
  defaultDuration: 0x23e383,
  codecId: 0x86,
  codecPrivate: 0x63a2,
  video: 0xe0,
  pixelWidth: 0xb0,
  pixelHeight: 0xba,
  projection: 0x7670,
  poseRoll: 0x7675,
  audio: 0xe1,
  samplingFrequency: 0xb5,
  outputSamplingFrequency: 0x78b5,
  channels: 0x9f,
  bitDepth: 0x6264,
  cluster: 0x1f43b675,
  timestamp: 0xe7,
  simpleBlock: 0xa3,
  blockGroup: 0xa0,
  block: 0xa1,
} as const;

/** What is walked into: their ends do not matter to us, so that it does not either when they have none. */
export const TRANSPARENT: ReadonlySet<number> = new Set([Id.segment, Id.cluster, Id.blockGroup]);

export interface TrackEntry {
  number: number;
  type: 'video' | 'audio' | 'other';
  codec: string;
  codecPrivate: Buffer;
  width: number;
  height: number;
  rotation: 0 | 90 | 180 | 270;
  framerate: number | undefined;
  sampleRate: number;
  channels: number;
}

const DEFAULT_SCALE_NS = 1_000_000;
const DEFAULT_RATE = 8000;
/** Frame rates beyond are clock ticks. */
const MAX_FRAMERATE = 1000;
/** Beyond these nothing real is described. */
const MAX_PIXELS = 65_535;
const MAX_HERTZ = 1_000_000;
const MAX_CHANNELS = 255;

/** ns of a unit of time. @throws InspectError */
export function readScale(info: Buffer): number {
  for (const child of children(info, 0, info.length)) {
    if (child.id === Id.timestampScale) return readUint(info, child) || DEFAULT_SCALE_NS;
  }
  return DEFAULT_SCALE_NS;
}

/** @param tracks content of a Tracks element. @throws InspectError */
export function readTracks(tracks: Buffer): TrackEntry[] {
  const found: TrackEntry[] = [];
  for (const entry of children(tracks, 0, tracks.length)) {
    if (entry.id === Id.trackEntry) found.push(readTrack(tracks, entry));
  }
  return found;
}

function readTrack(data: Buffer, entry: EbmlElement): TrackEntry {
  const track: TrackEntry = {
    ...{ number: 0, type: 'other', codec: '', codecPrivate: Buffer.alloc(0) },
    ...{ width: 0, height: 0, rotation: 0, framerate: undefined },
    ...{ sampleRate: DEFAULT_RATE, channels: 1 },
  };
  let codecId = '';
  let bitDepth = 0;
  for (const child of children(data, entry.content, entry.to)) {
    if (child.id === Id.trackNumber) track.number = readUint(data, child);
    else if (child.id === Id.codecId) codecId = readText(data, child);
    else if (child.id === Id.codecPrivate) track.codecPrivate = data.subarray(child.content, child.to);
    else if (child.id === Id.defaultDuration) track.framerate = rateOf(readUint(data, child));
    else if (child.id === Id.video) readVideo(data, child, track);
    else if (child.id === Id.audio) bitDepth = readAudio(data, child, track);
    else if (child.id === Id.trackType) {
      const type = readUint(data, child);
      track.type = type === 1 ? 'video' : type === 2 ? 'audio' : 'other';
    }
  }
  track.codec = matroskaCodec(codecId, track.codecPrivate, bitDepth);
  return track;
}

function rateOf(frameNs: number): number | undefined {
  const rate = frameNs > 0 ? 1e9 / frameNs : 0;
  return rate > 0 && rate <= MAX_FRAMERATE ? Math.round(rate * 1000) / 1000 : undefined;
}

function readVideo(data: Buffer, video: EbmlElement, track: TrackEntry): void {
  for (const child of children(data, video.content, video.to)) {
    if (child.id === Id.pixelWidth) track.width = upTo(MAX_PIXELS, readUint(data, child));
    else if (child.id === Id.pixelHeight) track.height = upTo(MAX_PIXELS, readUint(data, child));
    else if (child.id === Id.projection) {
      for (const pose of children(data, child.content, child.to)) {
        if (pose.id === Id.poseRoll) track.rotation = clockwise(readFloat(data, pose));
      }
    }
  }
}

/** 0, which stands for what is not known, where a number is absurd. */
function upTo(most: number, value: number): number {
  return value >= 0 && value <= most ? value : 0;
}

function hertz(data: Buffer, element: EbmlElement): number {
  return upTo(MAX_HERTZ, Math.round(readFloat(data, element)));
}

/** `ProjectionPoseRoll` turns counterclockwise, in degrees. */
function clockwise(roll: number): 0 | 90 | 180 | 270 {
  const quarters = Number.isFinite(roll) ? ((Math.round(-roll / 90) % 4) + 4) % 4 : 0;
  return quarters === 1 ? 90 : quarters === 2 ? 180 : quarters === 3 ? 270 : 0;
}

/** Answers the bits of a sample, 0 when it does not say. */
function readAudio(data: Buffer, audio: EbmlElement, track: TrackEntry): number {
  let bitDepth = 0;
  let output = 0;
  for (const child of children(data, audio.content, audio.to)) {
    if (child.id === Id.samplingFrequency) track.sampleRate = hertz(data, child);
    else if (child.id === Id.outputSamplingFrequency) output = hertz(data, child);
    else if (child.id === Id.channels) track.channels = upTo(MAX_CHANNELS, readUint(data, child));
    else if (child.id === Id.bitDepth) bitDepth = readUint(data, child);
  }
  if (output > 0) track.sampleRate = output;
  return bitDepth;
}

/** Head of a SimpleBlock or Block; `data` is the offset of its frame. Undefined when it is cut short. */
export function readBlock(
  bytes: Buffer,
): { track: number; relative: number; keyFrame: boolean; data: number } | undefined {
  const [first = 0] = bytes;
  const length = Math.clz32(first) - 23;
  if (length > 8 || bytes.length < length + 3) return undefined;
  let track = first & ((1 << (8 - length)) - 1);
  for (let i = 1; i < length; i++) track = track * 256 + (bytes[i] ?? 0);
  return {
    track,
    relative: bytes.readInt16BE(length),
    keyFrame: ((bytes[length + 2] ?? 0) & 0x80) !== 0,
    data: length + 3,
  };
}
