/**
 * The whole suite, as `./sluice test` runs it, then once more, alone, what failed beside others.
 *
 * In waves: tests of parts, whole servers, fewer at a time, and at last those of which most is asked, one at a time; beside
 * them go servers of which less is asked. Vitest itself has no two projects at once that differ in their workers.
 *
 * Tests of live media share two processor cores with their neighbours. A bound that holds for an encoder with
 * the processor to itself may not hold while three others encode, which says nothing about Sluice; a fault of
 * Sluice's fails alone too. So a few failed files get a second run, one after the other, and are named for it. What the
 * first run left behind, and errors nobody caught in it, are no test's: they fail the suite whatever the second run says.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import {
  failedFiles,
  merged,
  namePattern,
  parseReport,
  runAgain,
  testsToRunAgain,
  withSecondRun,
} from './test-report.ts';
import type { ChildProcess } from 'node:child_process';
import type { Report } from './test-report.ts';
import { LEFT_VARIABLE, readLeft } from './test-left.ts';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..');
const VITEST = join(ROOT, 'node_modules/vitest/vitest.mjs');
const LEFT_REPORTER = join(ROOT, 'scripts/test-left.ts');
/** Projects of vitest.config.ts: one wave after the other, a Vitest each for those of a wave that stand apart. */
const WAVES = [[['unit', 'integration']], [['e2e-together']], [['e2e'], ['e2e-beside']]];

/** Vitests that run. */
const children = new Set<ChildProcess>();
/** Somebody has had enough: nothing more is started. */
let stopped = false;

const say = (line: string): void => void process.stderr.write(`sluice: ${line}\n`);

interface Run {
  /** Vitest's exit code. */
  status: number;
  /** Null when Vitest did not come as far as writing one. */
  report: Report | null;
}

/**
 * Runs Vitest with these arguments, and these variables added to its environment.
 * @param beside it writes whole lines, among those of another
 */
async function vitest(
  args: readonly string[],
  path: string,
  variables: NodeJS.ProcessEnv = {},
  beside = false,
): Promise<Run> {
  const reporters = args.some((arg) => arg.startsWith('--reporter')) ? [] : ['--reporter=default'];
  const own = ['--reporter=json', `--outputFile.json=${path}`, `--reporter=${LEFT_REPORTER}`];
  const colour = beside && process.stdout.isTTY ? { FORCE_COLOR: '1' } : {};
  const child = spawn(process.execPath, [VITEST, 'run', ...args, ...reporters, ...own], {
    cwd: ROOT,
    stdio: beside ? ['ignore', 'pipe', 'pipe'] : 'inherit',
    env: { ...process.env, ...colour, ...variables },
  });
  children.add(child);
  for (const [from, to] of [
    [child.stdout, process.stdout],
    [child.stderr, process.stderr],
  ] as const)
    if (from) createInterface({ input: from }).on('line', (line) => to.write(`${line}\n`));
  const [code] = (await once(child, 'close')) as [number | null];
  children.delete(child);
  return { status: code ?? 1, report: readReport(path) };
}

function readReport(path: string): Report | null {
  try {
    return parseReport(JSON.parse(readFileSync(path, 'utf8')));
  } catch {
    return null; // Vitest did not come as far as writing one.
  }
}

/** The first run: wave by wave, unless the arguments choose. */
async function firstRun(args: readonly string[], folder: string, variables: NodeJS.ProcessEnv): Promise<Run> {
  const chosen = args.some((arg) => !arg.startsWith('-') || arg.startsWith('--project'));
  if (chosen) return vitest(args, join(folder, 'first.json'), variables);
  const runs: Run[] = [];
  for (const wave of WAVES) {
    if (stopped) break;
    const beside = wave.length > 1;
    const ended = await Promise.all(
      wave.map((projects) => {
        const named = projects.map((project) => `--project=${project}`);
        return vitest([...named, ...args], join(folder, `${projects.join()}.json`), variables, beside);
      }),
    );
    runs.push(...ended);
  }
  const reports = runs.map(({ report }) => report);
  return {
    status: runs.find(({ status }) => status !== 0)?.status ?? 0,
    report: reports.every((report) => report !== null) ? merged(reports) : null,
  };
}

/**
 * Runs files one after the other. Of those whose tests stand for themselves it runs what failed, and the whole file when
 * that does not help: what is called a test of its own may need another.
 * @param left what the first run is to blame for and none of its tests
 * @returns the first report with what was found now
 */
async function secondRun(
  first: Report,
  files: readonly string[],
  folder: string,
  left: readonly string[],
): Promise<Run> {
  const alone = (args: readonly string[], name: string): Promise<Run> =>
    vitest([...args, '--no-file-parallelism'], join(folder, name), { TEST_ALONE: '1' });
  const names = new Map(files.map((file) => [file, testsToRunAgain(first, ROOT, file)]));
  const parts = files.filter((file) => names.get(file));
  let whole = files.filter((file) => !names.get(file));
  let found: Run = { status: 0, report: first };
  const take = ({ status, report }: Run): void => {
    found = { status, report: report && found.report && withSecondRun(found.report, report, left) };
  };
  if (parts.length > 0) {
    const only = parts.flatMap((file) => names.get(file) ?? []);
    take(await alone([...parts, `--testNamePattern=${namePattern(only)}`], 'parts.json'));
    const still = found.report ? failedFiles(found.report) : parts;
    whole = [...parts.filter((file) => still.includes(file)), ...whole];
  }
  if (whole.length > 0 && !stopped) take(await alone(whole, 'second.json'));
  return found;
}

/** @returns the exit code. */
async function main(args: readonly string[], folder: string): Promise<number> {
  const asked = args.find((arg) => arg.startsWith('--outputFile.json='))?.slice('--outputFile.json='.length);
  const rest = args.filter((arg) => !arg.startsWith('--outputFile.json=') && arg !== '--reporter=json');
  const leftPath = join(folder, 'left');
  const { status, report } = await firstRun(rest, folder, { [LEFT_VARIABLE]: leftPath });
  if (report && asked !== undefined) writeFileSync(asked, JSON.stringify(report));
  if (stopped) return status || 1;
  if (status === 0 || !report) return status;
  const files = runAgain(report, ROOT);
  if (files.length === 0) return status;

  say(`once more, alone: ${files.map((file) => relative(ROOT, file)).join(', ')}`);
  const left = readLeft(leftPath);
  const second = await secondRun(report, files, folder, left);
  for (const line of left) say(`the first run: ${line}`);
  if (!second.report) return second.status || 1;
  if (asked !== undefined) writeFileSync(asked, JSON.stringify(second.report));
  const still = failedFiles(second.report);
  for (const file of files) {
    const outcome = still.includes(file) ? 'failed again alone' : 'failed beside others, passed alone';
    say(`${relative(ROOT, file)}: ${outcome}`);
  }
  return second.status || (second.report.success ? 0 : 1);
}

// A terminal tells every process of its group, and this waits until Vitest has ended what it runs.
process.on('SIGINT', () => {
  stopped = true;
});
process.on('SIGTERM', () => {
  stopped = true;
  for (const child of children) child.kill('SIGTERM');
});
const folder = mkdtempSync(join(tmpdir(), 'sluice-report-'));
try {
  process.exitCode = await main(process.argv.slice(2), folder);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
