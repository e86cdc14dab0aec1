/** The first picture of a chunk by itself: the bytes a decoder needs for it and no more. */
import type { LogContainer } from '../../log/files.ts';
import { scanMkv } from '../../log/mkv-scan.ts';
import { scanTs } from '../../log/ts-scan.ts';
import type { Chunk } from '../../log/types.ts';
import { readChunk } from '../join.ts';
import { inspectChunk } from '../../log/chunk-line.ts';
import { InspectError } from '../../log/inspection.ts';

/**
 * A chunk's bytes up to its second picture (MPEG-TS), or its first cluster with a header (Matroska; the cluster begins
 * with the keyframe).
 * @param header leaves Matroska's header out when it has been given already
 * @throws OutputError when the file cannot be read; InspectError when it is no chunk
 */
export async function keyFrameBytes(
  chunk: Chunk,
  container: LogContainer,
  header: 'with-header' | 'without-header' = 'with-header',
): Promise<Uint8Array> {
  const data = await readChunk(chunk);
  if (container === 'mpegts') {
    const { pes } = scanTs(data, true);
    const pictures = pes.filter(({ kind }) => kind === 'h264');
    const first = pictures.findIndex(({ randomAccess }) => randomAccess);
    // In front of the first keyframe there can be sound only, which does no harm.
    return data.subarray(0, pictures[first + 1]?.from ?? data.length);
  }
  const { headerEnd, clusters } = scanMkv(data);
  const [cluster] = clusters;
  if (!cluster) return data;
  return data.subarray(header === 'with-header' ? 0 : Math.max(headerEnd, cluster.from), cluster.to);
}

/** Egress clock of a chunk's first picture, ns; of the chunk, when it cannot be told. @throws OutputError */
export async function firstPictureNs(chunk: Chunk, container: LogContainer): Promise<number> {
  try {
    const found = inspectChunk(await readChunk(chunk), container, { closed: true, nearNs: chunk.startNs });
    return found.video?.startNs ?? chunk.startNs;
  } catch (error) {
    if (error instanceof InspectError) return chunk.startNs;
    throw error;
  }
}
