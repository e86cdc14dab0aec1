/**
 * What a run of the suite is to blame for and no test of it: what it left behind, and errors nobody caught. A second
 * run of the tests that failed does not show it again, so it is written down.
 */
import { appendFileSync, readFileSync } from 'node:fs';
import type { Reporter } from 'vitest/node';

/** Environment variable with the path of the file it is written into; where it is not set nothing is. */
export const LEFT_VARIABLE = 'TEST_LEFT';

/** Adds lines to the file. */
export function noteLeft(lines: readonly string[]): void {
  const path = process.env[LEFT_VARIABLE];
  if (path === undefined || lines.length === 0) return;
  appendFileSync(path, `${lines.map((line) => line.replaceAll('\n', ' ')).join('\n')}\n`);
}

/** What a run has written down; empty when it had nothing to. */
export function readLeft(path: string): string[] {
  try {
    return readFileSync(path, 'utf8').trim().split('\n');
  } catch {
    return []; // Nothing was written.
  }
}

/** Writes down the errors nobody caught. */
export default class LeftReporter implements Reporter {
  onTestRunEnd(_: unknown, errors: readonly { message: string }[]): void {
    noteLeft(errors.map(({ message }) => `an error nobody caught: ${message}`));
  }
}
