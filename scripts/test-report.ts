/** Vitest's JSON report: which files failed, which of them deserve a second run, and what both runs say together. */
import { sep } from 'node:path';
import { z } from 'zod';

const FileResult = z.looseObject({
  /** Absolute path of the file. */
  name: z.string(),
  status: z.string(),
  assertionResults: z.array(
    z.looseObject({
      status: z.string(),
      fullName: z.string(),
      ancestorTitles: z.array(z.string()),
      title: z.string(),
    }),
  ),
});
const ReportSchema = z.looseObject({
  numTotalTests: z.number(),
  numPassedTests: z.number(),
  numFailedTests: z.number(),
  numPendingTests: z.number(),
  numTodoTests: z.number(),
  success: z.boolean(),
  testResults: z.array(FileResult),
});
export type Report = z.infer<typeof ReportSchema>;

/** More failed files than this are no accident of scheduling. */
const AT_MOST = 12;

/** @throws ZodError when it is not a report. */
export const parseReport = (value: unknown): Report => ReportSchema.parse(value);

/** Reports of runs of different files as one. */
export function merged(reports: readonly Report[]): Report {
  const sum = (name: keyof Report): number =>
    reports.reduce((total, report) => total + Number(report[name]), 0);
  return {
    ...reports[0],
    numTotalTests: sum('numTotalTests'),
    numPassedTests: sum('numPassedTests'),
    numFailedTests: sum('numFailedTests'),
    numPendingTests: sum('numPendingTests'),
    numTodoTests: sum('numTodoTests'),
    success: reports.every(({ success }) => success),
    testResults: reports.flatMap(({ testResults }) => testResults),
  };
}

/** Absolute paths of the files with a failed test, or that failed as a whole. */
export function failedFiles({ testResults }: Report): string[] {
  return testResults.filter(({ status }) => status === 'failed').map(({ name }) => name);
}

/**
 * The failed files to run once more: all, or none when one of them is a unit test (nothing there depends on
 * neighbours), or when there are too many, or when no file is to blame (leftovers after the suite).
 */
export function runAgain(report: Report, root: string): string[] {
  const failed = failedFiles(report);
  const unit = [root, 'test', 'unit', ''].join(sep);
  return failed.length > AT_MOST || failed.some((name) => name.startsWith(unit)) ? [] : failed;
}

/**
 * The names of a file's failed tests, as Vitest's `--testNamePattern` has them, where these alone can be run once more:
 * each test of parts (test/integration) makes what it needs, tests of a whole server go on from each other. Undefined:
 * the whole file, also when it failed outside of its tests.
 */
export function testsToRunAgain({ testResults }: Report, root: string, file: string): string[] | undefined {
  if (!file.startsWith([root, 'test', 'integration', ''].join(sep))) return undefined;
  const failed = testResults
    .filter(({ name }) => name === file)
    .flatMap(({ assertionResults }) => assertionResults)
    .filter(({ status }) => status === 'failed');
  return failed.length > 0
    ? failed.map(({ ancestorTitles, title }) => [...ancestorTitles, title].join(' > '))
    : undefined;
}

/** What Vitest's `--testNamePattern` takes for just these names. */
export const namePattern = (names: readonly string[]): string =>
  `^(?:${names.map((name) => name.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&')).join('|')})$`;

/** Statuses of a test that did not run. */
const NOT_RUN = ['pending', 'skipped'];

/**
 * The first report with what the second run found in place of the same tests' first results. A test that the second run
 * left out keeps its first, also when that is a failure.
 * @param left what the first run is to blame for and none of its tests
 */
export function withSecondRun(first: Report, second: Report, left: readonly string[] = []): Report {
  const testResults = first.testResults.map((result) => {
    const again = second.testResults.find(({ name }) => name === result.name);
    if (!again) return result;
    const assertionResults = again.assertionResults.map((test) =>
      NOT_RUN.includes(test.status)
        ? (result.assertionResults.find(({ fullName }) => fullName === test.fullName) ?? test)
        : test,
    );
    const failed = assertionResults.some(({ status }) => status === 'failed');
    return { ...again, assertionResults, status: failed ? 'failed' : again.status };
  });
  const tests = testResults.flatMap(({ assertionResults }) => assertionResults);
  const count = (...statuses: string[]): number =>
    tests.filter(({ status }) => statuses.includes(status)).length;
  return {
    ...first,
    testResults,
    numTotalTests: tests.length,
    numPassedTests: count('passed'),
    numFailedTests: count('failed'),
    numPendingTests: count(...NOT_RUN),
    numTodoTests: count('todo'),
    success: left.length === 0 && failedFiles({ ...first, testResults }).length === 0,
  };
}
