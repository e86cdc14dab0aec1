/** A Matroska chunk without what came in a pause (pure): its header, and clusters of the blocks that stay. */
import { scanMkv } from './mkv-scan.ts';
import type { MkvBlock, MkvScan } from './mkv-scan.ts';
import { keepOutsidePauses } from './pauses-rule.ts';
import type { Pause } from './pauses-rule.ts';

/** The muxer's timestamp scale, which is Matroska's default, ns. */
const SCALE_NS = 1e6;
/** A block's time in its cluster is a signed 16 bit number. */
const MAX_RELATIVE = 30_000;

/** For every block whether it stays. */
function kept({ tracks, blocks }: MkvScan, pauses: readonly Pause[]): boolean[] {
  const isVideo = new Set(tracks.filter(({ type }) => type === 'video').map(({ number }) => number));
  return keepOutsidePauses(
    blocks.map(({ track, atNs, keyFrame }) => ({
      kind: isVideo.has(track) ? ('video' as const) : ('audio' as const),
      atNs,
      keyFrame,
    })),
    pauses,
  );
}

/** Bytes of a chunk before the first block that does not stay; 0 where that is the first of all. @throws InspectError */
export function bytesBeforePauseMkv(data: Uint8Array, pauses: readonly Pause[]): number {
  const scan = scanMkv(data);
  const first = kept(scan, pauses).indexOf(false);
  return first < 0 ? data.length : first === 0 ? 0 : (scan.blocks[first]?.from ?? data.length);
}

/** Undefined when all of it stays; empty when nothing does. @throws InspectError */
export function withoutPausesMkv(data: Uint8Array, pauses: readonly Pause[]): Uint8Array | undefined {
  const scan = scanMkv(data);
  const { blocks, headerEnd } = scan;
  const keep = kept(scan, pauses);
  if (keep.every(Boolean)) return undefined;
  const left = blocks.filter((_, i) => keep[i]);
  if (left.length === 0) return new Uint8Array(0);
  return Buffer.concat([data.subarray(0, headerEnd), ...clustersOf(left)]);
}

/** Clusters with these blocks, in their order; times are absolute. */
export function* clustersOf(blocks: readonly MkvBlock[]): Generator<Buffer> {
  let from = 0;
  while (from < blocks.length) {
    const base = Math.round((blocks[from]?.atNs ?? 0) / SCALE_NS);
    const relative = ({ atNs }: MkvBlock) => Math.round(atNs / SCALE_NS) - base;
    const end = blocks.findIndex((block, i) => i > from && Math.abs(relative(block)) > MAX_RELATIVE);
    const to = end < 0 ? blocks.length : end;
    const content = Buffer.concat([
      element([0xe7], uint64(base)),
      ...blocks.slice(from, to).map((block) => simpleBlock(block, relative(block))),
    ]);
    yield element([0x1f, 0x43, 0xb6, 0x75], content);
    from = to;
  }
}

function simpleBlock({ track, keyFrame, frame }: MkvBlock, relative: number): Buffer {
  const head = Buffer.alloc(4);
  head[0] = 0x80 | track;
  head.writeInt16BE(relative, 1);
  head[3] = keyFrame ? 0x80 : 0;
  return element([0xa3], Buffer.concat([head, frame]));
}

function uint64(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(value));
  return bytes;
}

/** With a size of eight bytes. */
function element(id: readonly number[], content: Uint8Array): Buffer {
  const size = uint64(content.length);
  size[0] = 0x01;
  return Buffer.concat([Buffer.from(id), size, content]);
}
