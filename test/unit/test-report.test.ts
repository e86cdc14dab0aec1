import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import LeftReporter, { LEFT_VARIABLE, noteLeft, readLeft } from '../../scripts/test-left.ts';
import {
  failedFiles,
  merged,
  namePattern,
  parseReport,
  runAgain,
  testsToRunAgain,
  withSecondRun,
} from '../../scripts/test-report.ts';

const ROOT = '/repo';
const file = (name: string, ...statuses: string[]) => ({
  name: `${ROOT}/test/${name}`,
  status: statuses.includes('failed') ? 'failed' : 'passed',
  assertionResults: statuses.map((status, index) => ({
    status,
    fullName: `suite test ${index}`,
    ancestorTitles: ['suite'],
    title: `test ${index}`,
  })),
});
const report = (...testResults: ReturnType<typeof file>[]) => {
  const statuses = testResults.flatMap(({ assertionResults }) =>
    assertionResults.map(({ status }) => status),
  );
  const count = (wanted: string) => statuses.filter((status) => status === wanted).length;
  return parseReport({
    numTotalTests: statuses.length,
    numPassedTests: count('passed'),
    numFailedTests: count('failed'),
    numPendingTests: count('skipped'),
    numTodoTests: 0,
    success: count('failed') === 0,
    testResults,
  });
};

describe('a second run of what failed beside others', () => {
  it('is for the few files that failed', () => {
    const found = report(file('e2e/a.test.ts', 'passed', 'failed'), file('e2e/b.test.ts', 'passed'));
    expect(runAgain(found, ROOT)).toEqual([`${ROOT}/test/e2e/a.test.ts`]);
  });

  it('is not for unit tests, many files, or none', () => {
    expect(runAgain(report(file('unit/a.test.ts', 'failed'), file('e2e/b.test.ts', 'failed')), ROOT)).toEqual(
      [],
    );
    const many = Array.from({ length: 13 }, (_, index) => file(`e2e/${index}.test.ts`, 'failed'));
    expect(runAgain(report(...many), ROOT)).toEqual([]);
    expect(runAgain(report(file('e2e/a.test.ts', 'passed')), ROOT)).toEqual([]);
  });

  it('takes the place of the first results, file by file', () => {
    const first = report(
      file('e2e/a.test.ts', 'passed', 'failed', 'skipped'),
      file('e2e/b.test.ts', 'failed'),
      file('unit/c.test.ts', 'passed'),
    );
    const second = report(
      file('e2e/a.test.ts', 'passed', 'passed', 'skipped'),
      file('e2e/b.test.ts', 'failed'),
    );
    const both = withSecondRun(first, second);
    expect(both).toMatchObject({
      numTotalTests: 5,
      numPassedTests: 3,
      numFailedTests: 1,
      numPendingTests: 1,
    });
    expect(both.success).toBe(false);
    expect(failedFiles(both)).toEqual([`${ROOT}/test/e2e/b.test.ts`]);
  });

  it('is of the failed tests alone where they are tests of parts, and leaves the others their first results', () => {
    const path = `${ROOT}/test/integration/a.test.ts`;
    const first = report(file('integration/a.test.ts', 'passed', 'failed', 'skipped', 'failed'));
    expect(testsToRunAgain(first, ROOT, path)).toEqual(['suite > test 1', 'suite > test 3']);
    expect(testsToRunAgain(report(file('e2e/a.test.ts', 'failed')), ROOT, `${ROOT}/test/e2e/a.test.ts`)).toBe(
      undefined,
    );
    const outside = report({ ...file('integration/a.test.ts', 'passed'), status: 'failed' });
    expect(testsToRunAgain(outside, ROOT, path)).toBe(undefined);

    const again = report(file('integration/a.test.ts', 'skipped', 'passed', 'skipped', 'passed'));
    expect(withSecondRun(first, again)).toMatchObject({
      ...{ numTotalTests: 4, numPassedTests: 3, numFailedTests: 0, numPendingTests: 1, success: true },
    });
    const still = report(file('integration/a.test.ts', 'skipped', 'failed', 'skipped', 'passed'));
    expect(withSecondRun(first, still)).toMatchObject({ numFailedTests: 1, success: false });
    const none = withSecondRun(
      first,
      report(file('integration/a.test.ts', 'skipped', 'skipped', 'skipped', 'skipped')),
    );
    expect(none, 'what did not run').toMatchObject({ numFailedTests: 2, success: false });
    expect(failedFiles(none)).toEqual([path]);
  });

  it('names tests so that no others are meant', () => {
    const pattern = new RegExp(namePattern(['a (b) > c.', 'd $e']));
    expect(['a (b) > c.', 'd $e'].map((name) => pattern.test(name))).toEqual([true, true]);
    expect(['a (b) > cd', 'xd $e', 'a (b) > c. and more'].some((name) => pattern.test(name))).toBe(false);
  });

  it('makes a success of a run whose failures are all gone', () => {
    const both = withSecondRun(
      report(file('e2e/a.test.ts', 'failed')),
      report(file('e2e/a.test.ts', 'passed')),
    );
    expect(both).toMatchObject({ success: true, numPassedTests: 1, numFailedTests: 0 });
  });

  it('keeps a file that was never run failed', () => {
    const whole = { ...file('e2e/a.test.ts'), status: 'failed' };
    expect(failedFiles(withSecondRun(report(whole), report()))).toEqual([`${ROOT}/test/e2e/a.test.ts`]);
  });

  it('makes no success of a run that left something behind, or whose error nobody caught', () => {
    const again = [report(file('e2e/a.test.ts', 'failed')), report(file('e2e/a.test.ts', 'passed'))] as const;
    expect(withSecondRun(...again, ['left behind: process 1: x']).success).toBe(false);
  });
});

describe('two runs beside one another', () => {
  it('have one report, of the files and tests of both', () => {
    const parts = report(file('unit/a.test.ts', 'passed', 'skipped'));
    const whole = report(file('e2e/b.test.ts', 'passed', 'failed'));
    const both = merged([parts, whole]);
    expect(both).toMatchObject({
      numTotalTests: 4,
      numPassedTests: 2,
      numFailedTests: 1,
      numPendingTests: 1,
    });
    expect(both.success).toBe(false);
    expect(failedFiles(both)).toEqual([`${ROOT}/test/e2e/b.test.ts`]);
    expect(merged([parts, parts]).success).toBe(true);
  });
});

describe('what a run is to blame for and none of its tests', () => {
  afterEach(() => vi.unstubAllEnvs());

  it('is written down for whoever asks, line by line', () => {
    const folder = mkdtempSync(join(tmpdir(), 'sluice-left-'));
    try {
      const path = join(folder, 'left');
      // The run this is a test of may be asked for it, too.
      vi.stubEnv(LEFT_VARIABLE, undefined);
      noteLeft(['nobody asks']);
      vi.stubEnv(LEFT_VARIABLE, path);
      noteLeft([]);
      new LeftReporter().onTestRunEnd([], []);
      expect(readLeft(path)).toEqual([]);
      noteLeft(['left behind: temp entry sluice-x', 'left behind: process 1: a\nb']);
      new LeftReporter().onTestRunEnd([], [new Error('too late')]);
      expect(readLeft(path)).toEqual([
        'left behind: temp entry sluice-x',
        'left behind: process 1: a b',
        'an error nobody caught: too late',
      ]);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
