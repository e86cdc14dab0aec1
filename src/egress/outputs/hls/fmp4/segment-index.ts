/**
 * Which segments a broadcast has stored, beside the log they are made of, and where in the log its packager can go on:
 * `attempt-2/broadcast-0.jsonl`, a line a segment. An attempt that takes over need not package what is stored already.
 * It may be missing, or end anywhere: then more of the log is packaged again, and comes out the same.
 */
import { appendFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { z } from 'zod';
import { attemptDir, readIfThere } from '../../../log/files.ts';
import type { Chunk } from '../../../log/types.ts';
import type { TrackConfigs } from '../../../../media/fmp4/config.ts';
import type { ListedSegment } from './list.ts';
import type { PackagerState } from './packager.ts';

export interface SegmentIndexOptions {
  /** Folder of the segment log. */
  logDir: string;
  attempt: number;
  /** Of the output in its egress's plan. */
  output: number;
}

/** A chunk, and what of the log lies before it: whether it is the same log is told by that. */
export interface ChunkPlace {
  attempt: number;
  run: number;
  number: number;
  chunksBefore: number;
  bytesBefore: number;
}

/** Where its segment ended with a chunk: the state of the packager when the next chunk begins. */
interface Checkpoint {
  place: ChunkPlace;
  state: PackagerState;
}

export interface StoredInit {
  key: string;
  bytes: Buffer;
}

interface Resumed {
  segments: ListedSegment[];
  inits: StoredInit[];
  state: PackagerState;
  /** Of the chunk to go on with. */
  position: number;
}

const bytes = z.base64().transform((text): Buffer => Buffer.from(text, 'base64'));
const count = z.number().int().nonnegative();

const lineSchema = z.object({
  segment: z.object({
    ...{ key: z.string(), index: count, durationNs: z.number(), bytes: count, wallMs: z.number() },
    ...{ discontinuity: z.boolean(), initKey: z.string() },
  }),
  /** The first segment that needs it has it. */
  init: z.object({ key: z.string(), bytes }).optional(),
  checkpoint: z
    .object({
      place: z.object({
        ...{ attempt: count, run: count, number: count, chunksBefore: count, bytesBefore: count },
      }),
      state: z.object({
        ...{ nextSegment: count, nextPart: count, chunkStart: z.number() },
        chunk: z.object({ attempt: count, run: count }),
        configs: z
          .object({
            video: z.object({ width: count, height: count, avcc: bytes }).optional(),
            audio: z.object({ sampleRate: count, channels: count, asc: bytes }).optional(),
          })
          .transform(({ video, audio }): TrackConfigs => ({ video, audio })),
        sound: z.object({ next: z.number(), end: z.number() }).optional(),
        picture: z.object({ end: z.number().optional(), lastDuration: z.number() }),
      }),
    })
    .optional(),
});

type Line = z.output<typeof lineSchema>;

export class SegmentIndex {
  readonly #options: SegmentIndexOptions;
  readonly #logger: Logger;
  readonly #path: string;
  readonly #inits = new Set<string>();
  /** Undefined before the first line; false: it cannot be written, and a line that is missing would be a wrong one. */
  #writable: boolean | undefined;

  constructor(options: SegmentIndexOptions, logger: Logger) {
    this.#options = options;
    this.#logger = logger;
    this.#path = this.#pathOf(options.attempt);
  }

  /**
   * The newest place to go on from that lies at or before a moment, if an earlier attempt has left one.
   * @param earlier what the log holds of earlier attempts
   * @param beforeNs egress clock, ns
   */
  async resume(earlier: readonly Chunk[], beforeNs: number): Promise<Resumed | undefined> {
    const log = new KnownLog(earlier);
    for (let attempt = this.#options.attempt - 1; attempt > 0; attempt--) {
      const lines = readLines(await readIfThere(this.#pathOf(attempt)).catch(() => undefined));
      for (let last = lines.length - 1; last >= 0; last--) {
        const checkpoint = lines[last]?.checkpoint;
        const position = checkpoint && log.positionOf(checkpoint.place, beforeNs);
        if (!checkpoint || position === undefined) continue;
        const kept = lines.slice(0, last + 1);
        const inits = kept.flatMap(({ init }) => (init ? [init] : []));
        await this.#write(kept.map(lineText).join(''));
        for (const { key } of inits) this.#inits.add(key);
        this.#logger.info({ segments: kept.length, chunks: earlier.length - position }, 'broadcast taken up');
        return { segments: kept.map(({ segment }) => segment), inits, state: checkpoint.state, position };
      }
    }
    return undefined;
  }

  /** The next segment, which is stored. @param init what it is decoded with */
  async add(segment: ListedSegment, init: StoredInit, checkpoint: Checkpoint | undefined): Promise<void> {
    const isNew = !this.#inits.has(init.key);
    this.#inits.add(init.key);
    await this.#write(lineText({ segment, ...(isNew && { init }), ...(checkpoint && { checkpoint }) }));
  }

  async #write(text: string): Promise<void> {
    if (this.#writable === false) return;
    try {
      await (this.#writable ? appendFile(this.#path, text) : writeFile(this.#path, text));
      this.#writable = true;
    } catch (err) {
      this.#writable = false;
      this.#logger.warn({ err }, 'the index of a broadcast cannot be written: a takeover will take longer');
    }
  }

  #pathOf(attempt: number): string {
    return join(attemptDir(this.#options.logDir, attempt), `broadcast-${this.#options.output}.jsonl`);
  }
}

class KnownLog {
  readonly #chunks: readonly Chunk[];
  /** Bytes before each chunk. */
  readonly #before: number[] = [];

  constructor(chunks: readonly Chunk[]) {
    this.#chunks = chunks;
    let sum = 0;
    for (const { bytes } of chunks) {
      this.#before.push(sum);
      sum += bytes;
    }
  }

  /** Undefined when the log is another one before it, or it comes too late. */
  positionOf(place: ChunkPlace, beforeNs: number): number | undefined {
    const position = place.chunksBefore;
    const chunk = this.#chunks[position];
    if (!chunk || chunk.startNs > beforeNs || this.#before[position] !== place.bytesBefore) return undefined;
    const { attempt, run, number } = chunk;
    const same = attempt === place.attempt && run === place.run && number === place.number;
    return same ? position : undefined;
  }
}

/** Up to the first one that is not whole. */
function readLines(text: Buffer | undefined): Line[] {
  const lines: Line[] = [];
  for (const each of (text?.toString('utf8') ?? '').split('\n')) {
    const line = parseLine(each);
    if (line?.segment.index !== lines.length) break;
    lines.push(line);
  }
  return lines;
}

function parseLine(text: string): Line | undefined {
  try {
    return lineSchema.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}

function lineText({ segment, init, checkpoint }: Line): string {
  const base64 = (data: Buffer): string => data.toString('base64');
  const { key, index, durationNs, bytes: size, wallMs, discontinuity, initKey } = segment;
  const { video, audio } = checkpoint?.state.configs ?? {};
  return `${JSON.stringify({
    segment: { key, index, durationNs, bytes: size, wallMs, discontinuity, initKey },
    ...(init && { init: { key: init.key, bytes: base64(init.bytes) } }),
    ...(checkpoint && {
      checkpoint: {
        place: checkpoint.place,
        state: {
          ...checkpoint.state,
          configs: {
            ...(video && { video: { ...video, avcc: base64(video.avcc) } }),
            ...(audio && { audio: { ...audio, asc: base64(audio.asc) } }),
          },
        },
      },
    }),
  })}\n`;
}
