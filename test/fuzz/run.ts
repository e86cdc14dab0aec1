/**
 * `./sluice fuzz [name ...] [--minutes N] [--seed S] [--only I]`: long runs of the fuzzers, one after the other, each in
 * a thread of its own so that one that never comes back is seen as well. What breaks something is saved.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { Worker, isMainThread, parentPort, workerData } from 'node:worker_threads';
import { describeReport, runFuzzer } from './fuzzer.ts';
import type { Report } from './fuzzer.ts';
import { FUZZERS } from './index.ts';

interface Task {
  name: string;
  seed: number;
  /** ms; at least one input is tried. */
  lasts: number;
  /** Only this input. */
  only: number | undefined;
  /** The number of the input being tried: who waits in vain knows which one it was. */
  at: SharedArrayBuffer;
}

const MINUTE_MS = 60_000;
/** Nothing takes that long: neither starting what is fuzzed nor one input. */
const STUCK_MS = 60_000;
const USAGE = `Usage: ./sluice fuzz [name ...] [--minutes N] [--seed S] [--only I] [--out FOLDER]

  --minutes N   of each fuzzer (default 1)
  --seed S      a whole number (default: by the clock); the same one makes the same inputs
  --only I      only input number I of the seed
  --out FOLDER  where inputs that break something are saved (default: fuzz-crashes)

Fuzzers:
${FUZZERS.map(({ name, about }) => `  ${name.padEnd(10)}  ${about}`).join('\n')}
`;

async function inThread({ name, seed, lasts, only, at }: Task): Promise<Report> {
  const fuzzer = FUZZERS.find((each) => each.name === name)!;
  const target = await fuzzer.start();
  const counter = new Int32Array(at);
  const end = Date.now() + lasts;
  try {
    return await runFuzzer(target, {
      seed,
      ...(only === undefined ? { count: 2 ** 31 - 1 } : { count: 1, from: only }),
      until: () => only === undefined && Date.now() > end,
      onInput: (index) => Atomics.store(counter, 0, index),
    });
  } finally {
    await target.close?.();
  }
}

/** @throws Error when the thread dies or is stuck */
function inMain(task: Task): Promise<Report> {
  const counter = new Int32Array(task.at);
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL(import.meta.url), { workerData: task });
    let [last, since] = [-1, Date.now()];
    const watch = setInterval(() => {
      const now = Atomics.load(counter, 0);
      if (now !== last) [last, since] = [now, Date.now()];
      else if (Date.now() - since > STUCK_MS) {
        reject(new Error(`stuck at input ${now} of seed ${task.seed}: --seed ${task.seed} --only ${now}`));
        void worker.terminate();
      }
    }, 1000);
    worker.once('message', resolve);
    worker.once('error', reject);
    worker.once('exit', (code) => {
      clearInterval(watch);
      reject(new Error(`the thread ended with code ${code}`));
    });
  });
}

async function save(folder: string, name: string, seed: number, { crashes }: Report): Promise<void> {
  if (crashes.length === 0) return;
  await mkdir(folder, { recursive: true });
  for (const { index, description, error, bytes } of crashes) {
    const file = join(folder, `${name}-${seed}-${index}`);
    await writeFile(`${file}.bin`, bytes);
    const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
    await writeFile(
      `${file}.txt`,
      `${description}\n${stack}\n\n./sluice fuzz ${name} --seed ${seed} --only ${index}\n`,
    );
    process.stdout.write(
      `  CRASH ${description}: ${stack.split('\n', 1)[0] ?? ''}\n    saved as ${file}.bin\n`,
    );
  }
}

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      minutes: { type: 'string', default: '1' },
      seed: { type: 'string' },
      only: { type: 'string' },
      out: { type: 'string', default: 'fuzz-crashes' },
      help: { type: 'boolean', short: 'h' },
    },
  });
  const unknown = positionals.filter((name) => !FUZZERS.some((each) => each.name === name));
  const numbers = [values.minutes, values.seed ?? '0', values.only ?? '0'].map(Number);
  const wrong = unknown.length > 0 || numbers.some((number) => !(number >= 0));
  if (values.help || wrong) {
    if (unknown.length > 0) process.stdout.write(`there is no fuzzer ${unknown.join(', ')}\n`);
    process.stdout.write(USAGE);
    return wrong ? 2 : 0;
  }
  const seed = values.seed === undefined ? Date.now() % 2 ** 31 : Number(values.seed);
  const only = values.only === undefined ? undefined : Number(values.only);
  let broken = 0;
  for (const { name } of FUZZERS.filter(
    (each) => positionals.length === 0 || positionals.includes(each.name),
  )) {
    try {
      const lasts = Number(values.minutes) * MINUTE_MS;
      const report = await inMain({ name, seed, lasts, only, at: new SharedArrayBuffer(4) });
      process.stdout.write(`${describeReport(name, seed, report)}\n`);
      await save(resolve(values.out), name, seed, report);
      broken += report.crashes.length;
    } catch (error) {
      process.stdout.write(`${name}: ${error instanceof Error ? error.message : String(error)}\n`);
      broken += 1;
    }
  }
  return broken > 0 ? 1 : 0;
}

if (isMainThread) process.exitCode = await main();
else parentPort?.postMessage(await inThread(workerData as Task));
