/** Whether something grows over time. Pure. */
import { median } from './numbers.ts';

export interface Point {
  /** Hours since the first sample. */
  hours: number;
  value: number;
}

/** Share of a run, from its start, in which memory and pools may still fill: heaps settle in steps, one of them after 50 minutes. */
const WARM_UP = 0.5;

/** Without the warm-up. */
export function settled(points: readonly Point[]): Point[] {
  const from = (points.at(-1)?.hours ?? 0) * WARM_UP;
  return points.filter(({ hours }) => hours >= from);
}

/** Theil and Sen's slope, per hour: the median of the slopes between all pairs, which no single peak moves. */
export function slope(points: readonly Point[]): number {
  const slopes = points.flatMap((a, index) =>
    points
      .slice(index + 1)
      .flatMap((b) => (b.hours > a.hours ? (b.value - a.value) / (b.hours - a.hours) : [])),
  );
  return slopes.length === 0 ? NaN : median(slopes);
}
