/** An output that is there for a part of its egress: what it is made of lies between two moments. */
import type { SegmentLog } from '../log/reader.ts';
import type { Chunk } from '../log/types.ts';
import type { OutputSpan } from '../plan/types.ts';
import type { Sink } from './types.ts';

/** A keyframe asked for at a moment comes a little before or after it, ns. */
const NEAR_NS = 0.4e9;
/**
 * Where none comes for this long, ns, the output begins with the chunk before, that holds the moment: rather more than
 * was asked for than less. An encoder that is short of processor time may be late, a publisher may never answer.
 */
const LATE_NS = 1e9;

/** What was asked for, on the egress clock, ns; an output is made of whole chunks, see {@link isIn}. */
export interface Span {
  fromNs: number;
  toNs: number;
}

export const WHOLE: Span = { fromNs: -Infinity, toNs: Infinity };

/** @param epochMs wall clock of egress-clock zero */
export function spanOf(span: OutputSpan | undefined, epochMs: number): Span {
  return {
    fromNs: span?.fromMs === undefined ? -Infinity : (span.fromMs - epochMs) * 1e6,
    toNs: span?.toMs === undefined ? Infinity : (span.toMs - epochMs) * 1e6,
  };
}

/** Whether a chunk belongs to it: one that begins in it, or that holds its beginning with no keyframe near. */
export const isIn = (
  { fromNs, toNs }: Span,
  { startNs, durationNs }: Pick<Chunk, 'startNs' | 'durationNs'>,
): boolean => startNs < toNs && (startNs >= fromNs - NEAR_NS || startNs + durationNs > fromNs + LATE_NS);

/** The span's chunks, and what is known of them. Pure. */
export function partOf(log: SegmentLog, span: Span): SegmentLog {
  if (span.fromNs === -Infinity && span.toNs === Infinity) return log;
  const chunks = log.chunks.filter((chunk) => isIn(span, chunk));
  const [first] = chunks;
  const last = chunks.at(-1);
  const startNs = first?.startNs ?? 0;
  const lastNs = last ? last.startNs + last.durationNs : startNs;
  const endNs = span.toNs === Infinity ? log.endNs : lastNs;
  return {
    ...log,
    ...{ chunks, endNs },
    gaps: log.gaps.filter((gap) => gap.startNs >= startNs && gap.startNs < endNs),
    events: log.events.filter(({ atNs }) => atNs >= startNs && atNs <= endNs),
    videoFrames: chunks.reduce((sum, { videoFrames }) => sum + videoFrames, 0),
    audioFrames: chunks.reduce((sum, { audioFrames }) => sum + audioFrames, 0),
  };
}

/** Passes on what lies in its span, and finishes once. */
export class SpannedSink implements Sink {
  readonly outputId: string;
  readonly #sink: Sink;
  readonly #onNothing: () => void;
  #span: Span;
  #ending = false;
  #finished: Promise<'done' | 'pending'> | undefined;
  #reached: (() => void) | undefined;

  /** @param onNothing told when nothing was recorded in its span: it is left out */
  constructor(sink: Sink, outputId: string, span: Span, onNothing: () => void) {
    this.#sink = sink;
    this.outputId = outputId;
    this.#span = span;
    this.#onNothing = onNothing;
  }

  get sink(): Sink {
    return this.#sink;
  }

  /** Whether it has an end before its egress's. */
  get ends(): boolean {
    return this.#span.toNs < Infinity;
  }

  /** Whether its end has begun: what has an end may have it from an earlier attempt, and is then to be ended again. */
  get ending(): boolean {
    return this.#ending;
  }

  onChunk(chunk: Chunk): void {
    if (isIn(this.#span, chunk)) this.#sink.onChunk?.(chunk);
    if (chunk.startNs + chunk.durationNs >= this.#span.toNs) this.#reached?.();
  }

  /** Ends it at a moment; the chunk that holds it may be still to come. */
  endAt(toNs: number): void {
    this.#span = { ...this.#span, toNs: Math.min(toNs, this.#span.toNs) };
    this.#ending = true;
    this.#sink.onEnding?.();
  }

  /** Resolves when the chunk with its end has come, at the latest after `deadlineMs`. */
  async reached(deadlineMs: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, deadlineMs);
      this.#reached = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  /** Nothing more will come. */
  release(): void {
    this.#reached?.();
    this.#finished ??= Promise.resolve('done');
  }

  /** @throws what the output throws; again when it is asked again */
  async finish(log: SegmentLog): Promise<'done' | 'pending'> {
    // Whoever waits for its end has it.
    this.#reached?.();
    this.#finished ??= this.#finish(partOf(log, this.#span));
    return this.#finished;
  }

  async #finish(log: SegmentLog): Promise<'done' | 'pending'> {
    const isPart = this.#span.fromNs > -Infinity || this.ends;
    if (isPart && log.chunks.length === 0) {
      this.#onNothing();
      return 'done';
    }
    return (await this.#sink.finish?.(log)) ?? 'done';
  }
}
