/** What pictures tell by their counters: when they were published, and whether they come twice. Pure. */
import type { TileReport } from '../../src/demo/content/types.ts';
import type { Stretch } from './account.ts';
import { CLIP_SECONDS, PICTURE } from './rig.ts';
import type { Life } from './rig.ts';

const { fps } = PICTURE;
/** A picture belongs to the time it was published at, give or take so much, ms. */
const DRIFT_MS = 1500;

export interface Shown {
  time: number;
  counter: number;
}

/** The first frame of each new counter. */
export function fresh({ frames }: TileReport): Shown[] {
  const result: Shown[] = [];
  for (const { time, counter } of frames)
    if (counter !== null && counter !== result.at(-1)?.counter) result.push({ time, counter });
  return result;
}

/** When pictures were published, in the recording's time, and how far the file's clock is from it, seconds. */
export function byCounter(
  tile: TileReport,
  life: Life,
  startedMs: number,
): { shown: number[]; shift: number } {
  const published = (counter: number) => (life.startedAtMs - startedMs) / 1000 + counter / fps;
  const all = fresh(tile);
  const shifts = all.map(({ time, counter }) => published(counter) - time).sort((a, b) => a - b);
  return {
    shown: all.map(({ counter }) => published(counter)),
    shift: shifts[Math.floor(shifts.length / 2)] ?? 0,
  };
}

/** Which of the lives a picture is of, and how long after its publication it is shown, ms. */
function origin({ time, counter }: Shown, lives: readonly Life[], startedMs: number) {
  const late = lives.map((life) => startedMs + time * 1000 - (life.startedAtMs + (counter * 1000) / fps));
  const life = late.reduce((best, each, at) => (Math.abs(each) < Math.abs(late[best]!) ? at : best), 0);
  return { life, late: late[life] ?? NaN };
}

export function misplaced(tile: TileReport, lives: readonly Life[], startedMs: number): string[] {
  const strange = fresh(tile).filter((each) => !(Math.abs(origin(each, lives, startedMs).late) <= DRIFT_MS));
  const [first] = strange;
  if (!first) return [];
  const { late } = origin(first, lives, startedMs);
  return [
    `${strange.length} pictures of another time, first at ${first.time.toFixed(1)} s (${late.toFixed(0)} ms)`,
  ];
}

/** Where a picture is not newer than all before it. */
export function backwards(tile: TileReport, lives: readonly Life[], startedMs: number): number[] {
  let newest = -1;
  return fresh(tile).flatMap((each) => {
    const { life } = origin(each, lives, startedMs);
    const place = life * 1e9 + each.counter;
    if (place <= newest) return each.time;
    newest = place;
    return [];
  });
}

/** The same for clips that are repeated, and for what has no common clock: only where the picture runs on. */
export function jumpsBack(tile: TileReport, clipSeconds = CLIP_SECONDS): number[] {
  const all = fresh(tile);
  return all.flatMap(({ time, counter }, index) => {
    const before = all[index - 1];
    if (!before || counter > before.counter || time - before.time > 0.5) return [];
    const again = before.counter > (clipSeconds - 2) * fps && counter < 2 * fps;
    return again ? [] : time;
  });
}

/** Where somebody is heard, in the recording's time. */
export function loud({ soundGaps }: TileReport, from: number, to: number, shift: number): Stretch[] {
  if (!soundGaps) return [];
  const edges = [from, ...soundGaps.flatMap((gap) => [gap.from, gap.to]), to];
  const result: Stretch[] = [];
  for (let index = 0; index + 1 < edges.length; index += 2)
    result.push({ from: edges[index]! + shift, to: edges[index + 1]! + shift });
  return result;
}

export function complement(stretches: readonly Stretch[], end: number): Stretch[] {
  const result: Stretch[] = [];
  let at = 0;
  for (const { from, to } of [...stretches].sort((a, b) => a.from - b.from)) {
    if (from > at) result.push({ from: at, to: from });
    at = Math.max(at, to);
  }
  if (at < end) result.push({ from: at, to: end });
  return result;
}
