/** Chunks' bytes, one after the other: what every view is made of. */
import { createReadStream } from 'node:fs';
import { readFile } from 'node:fs/promises';
import type { LogContainer } from '../log/files.ts';
import { scanMkv } from '../log/mkv-scan.ts';
import { PauseSeams } from '../log/pauses.ts';
import { clustersOf } from '../log/pauses-mkv.ts';
import type { Chunk, GapLine } from '../log/types.ts';
import { OutputError } from './errors.ts';
import { earlierTs } from './earlier-ts.ts';

/**
 * MPEG-TS joins byte by byte. Matroska needs its header once: the first chunk's, then everybody's clusters, whose
 * times are absolute.
 * @param gaps those of pauses are closed up: what comes after them is earlier by as much
 * @throws OutputError when a file holds less than its line says
 */
export async function* joinChunks(
  chunks: readonly Chunk[],
  container: LogContainer,
  { gaps = [] }: { gaps?: readonly GapLine[] } = {},
  onRead: (bytes: number) => void = () => undefined,
): AsyncGenerator<Uint8Array> {
  const seams = new PauseSeams(gaps);
  for (const [i, chunk] of chunks.entries()) {
    const isMoved = seams.before(chunk.startNs + chunk.durationNs) > 0;
    if (container === 'mpegts' && isMoved) {
      const data = await readChunk(chunk);
      yield earlierTs(data, chunk.startNs, (atNs) => seams.before(atNs));
      onRead(data.length);
      continue;
    }
    if (container === 'mpegts') {
      for await (const bytes of readTs(chunk)) {
        yield bytes;
        onRead(bytes.length);
      }
      continue;
    }
    const data = await readChunk(chunk);
    const scan = scanMkv(data);
    if (i === 0) yield data.subarray(0, scan.headerEnd);
    if (isMoved) {
      yield* clustersOf(scan.blocks.map((block) => ({ ...block, atNs: seams.closed(block.atNs) })));
    } else for (const { from, to } of scan.clusters) yield closedCluster(data.subarray(from, to));
    onRead(data.length);
  }
}

/** The bytes of a chunk that count. @throws OutputError when the file holds fewer */
export async function readChunk(chunk: Chunk): Promise<Buffer> {
  const data = await readFile(chunk.path).catch((error: unknown) => {
    throw new OutputError('damaged', `chunk ${chunk.file} cannot be read: ${String(error)}`, {
      cause: error,
    });
  });
  if (data.length < chunk.bytes) throw shortChunk(chunk, data.length);
  return data.subarray(0, chunk.bytes);
}

async function* readTs(chunk: Chunk): AsyncGenerator<Buffer> {
  if (chunk.bytes === 0) return;
  let read = 0;
  const stream = createReadStream(chunk.path, { end: chunk.bytes - 1, highWaterMark: 256 * 1024 });
  for await (const bytes of stream as AsyncIterable<Buffer>) {
    read += bytes.length;
    yield bytes;
  }
  if (read < chunk.bytes) throw shortChunk(chunk, read);
}

function shortChunk(chunk: Chunk, found: number): OutputError {
  return new OutputError(
    'damaged',
    `chunk ${chunk.file} of attempt ${chunk.attempt} holds ${found} bytes where its line says ${chunk.bytes}`,
  );
}

/** Header length of a cluster with an eight-byte size: four of the id, eight of the size. */
const CLUSTER_HEADER = 12;

/**
 * A cluster with its real size: one that was cut short, or written live with an unknown size, must not take in
 * what follows it.
 */
function closedCluster(cluster: Uint8Array): Uint8Array {
  const sizeAt = 4;
  const oldHeader = sizeAt + Math.clz32(cluster[sizeAt] ?? 0) - 23;
  const content = cluster.subarray(oldHeader);
  const header = Buffer.alloc(CLUSTER_HEADER);
  header.set(cluster.subarray(0, sizeAt));
  header.writeBigUInt64BE((1n << 56n) | BigInt(content.length), sizeAt);
  return Buffer.concat([header, content]);
}
