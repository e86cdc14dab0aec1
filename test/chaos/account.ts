/** What of a recording is there, and why the rest is not: second by second. Pure. */
import type { DetailedGap } from '../support/takeover.ts';

/** A stretch of the recording's own time, seconds. */
export interface Stretch {
  from: number;
  to: number;
}

/** What a fault may cost a recording, in the recording's time. */
export interface Excuse extends Stretch {
  reason: string;
  /**
   * `gap`: only what EgressInfo.details names is excused, one gap at most so long (seconds).
   * `absence`: who sends was away, so all between `from` and `to` is.
   */
  kind: 'gap' | 'absence';
  most: number;
}

export interface Observed {
  name: string;
  /** What is to be accounted for. */
  span: Stretch;
  fps: number;
  /** When a new picture of the participant was shown; undefined when the recording has no picture. */
  pictures: readonly number[] | undefined;
  /** Where the participant was not heard; undefined when the recording has no sound. */
  silences: readonly Stretch[] | undefined;
  /** When a picture was shown that had been shown before. */
  doubled: readonly number[];
  /**
   * Whether the sender is an ingress whose next worker begins at the sender's last keyframe: what came since is sent
   * once more.
   */
  replayed?: boolean;
  gaps: readonly DetailedGap[];
}

export interface Account {
  name: string;
  /** Seconds. */
  expected: number;
  recorded: number;
  lost: Map<string, number>;
  /** What must not be; empty when all is accounted for. */
  wrong: string[];
}

/** Share of a second's pictures that make it a recorded one: a mixer and the network drop single ones. */
const PICTURES_SHARE = 0.6;
/** Seconds of silence in a second that is taken for heard: windows of measurement, concealment. */
const SILENCE = 0.35;
/** A gap begins before its fault by what was not written yet, and after it by the time to notice, seconds. */
const BEFORE = 2.5;
/** What is lost shows around a gap: the last keyframe's chunk, the first keyframe to come, seconds. */
const AROUND = { before: 1, after: 1.5 };
/** Between keyframes of senders here, seconds. */
const GROUP = 2;
/** Shorter gaps in the details are clocks, not losses. */
const NEGLIGIBLE = 0.3;

const overlaps = (a: Stretch, b: Stretch) => a.from < b.to && b.from < a.to;

/** @param excuses what faults may have cost this recording */
export function account(observed: Observed, excuses: readonly Excuse[]): Account {
  const { span, gaps } = observed;
  const wrong: string[] = [];
  for (const gap of gaps) {
    if (gap.to - gap.from < NEGLIGIBLE) continue;
    const near = excuses.filter(
      ({ kind, from, to }) => kind === 'gap' && gap.from >= from - BEFORE && gap.from <= to,
    );
    const length = (gap.to - gap.from).toFixed(1);
    const at = `${gap.from.toFixed(1)} s (${gap.reason})`;
    if (near.length === 0) wrong.push(`a gap of ${length} s at ${at} without a fault`);
    else if (!near.some(({ most }) => gap.to - gap.from <= most))
      wrong.push(
        `a gap of ${length} s at ${at}: ${near.map((each) => `${each.reason} may cost ${each.most} s`).join()}`,
      );
  }
  const lost = new Map<string, number>();
  let expected = 0;
  const unexplained: string[] = [];
  for (let second = Math.ceil(span.from); second + 1 <= span.to; second++) {
    expected++;
    const here = { from: second, to: second + 1 };
    const without = missingIn(observed, here);
    if (without === undefined) continue;
    const reason = reasonOf(here, gaps, excuses);
    if (reason === undefined) unexplained.push(`${second} s (${without})`);
    else lost.set(reason, (lost.get(reason) ?? 0) + 1);
  }
  if (unexplained.length > 0) wrong.push(`missing without a reason: ${unexplained.join(', ')}`);
  const doubled = observed.doubled.filter((at) => !(observed.replayed && follows(at, [...gaps, ...excuses])));
  if (doubled.length > 0)
    wrong.push(
      `shown twice: at ${doubled
        .slice(0, 5)
        .map((at) => at.toFixed(1))
        .join(', ')} s`,
    );
  const sum = [...lost.values()].reduce((total, each) => total + each, 0);
  return { name: observed.name, expected, recorded: expected - sum - unexplained.length, lost, wrong };
}

/** Whether this is in one of the stretches, or up to a group of pictures after it. */
function follows(at: number, stretches: readonly Stretch[]): boolean {
  return stretches.some(({ from, to }) => at >= from - AROUND.before && at <= to + AROUND.after + GROUP);
}

/** What of a second is not recorded, if anything. */
function missingIn({ fps, pictures, silences }: Observed, second: Stretch): 'picture' | 'sound' | undefined {
  const shown = pictures?.filter((at) => at >= second.from && at < second.to).length ?? fps;
  const silent = (silences ?? []).reduce(
    (sum, { from, to }) => sum + Math.max(0, Math.min(to, second.to) - Math.max(from, second.from)),
    0,
  );
  if (shown < PICTURES_SHARE * fps) return 'picture';
  return silent > SILENCE ? 'sound' : undefined;
}

function reasonOf(
  second: Stretch,
  gaps: readonly DetailedGap[],
  excuses: readonly Excuse[],
): string | undefined {
  const gap = gaps.find(({ from, to }) =>
    overlaps(second, { from: from - AROUND.before, to: to + AROUND.after }),
  );
  if (gap) return gap.reason;
  return excuses.find((each) => each.kind === 'absence' && overlaps(second, each))?.reason;
}
