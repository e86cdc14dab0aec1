/** Walks a Matroska or WebM stream as our muxer writes it: header, tracks, clusters of blocks, no index needed. */
import { byte } from '../../media/bytes.ts';
import { children, readElement, readFloat, readText, readUint } from '../../media/ebml.ts';
import type { EbmlElement } from '../../media/ebml.ts';
import { InspectError } from './inspection.ts';

const Id = {
  ebml: 0x1a45dfa3,
  segment: 0x18538067,
  info: 0x1549a966,
  timestampScale: 0x2ad7b1,
  tracks: 0x1654ae6b,
  trackEntry: 0xae,
  trackNumber: 0xd7,
  trackType: 0x83,
  codecId: 0x86,
  codecPrivate: 0x63a2,
  video: 0xe0,
  pixelWidth: 0xb0,
  pixelHeight: 0xba,
  audio: 0xe1,
  samplingFrequency: 0xb5,
  channels: 0x9f,
  cluster: 0x1f43b675,
  timestamp: 0xe7,
  simpleBlock: 0xa3,
  blockGroup: 0xa0,
  block: 0xa1,
  referenceBlock: 0xfb,
} as const;

/** Direct children of a segment, and a new stream: what ends a cluster of unknown size. */
const LEVEL_ONE = new Set<number>([
  Id.cluster,
  Id.info,
  Id.tracks,
  Id.ebml,
  Id.segment,
  0x114d9b74, // SeekHead
  0x1c53bb6b, // Cues
  0x1254c367, // Tags
  0x1043a770, // Chapters
  0x1941a469, // Attachments
]);

export interface MkvTrack {
  number: number;
  type: 'video' | 'audio' | 'other';
  codecId: string;
  codecPrivate: Uint8Array | undefined;
  width: number;
  height: number;
  sampleRate: number;
  channels: number;
}

export interface MkvBlock {
  track: number;
  /** Presentation time, ns. */
  atNs: number;
  keyFrame: boolean;
  frame: Uint8Array;
  /** Where its element begins, bytes. */
  from: number;
}

export interface MkvScan {
  tracks: MkvTrack[];
  blocks: MkvBlock[];
  /** End of EBML header, segment head, info and tracks: what a joined file needs once. */
  headerEnd: number;
  /** Byte ranges of clusters, each cut behind its last whole block. */
  clusters: { from: number; to: number }[];
  /** End of the last whole element. */
  wholeBytes: number;
}

/** @throws InspectError when there is no readable header with tracks */
export function scanMkv(data: Uint8Array): MkvScan {
  const ebml = readElement(data, 0);
  if (ebml?.id !== Id.ebml) throw new InspectError('not a Matroska chunk: no EBML header at its start');
  const segment = readElement(data, ebml.to);
  if (segment?.id !== Id.segment) throw new InspectError('not a Matroska chunk: no segment after its header');
  const scan: MkvScan = { tracks: [], blocks: [], headerEnd: 0, clusters: [], wholeBytes: segment.content };
  let scale = 1_000_000;
  for (let at = segment.content; at < data.length;) {
    const element = tryRead(data, at);
    if (!element) break;
    if (element.id === Id.cluster) {
      at = scanCluster(data, element, scale, scan);
      if (at === 0) break;
      continue;
    }
    if (element.to > data.length) break;
    if (element.id === Id.info) scale = timestampScale(data, element);
    if (element.id === Id.tracks) scan.tracks = readTracks(data, element);
    if (scan.clusters.length === 0 && element.id === Id.tracks) scan.headerEnd = element.to;
    at = element.to;
    scan.wholeBytes = at;
  }
  if (scan.tracks.length === 0) throw new InspectError('not a Matroska chunk: no tracks');
  return scan;
}

/** Damage in the middle ends the walk there: without sizes to trust there is no next element. */
function tryRead(data: Uint8Array, at: number): EbmlElement | undefined {
  try {
    return readElement(data, at);
  } catch (error) {
    if (error instanceof InspectError) return undefined;
    throw error;
  }
}

