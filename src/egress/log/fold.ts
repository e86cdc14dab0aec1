/** From what each attempt's index and folder hold to one log (pure). */
import { PAUSED, pausesOf, touchesPause } from './pauses.ts';
import type { Pause } from './pauses.ts';
import type { Chunk, EventLine, GapLine } from './types.ts';
import type { LogContainer } from './files.ts';

/** The log as its views see it. */
export interface SegmentLog {
  egressId: string;
  /** Wall clock of egress-clock zero, ms since the epoch. */
  epochMs: number;
  container: LogContainer;
  /**
   * In order of attempt, run and number: also of time. `bytes` is how much of the file counts. Without those that were
   * dropped.
   */
  chunks: Chunk[];
  /** Where media is missing, in order of time: recorded by the writer, or found between chunks. */
  gaps: GapLine[];
  events: EventLine[];
  /** The end line is there: nothing more will come. */
  complete: boolean;
  /** Egress clock of the end line, else end of the last chunk, ns. */
  endNs: number;
  videoFrames: number;
  audioFrames: number;
  /** What is wrong with the log's own files, one sentence each. */
  problems: string[];
}

/** What counts of one attempt. */
export interface AttemptContent {
  chunks: Chunk[];
  gaps: GapLine[];
  events: EventLine[];
  endNs: number | undefined;
  problems: string[];
}

/** Less than this between two chunks of one pipeline is jitter, ns. */
export const GAP_THRESHOLD_NS = 0.25e9;
/** Between two pipelines something is missing: less than this is not worth a line, ns. */
const TAKEOVER_THRESHOLD_NS = 0.1e9;

export function foldLog(
  head: { egressId: string; epochMs: number; container: LogContainer },
  attempts: readonly AttemptContent[],
): SegmentLog {
  const chunks = attempts.flatMap((attempt) => attempt.chunks).sort(inOrder);
  const recorded = attempts.flatMap((attempt) => attempt.gaps);
  const problems = attempts.flatMap((attempt) => attempt.problems);
  const gaps = [...recorded];
  const events = attempts.flatMap((attempt) => attempt.events);
  const pauses = pausesOf(events);
  events.sort((a, b) => a.atNs - b.atNs);
  for (const [i, after] of chunks.entries()) {
    const before = chunks[i - 1];
    if (!before) continue;
    const gap = gapBetween(before, after, pauses);
    if (gap && !recorded.some((other) => covers(other, gap))) gaps.push(gap);
    if (after.startNs < before.startNs) problems.push(`${after.file} starts before ${before.file} in time`);
  }
  const last = chunks.at(-1);
  const endNs = attempts.findLast((attempt) => attempt.endNs !== undefined)?.endNs;
  const atEnd = last && endNs !== undefined ? pauseAtEnd(last, endNs, pauses) : undefined;
  if (atEnd) gaps.push(atEnd);
  gaps.sort((a, b) => a.startNs - b.startNs);
  return {
    ...head,
    chunks,
    gaps,
    events,
    complete: endNs !== undefined,
    endNs: endNs ?? (last ? last.startNs + last.durationNs : 0),
    videoFrames: chunks.reduce((sum, chunk) => sum + chunk.videoFrames, 0),
    audioFrames: chunks.reduce((sum, chunk) => sum + chunk.audioFrames, 0),
    problems,
  };
}

/** A chunk's place in the log. */
export type Position = Pick<Chunk, 'attempt' | 'run' | 'number'>;

/** Compares two places, as `sort` wants it. */
export function inOrder(a: Position, b: Position): number {
  return a.attempt - b.attempt || a.run - b.run || a.number - b.number;
}

type Span = Pick<Chunk, 'attempt' | 'run' | 'startNs' | 'durationNs'>;

/** An egress that was paused when it ended. */
function pauseAtEnd(last: Span, endNs: number, pauses: readonly Pause[]): GapLine | undefined {
  const startNs = last.startNs + last.durationNs;
  const isPaused = pauses.some((pause) => pause.startNs < endNs && pause.endNs >= endNs);
  return isPaused && endNs > startNs ? { type: 'gap', startNs, endNs, reason: PAUSED } : undefined;
}

/** The gap between two chunks that follow each other, if there is one. */
export function gapBetween(before: Span, after: Span, pauses: readonly Pause[] = []): GapLine | undefined {
  const endNs = before.startNs + before.durationNs;
  const sameRun = before.attempt === after.attempt && before.run === after.run;
  if (after.startNs - endNs < (sameRun ? GAP_THRESHOLD_NS : TAKEOVER_THRESHOLD_NS)) return undefined;
  const reason = touchesPause(pauses, endNs, after.startNs)
    ? PAUSED
    : before.attempt !== after.attempt
      ? 'another worker took over'
      : before.run !== after.run
        ? 'the pipeline was restarted'
        : 'no media';
  return { type: 'gap', startNs: endNs, endNs: after.startNs, reason };
}

function covers(gap: GapLine, other: GapLine): boolean {
  return gap.startNs <= other.startNs + GAP_THRESHOLD_NS && gap.endNs >= other.endNs - GAP_THRESHOLD_NS;
}
