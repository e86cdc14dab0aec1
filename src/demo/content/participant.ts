/** From what was seen and heard of one participant to a report. Pure. */
import { COLORS } from '../../../pipelines/publisher/signal.ts';
import { stretches } from './motion.ts';
import { closestColor, distance } from './tile.ts';
import type { OffsetStats, Rgb, Stretch, TileFrame, TileReport, TileSpec } from './types.ts';

/** Flash and beep further apart than this do not belong together. */
const MATCH_SECONDS = 0.45;
/** Frames around a second whose counters tell when it began. */
const NEIGHBOURS = 6;
/** The hum at less than this share of its usual amplitude is not heard. */
const HUM_SHARE = 0.35;
/** Usual amplitude below which there is no hum at all (it is published at 0.015). */
const HUM_LEAST = 0.003;
/** Seconds; shorter losses of the hum are hidden by the measuring window and by concealment. */
const HUM_GAP = 0.06;

/** Everything about one participant, times from the file's start. */
export interface Observations {
  frames: TileFrame[];
  /** Onsets. */
  beeps: number[];
  hum: { time: number; amplitude: number }[];
  /** What of the file lies within the participant's time. */
  from: number;
  to: number;
}

export function reportTile(spec: TileSpec, { frames, beeps, hum, from, to }: Observations): TileReport {
  const fps = spec.fps ?? 30;
  const fresh = freshFrames(frames);
  const counters = frames.flatMap(({ counter }) => counter ?? []);
  const seen = new Set(counters);
  const first = counters.length ? Math.min(...minMax(counters)) : null;
  const last = counters.length ? Math.max(...minMax(counters)) : null;
  const missing: number[] = [];
  if (first !== null && last !== null)
    for (let counter = first; counter <= last; counter++) if (!seen.has(counter)) missing.push(counter);
  const flashes = flashOnsets(frames);
  const gap = longestGap(fresh.map(({ time }) => time));
  return {
    name: spec.name,
    frames,
    read: counters.length,
    unreadable: frames.length - counters.length,
    first,
    last,
    share: first === null || last === null ? 0 : seen.size / (last - first + 1),
    inOrder: counters.every((counter, i) => i === 0 || counter >= counters[i - 1]!),
    missing,
    held: counters.filter((counter, i) => i > 0 && counter === counters[i - 1]).length,
    longestGapMs: gap.length * 1000,
    longestGapAt: gap.at,
    flashes,
    beeps,
    beepShare: beepShare(beeps, from, to),
    avOffset: offsetStats(match(flashes, beeps)),
    avOffsetByCounter: offsetStats(match(secondsByCounter(fresh, fps), beeps)),
    soundGaps: soundGaps(hum, to),
    color: colorReport(spec, frames),
  };
}

function minMax(values: readonly number[]): [number, number] {
  let least = Infinity;
  let most = -Infinity;
  for (const value of values) {
    least = Math.min(least, value);
    most = Math.max(most, value);
  }
  return [least, most];
}

/** The first frame of each new counter. */
function freshFrames(frames: readonly TileFrame[]): { time: number; counter: number }[] {
  const fresh: { time: number; counter: number }[] = [];
  for (const { time, counter } of frames)
    if (counter !== null && counter !== fresh.at(-1)?.counter) fresh.push({ time, counter });
  return fresh;
}

/** Longest time between neighbours, and where it begins. */
export function longestGap(times: readonly number[]): { length: number; at: number | null } {
  let longest = { length: 0, at: null as number | null };
  for (let i = 1; i < times.length; i++) {
    const length = times[i]! - times[i - 1]!;
    if (length > longest.length) longest = { length, at: times[i - 1]! };
  }
  return longest;
}

/** First lit frame after a dark one; a file that begins lit has no onset there. */
export function flashOnsets(frames: readonly TileFrame[]): number[] {
  return frames
    .filter((frame, i) => i > 0 && frame.flash && !frames[i - 1]!.flash && frame.counter !== null)
    .map(({ time }) => time);
}

/**
 * When each second of the publisher's clock began, told by the counters around it: the median over
 * neighbouring frames of (time of frame n − its distance from the second). Frames dropped or held by a
 * mixer move single flashes by a whole frame, and this not.
 */
export function secondsByCounter(fresh: readonly { time: number; counter: number }[], fps: number): number[] {
  const begins = new Map<number, number[]>();
  for (const { time, counter } of fresh) {
    const second = Math.round(counter / fps);
    const away = counter - second * fps;
    if (Math.abs(away) > NEIGHBOURS) continue;
    begins.set(second, [...(begins.get(second) ?? []), time - away / fps]);
  }
  // Fewer than three witnesses are the edge of a gap.
  return [...begins.values()].filter((votes) => votes.length >= 3).map((votes) => median(votes));
}

/** Differences (beep − sight, seconds) of those that belong together. */
export function match(sights: readonly number[], beeps: readonly number[]): number[] {
  return sights.flatMap((sight) => {
    let best: number | undefined;
    for (const beep of beeps)
      if (best === undefined || Math.abs(beep - sight) < Math.abs(best)) best = beep - sight;
    return best !== undefined && Math.abs(best) <= MATCH_SECONDS ? best : [];
  });
}

export function offsetStats(differences: readonly number[]): OffsetStats {
  const ms = differences.map((difference) => difference * 1000);
  const sizes = ms.map(Math.abs).sort((a, b) => a - b);
  const at95 = sizes[Math.min(sizes.length - 1, Math.ceil(sizes.length * 0.95) - 1)];
  return { count: ms.length, p50: ms.length ? median(ms) : NaN, p95: at95 ?? NaN, max: sizes.at(-1) ?? NaN };
}

/** Beeps come every second: the share heard of those that fit between `from` and `to`. */
export function beepShare(beeps: readonly number[], from: number, to: number): number {
  const phase = beeps[0];
  if (phase === undefined) return 0;
  // Counted from the first beep's place in its second, over the whole time, not only from the first on.
  const before = Math.max(0, Math.floor(phase - from + 1e-3));
  const after = Math.floor(to - phase - 0.15);
  return Math.min(1, beeps.length / Math.max(1, before + 1 + Math.max(0, after)));
}

export function soundGaps(
  hum: readonly { time: number; amplitude: number }[],
  end: number,
): Stretch[] | null {
  const usual = hum.length
    ? percentile(
        hum.map(({ amplitude }) => amplitude),
        0.75,
      )
    : 0;
  if (usual < HUM_LEAST) return null;
  return stretches(
    hum.map(({ time }) => time),
    hum.map(({ amplitude }) => amplitude < usual * HUM_SHARE),
    end,
    HUM_GAP,
  );
}

function colorReport(spec: TileSpec, frames: readonly TileFrame[]): TileReport['color'] {
  const channel = (index: 0 | 1 | 2) => median(frames.map(({ color }) => color[index]));
  const rgb: Rgb = frames.length ? [channel(0), channel(1), channel(2)] : [0, 0, 0];
  const right = frames.filter(({ color }) => closestColor(color) === spec.color).length;
  return {
    rgb,
    closest: closestColor(rgb),
    distance: distance(rgb, COLORS[spec.color]),
    share: frames.length ? right / frames.length : 0,
  };
}

export function median(values: readonly number[]): number {
  return percentile(values, 0.5);
}

function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? NaN;
}
