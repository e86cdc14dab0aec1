/** From a chunk's bytes to its line in the index (pure). */
import { InspectError } from './inspection.ts';
import type { InspectOptions, Inspection } from './inspection.ts';
import { parseChunkName } from './files.ts';
import type { LogContainer } from './files.ts';
import { inspectMkv } from './mkv-inspect.ts';
import { inspectTs } from './ts-inspect.ts';
import type { Pause } from './pauses.ts';
import type { ChunkLine } from './types.ts';

/** @throws InspectError */
export function inspectChunk(data: Uint8Array, container: LogContainer, options: InspectOptions): Inspection {
  return container === 'mpegts' ? inspectTs(data, options) : inspectMkv(data);
}

export interface ChunkContext {
  attempt: number;
  epochMs: number;
  container: LogContainer;
  /** Egress-clock time the chunk is near to, ns. */
  nearNs: number;
  /** Its writer closed the file. */
  closed: boolean;
  /** What the pipeline said the chunk lasts, up to the next one's start, ns; 0 or absent: not known. */
  durationNs?: number;
  /** Of the recording, as far as they are known. */
  pauses?: readonly Pause[];
}

/** Sound that goes on this little after the last picture is the muxer's interleaving, ns. */
const INTERLEAVE_NS = 0.1e9;

/**
 * Up to the end of the last picture, for chunks are cut at pictures; unless they stop before the sound, or a pause begins
 * in the chunk: what comes after the pause follows both.
 */
function contentLength({ video, audio }: Inspection, pauses: readonly Pause[] = []): number {
  const parts = [video, audio].filter((part) => part !== null);
  const startNs = Math.min(...parts.map((part) => part.startNs));
  const endNs = Math.max(...parts.map((part) => part.endNs));
  if (pauses.some((pause) => pause.startNs > startNs && pause.startNs <= endNs)) return endNs - startNs;
  if (video && (!audio || audio.endNs - video.endNs < INTERLEAVE_NS)) return video.endNs - startNs;
  return endNs - startNs;
}

/**
 * What the pipeline says of a chunk's length is believed when it is this near to what the chunk holds, ns. Nearer than
 * {@link INTERLEAVE_NS} the content is more exact: the muxer's clock stands still at the buffer before the cut, and a
 * few milliseconds that every chunk is short would add up to seconds in a playlist.
 */
const DURATION_TOLERANCE_NS = 0.5e9;

/**
 * Describes a chunk file's bytes.
 * @throws InspectError when nothing in it can be used; the message says why
 */
export function describeChunk(data: Uint8Array, file: string, context: ChunkContext): ChunkLine {
  const name = parseChunkName(file);
  if (!name) throw new InspectError(`not a chunk's file name: ${file}`);
  if (data.length === 0) throw new InspectError('the file is empty');
  const found = inspectChunk(data, context.container, context);
  const parts = [found.video, found.audio].filter((part) => part !== null);
  if (parts.length === 0) throw new InspectError('no whole frame in it');
  const startNs = Math.min(...parts.map((part) => part.startNs));
  const contentNs = contentLength(found, context.pauses);
  const told = context.durationNs ?? 0;
  const difference = Math.abs(told - contentNs);
  const believed = told > 0 && difference >= INTERLEAVE_NS && difference < DURATION_TOLERANCE_NS;
  const cut = data.length - found.wholeBytes;
  return {
    type: 'chunk',
    attempt: context.attempt,
    run: name.run,
    number: name.number,
    file,
    startNs,
    durationNs: Math.round(believed ? told : contentNs),
    wallMs: Math.round(context.epochMs + startNs / 1e6),
    bytes: found.wholeBytes,
    videoFrames: found.video?.frames ?? 0,
    audioFrames: found.audio?.frames ?? 0,
    keyFrames: found.video?.keyFrames ?? 0,
    video: found.video?.infos ?? [],
    audio: found.audio?.info ?? null,
    ...(cut > 0 ? { truncatedBytes: cut } : {}),
  };
}
