/**
 * The whole suite, as `./sluice test` runs it: Vitest, then once more, alone, what failed beside others.
 *
 * Tests of live media share two processor cores with their neighbours. A bound that holds for an encoder with
 * the processor to itself may not hold while three others encode, which says nothing about Sluice; a fault of
 * Sluice's fails alone too. So a few failed files get a second run, one after the other, and are named for it. What
 * the first run left behind, and errors nobody caught in it, are no test's: they fail the suite whatever the second
 * run says.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { failedFiles, parseReport, runAgain, withSecondRun } from './test-report.ts';
import type { Report } from './test-report.ts';
import { LEFT_VARIABLE, readLeft } from './test-left.ts';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..');
const VITEST = join(ROOT, 'node_modules/vitest/vitest.mjs');
const LEFT_REPORTER = join(ROOT, 'scripts/test-left.ts');

const say = (line: string): void => void process.stderr.write(`sluice: ${line}\n`);

/** Runs Vitest with these arguments, and these variables added to its environment. @returns its exit code. */
function vitest(args: readonly string[], report: string, variables: NodeJS.ProcessEnv = {}): number {
  const reporters = args.some((arg) => arg.startsWith('--reporter')) ? [] : ['--reporter=default'];
  const own = ['--reporter=json', `--outputFile.json=${report}`, `--reporter=${LEFT_REPORTER}`];
  const all = [VITEST, 'run', ...args, ...reporters, ...own];
  const env = { ...process.env, ...variables };
  const { status, error } = spawnSync(process.execPath, all, { cwd: ROOT, stdio: 'inherit', env });
  if (error) throw error;
  return status ?? 1;
}

function readReport(path: string): Report | null {
  try {
    return parseReport(JSON.parse(readFileSync(path, 'utf8')));
  } catch {
    return null; // Vitest did not come as far as writing one.
  }
}

/** @returns the exit code. */
function main(args: readonly string[], folder: string): number {
  const asked = args.find((arg) => arg.startsWith('--outputFile.json='))?.slice('--outputFile.json='.length);
  const rest = args.filter((arg) => !arg.startsWith('--outputFile.json=') && arg !== '--reporter=json');
  const first = join(folder, 'first.json');
  const leftPath = join(folder, 'left');
  const status = vitest(rest, first, { [LEFT_VARIABLE]: leftPath });
  const report = readReport(first);
  if (report && asked !== undefined) writeFileSync(asked, JSON.stringify(report));
  if (status === 0 || !report) return status;
  const files = runAgain(report, ROOT);
  if (files.length === 0) return status;

  say(`once more, alone: ${files.map((file) => relative(ROOT, file)).join(', ')}`);
  const second = join(folder, 'second.json');
  const secondStatus = vitest([...files, '--no-file-parallelism'], second, { TEST_ALONE: '1' });
  const secondReport = readReport(second);
  const left = readLeft(leftPath);
  for (const line of left) say(`the first run: ${line}`);
  const code = secondStatus || (left.length > 0 ? 1 : 0);
  if (!secondReport) return code;
  if (asked !== undefined) writeFileSync(asked, JSON.stringify(withSecondRun(report, secondReport, left)));
  const still = failedFiles(secondReport);
  for (const file of files) {
    const outcome = still.includes(file) ? 'failed again alone' : 'failed beside others, passed alone';
    say(`${relative(ROOT, file)}: ${outcome}`);
  }
  return code;
}

const folder = mkdtempSync(join(tmpdir(), 'sluice-report-'));
try {
  process.exitCode = main(process.argv.slice(2), folder);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
