/** Builds Matroska chunks as GStreamer's muxer streams them: a header, then clusters of unknown or known size. */

export interface BuiltBlock {
  kind: 'video' | 'audio';
  /** ms. */
  at: number;
  key?: boolean;
  data?: Uint8Array;
}

/** The start of a VP8 keyframe of 322x182, and a dependent frame. */
export const VP8_KEY = Buffer.from('9059009d012a4201b600000708858588', 'hex');
export const VP8_DELTA = Buffer.from('b16004000530f100', 'hex');
const OPUS = Buffer.from('fcfffe', 'hex');

/** One cluster a call of blocks; `sized` writes its size, as a finished file has it. */
export function buildMkv(clusters: readonly (readonly BuiltBlock[])[], sized = false): Buffer {
  const ebml = element(0x1a45dfa3, element(0x4282, Buffer.from('matroska')));
  const video = element(0xe0, element(0xb0, uint(322)), element(0xba, uint(182)));
  const sampling = Buffer.alloc(8);
  sampling.writeDoubleBE(48_000);
  const audio = element(0xe1, element(0xb5, sampling), element(0x9f, uint(2)));
  const tracks = element(
    0x1654ae6b,
    element(0xae, element(0xd7, uint(1)), element(0x83, uint(1)), element(0x86, Buffer.from('V_VP8')), video),
    element(
      0xae,
      element(0xd7, uint(2)),
      element(0x83, uint(2)),
      element(0x86, Buffer.from('A_OPUS')),
      audio,
    ),
  );
  const info = element(0x1549a966, element(0x2ad7b1, uint(1_000_000)));
  return Buffer.concat([
    ebml,
    unsized(0x18538067),
    info,
    tracks,
    ...clusters.map((blocks) => cluster(blocks, sized)),
  ]);
}

function cluster(blocks: readonly BuiltBlock[], sized: boolean): Buffer {
  const base = blocks[0]?.at ?? 0;
  const content = [element(0xe7, uint(base)), ...blocks.map((block) => simpleBlock(block, base))];
  return sized ? element(0x1f43b675, ...content) : Buffer.concat([unsized(0x1f43b675), ...content]);
}

function simpleBlock({ kind, at, key = kind === 'audio', data }: BuiltBlock, base: number): Buffer {
  const head = Buffer.alloc(4);
  head[0] = 0x80 | (kind === 'video' ? 1 : 2);
  head.writeInt16BE(at - base, 1);
  head[3] = key ? 0x80 : 0;
  return element(0xa3, head, Buffer.from(data ?? (kind === 'audio' ? OPUS : key ? VP8_KEY : VP8_DELTA)));
}

function idBytes(id: number): Buffer {
  const text = id.toString(16);
  return Buffer.from(text.padStart(text.length + (text.length % 2), '0'), 'hex');
}

function element(id: number, ...content: Buffer[]): Buffer {
  const body = Buffer.concat(content);
  const size = Buffer.alloc(4);
  size.writeUInt32BE(0x10000000 | body.length);
  return Buffer.concat([idBytes(id), size, body]);
}

function unsized(id: number): Buffer {
  return Buffer.concat([idBytes(id), Buffer.from('01ffffffffffffff', 'hex')]);
}

function uint(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}
