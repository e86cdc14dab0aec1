/** Sealing: fixing how much of an older attempt counts, whatever its worker may still write. */
import { attemptDir, listChunkFiles, indexPath, readIfThere } from './files.ts';
import { describeChunk } from './chunk-line.ts';
import { parseIndex } from './index-line.ts';
import { InspectError } from './inspection.ts';
import { bytesBeforePause, pausesOf } from './pauses.ts';
import type { AttemptLine, ChunkLine, IndexLine, Seal } from './types.ts';
import { join } from 'node:path';

/** An attempt's index with its seal applied, if it has one. */
export interface AttemptIndex {
  attempt: number;
  /** Undefined when the worker died before it wrote the first line. */
  head: AttemptLine | undefined;
  lines: IndexLine[];
  /** Bytes of whole lines. */
  bytes: number;
  invalid: number[];
  seal: Seal | undefined;
}

/** Reads the indexes of `attempts` (ascending), each as far as the first newer attempt lets it count. */
export async function readIndexes(dir: string, attempts: readonly number[]): Promise<AttemptIndex[]> {
  const raw = await Promise.all(
    attempts.map(async (attempt) => ({
      attempt,
      bytes: (await readIfThere(indexPath(dir, attempt))) ?? Buffer.alloc(0),
    })),
  );
  const heads = raw.map(({ bytes }) => headOf(parseIndex(bytes).lines));
  return raw.map(({ attempt, bytes }, i) => {
    // The first to seal is right: what was written between two takeovers does not count.
    const seal = heads
      .slice(i + 1)
      .flatMap((head) => head?.seals ?? [])
      .find((candidate) => candidate.attempt === attempt);
    const parsed = parseIndex(bytes, seal?.indexBytes);
    return {
      attempt,
      head: headOf(parsed.lines),
      lines: parsed.lines,
      bytes: parsed.wholeBytes,
      invalid: parsed.invalid,
      seal,
    };
  });
}

function headOf(lines: readonly IndexLine[]): AttemptLine | undefined {
  return lines[0]?.type === 'attempt' ? lines[0] : undefined;
}

/** Seals for every attempt read: those it already has, and new ones for those without. */
export async function sealAttempts(dir: string, indexes: readonly AttemptIndex[]): Promise<Seal[]> {
  return Promise.all(
    indexes.map(async (index) => {
      if (index.seal) return index.seal;
      const unlisted = (await describeUnlisted(dir, index)).map(({ file, bytes }) => ({ file, bytes }));
      return { attempt: index.attempt, indexBytes: index.bytes, unlisted };
    }),
  );
}

/**
 * Chunk files of an attempt that have no line, as far as they are whole. A seal says which count and how much of
 * them; without one it is what is there now.
 */
export async function describeUnlisted(dir: string, index: AttemptIndex): Promise<ChunkLine[]> {
  const head = index.head;
  if (!head) return [];
  const listed = new Set(index.lines.flatMap((line) => (line.type === 'chunk' ? [line.file] : [])));
  const files =
    index.seal?.unlisted ??
    (await listChunkFiles(dir, index.attempt)).map((file) => ({ file, bytes: Infinity }));
  const last = index.lines.findLast((line) => line.type === 'chunk');
  const found: ChunkLine[] = [];
  const pauses = pausesOf(index.lines.filter((line) => line.type === 'event'));
  for (const { file, bytes } of files) {
    if (listed.has(file)) continue;
    const data = await readIfThere(join(attemptDir(dir, index.attempt), file));
    if (!data) continue;
    try {
      const nearNs = found.at(-1)?.startNs ?? last?.startNs ?? 0;
      const counted = data.subarray(0, Math.min(bytes, data.length));
      const before = bytesBeforePause(counted, head.container, pauses, nearNs);
      if (before === 0) continue;
      const line = describeChunk(counted.subarray(0, before), file, {
        attempt: index.attempt,
        epochMs: head.epochMs,
        container: head.container,
        nearNs,
        // A seal ends where the last whole frame does, and a pause between two.
        closed: before < counted.length || (index.seal !== undefined && bytes <= data.length),
      });
      found.push({ ...line, recovered: true });
    } catch (error) {
      // Nothing whole had reached the disk: the gap shows in time.
      if (!(error instanceof InspectError)) throw error;
    }
  }
  return found;
}
