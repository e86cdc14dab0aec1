/** Every parser that can be called by itself, with damaged input: it answers or refuses, soon, and keeps nothing. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { amfFuzzer } from '../fuzz/amf.ts';
import { chunksFuzzer } from '../fuzz/chunks.ts';
import { configFuzzer } from '../fuzz/config.ts';
import { describeReport, randomOf, runFuzzer } from '../fuzz/fuzzer.ts';
import { linesFuzzer } from '../fuzz/lines.ts';
import { sourcesFuzzer } from '../fuzz/sources.ts';

const MIB = 1024 * 1024;
const SEED = 4117;

/** Least share of inputs that get past the first step, and kinds of outcomes. */
test.each([
  [amfFuzzer, 0.7, 4],
  [linesFuzzer, 0.6, 10],
  [configFuzzer, 0.3, 3],
  [sourcesFuzzer, 0.5, 12],
  [chunksFuzzer, 0.5, 8],
])('$name', async (fuzzer, share, kinds) => {
  const target = await fuzzer.start();
  try {
    const report = await runFuzzer(target, { seed: SEED, count: fuzzer.count });
    process.stdout.write(`${describeReport(fuzzer.name, SEED, report)}\n`);
    expect(report.crashes).toEqual([]);
    expect(report.past / report.runs).toBeGreaterThan(share);
    expect(report.kinds.size).toBeGreaterThanOrEqual(kinds);
    expect(report.peak).toBeLessThan(256 * MIB);
    expect(report.grown).toBeLessThan(16 * MIB);
  } finally {
    await target.close?.();
  }
});

test('any input can be made again by its seed and number', async () => {
  const target = await amfFuzzer.start();
  const made = (index: number) => target.make(index, randomOf(SEED, index)).bytes.toString('hex');
  expect(made(70)).toBe(made(70));
  expect(made(70)).not.toBe(made(71));
});

test('the long run, on demand: prints what it did, and refuses fuzzers that are none', async () => {
  const run = promisify(execFile);
  const program = fileURLToPath(new URL('../fuzz/run.ts', import.meta.url));
  const { stdout } = await run(process.execPath, [program, 'amf', '--minutes', '0.005', '--seed', '3']);
  expect(stdout).toMatch(/^amf: \d+ inputs of seed 3 in .* past the first step, 0 crashes/);
  const refused = await run(process.execPath, [program, 'nothing']).catch((error: unknown) => error);
  expect(refused).toMatchObject({ code: 2 });
  expect((refused as { stdout: string }).stdout).toMatch(/^there is no fuzzer nothing\nUsage/);
});

test('the runner finds what throws, what hangs and what is slow to end, with the input that did it', async () => {
  const target = {
    make: (index: number) => ({ description: `input ${index}`, bytes: Buffer.from([index]) }),
    run: ({ bytes }: { bytes: Buffer }) => {
      if (bytes[0] === 3) throw new TypeError('broken');
      if (bytes[0] === 5) return new Promise<never>(() => undefined);
      return { kind: 'fine', past: true };
    },
    check: () => {
      throw new Error('something is left');
    },
  };
  const { crashes, runs, kinds } = await runFuzzer(target, { seed: 1, count: 8, hangMs: 50 });
  expect(runs).toBe(8);
  expect([...kinds]).toEqual([
    ['fine', 6],
    ['CRASH', 2],
  ]);
  expect(crashes.map(({ index, error, bytes }) => [index, String(error), [...bytes]])).toEqual([
    [3, 'TypeError: broken', [3]],
    [5, 'Error: no end within 50 ms', [5]],
    [-1, 'Error: something is left', []],
  ]);
});
