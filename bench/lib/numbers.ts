/** Statistics and how they are printed. Pure. */
import { table } from '../../src/demo/table.ts';

/** @param share 0–1; nearest rank. NaN of nothing. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(sorted.length * share) - 1))] ?? NaN;
}

export const median = (values: readonly number[]): number => percentile(values, 0.5);

/** Median and spread, e.g. `1.31 (1.28–1.35)`. */
export function spread(values: readonly number[], digits = 2): string {
  const text = (value: number) => value.toFixed(digits);
  if (values.length < 2) return text(values[0] ?? NaN);
  return `${text(median(values))} (${text(Math.min(...values))}–${text(Math.max(...values))})`;
}

/** Whether `value` holds a bound, in a word. */
export function verdict(value: number, most: number): string {
  return value <= most ? 'met' : 'MISSED';
}

/** Prints a heading and a table. */
export function report(title: string, rows: readonly (readonly string[])[]): void {
  process.stdout.write(`\n${title}\n\n${table(rows)}\n`);
}

export function say(text: string): void {
  process.stdout.write(`${text}\n`);
}