/** Answers where the walk goes on, or 0 when the cluster is cut short. */
function scanCluster(data: Uint8Array, cluster: EbmlElement, scale: number, scan: MkvScan): number {
  const range = { from: cluster.from, to: cluster.content };
  const end = Math.min(cluster.to, data.length);
  let time: number | undefined;
  let at = cluster.content;
  let whole = true;
  while (at < end) {
    const element = tryRead(data, at);
    if (element && cluster.to === Infinity && LEVEL_ONE.has(element.id)) break;
    if (!element || element.to > end) {
      whole = false;
      break;
    }
    if (element.id === Id.timestamp) time = readUint(data, element);
    else if (time !== undefined && element.id === Id.simpleBlock)
      addBlock(data, element, { from: element.from, time, scale, keyFrame: undefined }, scan);
    else if (time !== undefined && element.id === Id.blockGroup) addGroup(data, element, time, scale, scan);
    at = element.to;
    range.to = at;
  }
  if (cluster.to !== Infinity && cluster.to > data.length) whole = false;
  if (range.to > cluster.content) {
    scan.clusters.push(range);
    scan.wholeBytes = range.to;
  }
  return whole ? at : 0;
}

function addGroup(data: Uint8Array, group: EbmlElement, time: number, scale: number, scan: MkvScan): void {
  let block: EbmlElement | undefined;
  let keyFrame = true;
  try {
    for (const child of children(data, group.content, group.to)) {
      if (child.id === Id.block && child.to <= group.to) block = child;
      if (child.id === Id.referenceBlock) keyFrame = false;
    }
  } catch (error) {
    if (!(error instanceof InspectError)) throw error;
  }
  if (block) addBlock(data, block, { from: group.from, time, scale, keyFrame }, scan);
}

function addBlock(
  data: Uint8Array,
  block: EbmlElement,
  at: { from: number; time: number; scale: number; keyFrame: boolean | undefined },
  scan: MkvScan,
): void {
  const { from, time, scale, keyFrame } = at;
  const first = data[block.content] ?? 0;
  // Track numbers above 127 never occur with our two tracks.
  if ((first & 0x80) === 0 || block.content + 4 > block.to) return;
  const relative = (((byte(data, block.content + 1) << 8) | byte(data, block.content + 2)) << 16) >> 16;
  const atNs = (time + relative) * scale;
  // Damage: no recording is 104 days long.
  if (!Number.isSafeInteger(atNs)) return;
  scan.blocks.push({
    track: first & 0x7f,
    atNs,
    keyFrame: keyFrame ?? (byte(data, block.content + 3) & 0x80) !== 0,
    frame: data.subarray(block.content + 4, block.to),
    from,
  });
}

function timestampScale(data: Uint8Array, info: EbmlElement): number {
  for (const child of children(data, info.content, info.to)) {
    if (child.id === Id.timestampScale) return readUint(data, child) || 1_000_000;
  }
  return 1_000_000;
}

function readTracks(data: Uint8Array, tracks: EbmlElement): MkvTrack[] {
  const found: MkvTrack[] = [];
  for (const entry of children(data, tracks.content, tracks.to)) {
    if (entry.id === Id.trackEntry) found.push(readTrack(data, entry));
  }
  return found;
}

/** Hz; what no sound card does is damage. */
function sampleRate(hz: number): number {
  return hz >= 1000 && hz <= 768_000 ? hz : 48_000;
}

function readTrack(data: Uint8Array, entry: EbmlElement): MkvTrack {
  const track: MkvTrack = {
    number: 0,
    type: 'other',
    codecId: '',
    codecPrivate: undefined,
    width: 0,
    height: 0,
    sampleRate: 48_000,
    channels: 1,
  };
  for (const child of children(data, entry.content, entry.to)) {
    if (child.id === Id.trackNumber) track.number = readUint(data, child);
    else if (child.id === Id.codecId) track.codecId = readText(data, child);
    else if (child.id === Id.codecPrivate && child.to <= data.length) {
      track.codecPrivate = data.subarray(child.content, child.to);
    } else if (child.id === Id.trackType) {
      const type = readUint(data, child);
      track.type = type === 1 ? 'video' : type === 2 ? 'audio' : 'other';
    } else if (child.id === Id.video || child.id === Id.audio) {
      for (const setting of children(data, child.content, child.to)) {
        if (setting.id === Id.pixelWidth) track.width = readUint(data, setting);
        else if (setting.id === Id.pixelHeight) track.height = readUint(data, setting);
        else if (setting.id === Id.samplingFrequency) track.sampleRate = sampleRate(readFloat(data, setting));
        else if (setting.id === Id.channels) track.channels = readUint(data, setting);
      }
    }
  }
  return track;
}
