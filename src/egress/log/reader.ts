/** Reads a segment log from disk: every attempt, seals honoured, every file checked. */
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { describeChunk } from './chunk-line.ts';
import { attemptDir, isMissing, listAttempts, readIfThere } from './files.ts';
import { foldLog, inOrder } from './fold.ts';
import type { AttemptContent, Position, SegmentLog } from './fold.ts';
import { InspectError } from './inspection.ts';
import { describeUnlisted, readIndexes } from './seal.ts';
import type { AttemptIndex } from './seal.ts';
import type { AttemptLine, Chunk, ChunkLine, GapLine } from './types.ts';

export type { SegmentLog } from './fold.ts';

/** There is no log where one should be. */
export class LogError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'LogError';
  }
}

export interface ReadLogOptions {
  /**
   * Take chunk files without a line too, as far as they are whole (default). False for a log that is still being
   * written: its last chunk is open.
   */
  recover?: boolean;
}

/**
 * The log in `dir` (`<data_dir>/egress/<egress id>`). A chunk that is missing, empty or shorter than its line says
 * becomes a gap, never a silently shorter log; only one that was dropped on purpose is not missed.
 * @throws LogError when no attempt has begun there
 */
export async function readLog(dir: string, options: ReadLogOptions = {}): Promise<SegmentLog> {
  const indexes = await readIndexes(dir, await listAttempts(dir));
  const head = indexes.find((index) => index.head)?.head;
  if (!head) throw new LogError(`no segment log in ${dir}: no attempt has written its first line`);
  const attempts: AttemptContent[] = [];
  const first = beginning(indexes);
  for (const index of indexes) {
    attempts.push(await readAttempt(dir, index, { head, first, recover: options.recover ?? true }));
  }
  return foldLog({ egressId: head.egressId, epochMs: head.epochMs, container: head.container }, attempts);
}

async function readAttempt(
  dir: string,
  index: AttemptIndex,
  { head, first, recover }: { head: AttemptLine; first: Position | undefined; recover: boolean },
): Promise<AttemptContent> {
  const isDropped = (chunk: Position) => first !== undefined && inOrder(chunk, first) < 0;
  const content: AttemptContent = { chunks: [], gaps: [], events: [], endNs: undefined, problems: [] };
  for (const number of index.invalid) {
    content.problems.push(`line ${number} of attempt ${index.attempt}'s index is not valid`);
  }
  if (index.head && index.head.container !== head.container) {
    content.problems.push(
      `attempt ${index.attempt} is ${index.head.container}, the first is ${head.container}`,
    );
    return content;
  }
  const folder = attemptDir(dir, index.attempt);
  for (const line of index.lines) {
    if (line.type === 'chunk') {
      if (isDropped(line)) continue;
      const checked = await checkChunk(folder, line, head);
      if (checked.chunk) content.chunks.push(checked.chunk);
      if (checked.gap) {
        content.gaps.push(checked.gap);
        content.problems.push(`chunk ${line.file} of attempt ${index.attempt}: ${checked.gap.reason}`);
      }
    } else if (line.type === 'gap') content.gaps.push(line);
    else if (line.type === 'event') content.events.push(line);
    else if (line.type === 'end') content.endNs = line.atNs;
  }
  if (recover || index.seal) {
    for (const line of await describeUnlisted(dir, index)) {
      if (!isDropped(line)) content.chunks.push({ ...line, path: join(folder, line.file) });
    }
  }
  return content;
}

/** The chunk the log begins with, when what was before it has been dropped. */
function beginning(indexes: readonly AttemptIndex[]): Position | undefined {
  return indexes
    .flatMap(({ lines }) => lines.filter((line) => line.type === 'dropped'))
    .sort(inOrder)
    .at(-1);
}

/** Holds a listed chunk against its file. */
async function checkChunk(
  folder: string,
  line: ChunkLine,
  head: AttemptLine,
): Promise<{ chunk?: Chunk; gap?: GapLine }> {
  const path = join(folder, line.file);
  const size = await sizeOf(path);
  if (size !== undefined && size >= line.bytes && line.bytes > 0) return { chunk: { ...line, path } };
  const lost = (startNs: number, reason: string): GapLine => ({
    type: 'gap',
    startNs,
    endNs: line.startNs + line.durationNs,
    reason,
  });
  if (size === undefined) return { gap: lost(line.startNs, 'the chunk file is missing') };
  try {
    const data = (await readIfThere(path)) ?? Buffer.alloc(0);
    const found = describeChunk(data, line.file, {
      attempt: line.attempt,
      epochMs: head.epochMs,
      container: head.container,
      nearNs: line.startNs,
      closed: false,
    });
    const chunk = { ...found, path, truncatedBytes: line.bytes - found.bytes };
    const reason = `the chunk file is ${line.bytes - size} bytes short`;
    return { chunk, gap: lost(found.startNs + found.durationNs, reason) };
  } catch (error) {
    if (!(error instanceof InspectError)) throw error;
    return { gap: lost(line.startNs, `the chunk file cannot be used: ${error.message}`) };
  }
}

async function sizeOf(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}
