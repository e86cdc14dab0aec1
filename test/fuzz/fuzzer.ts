/** Runs fuzzers: inputs made from a seed and a number, what became of each, and those that broke something. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { random } from '../support/mutate.ts';

/** Numbers in [0, 1). */
export type Next = () => number;

export interface FuzzInput {
  /** What it was made from and how: enough to know what is looked at. */
  description: string;
  /** What is saved when it breaks something. */
  bytes: Buffer;
}

export interface Outcome {
  /** A few dozen kinds at most, e.g. `refused: a line is too long`. */
  kind: string;
  /** It got past the first step of parsing, so that what lies behind was tried too. */
  past: boolean;
}

/** What is fuzzed, started and ready. */
export interface Target<I extends FuzzInput = FuzzInput> {
  /** The same for the same number and the same random numbers. */
  make(index: number, next: Next): I;
  /** @throws whatever it likes when the input broke a promise */
  run(input: I, next: Next): Outcome | Promise<Outcome>;
  /** Looks for what was left behind, once all have run. @throws when there is something */
  check?(): Promise<void> | void;
  close?(): Promise<void> | void;
}

/** `start` wires up whatever is fuzzed; its target is closed by the runner's caller. */
export interface Fuzzer {
  name: string;
  /** One line: what is fuzzed, with what. */
  about: string;
  /** Inputs of the short run in the suite. */
  count: number;
  start(): Promise<Target> | Target;
}

/** One that keeps its input's type to itself. */
export function fuzzer<I extends FuzzInput>(
  parts: Omit<Fuzzer, 'start'> & { start(): Promise<Target<I>> | Target<I> },
): Fuzzer {
  return parts;
}

export interface Crash {
  index: number;
  description: string;
  error: unknown;
  bytes: Buffer;
}

export interface Report {
  runs: number;
  past: number;
  kinds: Map<string, number>;
  crashes: Crash[];
  /** More of heap and buffers in use after it than after its first tenth (500 inputs at most), bytes. */
  grown: number;
  /** The most there was at a time, beyond what there was before, bytes. */
  peak: number;
  seconds: number;
}

export interface RunOptions {
  seed: number;
  /** Inputs to try. */
  count: number;
  /** The first input's number. Default 0. */
  from?: number;
  /** Ends it early, between two inputs. */
  until?: () => boolean;
  /** Called before each input, with its number. */
  onInput?: (index: number) => void;
  /** A run that takes longer has hung, ms. Default 10,000. */
  hangMs?: number;
}

/** No more of them are kept: they tend to be the same one. */
const MOST_CRASHES = 20;
const HANG_MS = 10_000;
/** Synchronous work that takes longer keeps a server from everything else, ms. */
const SLOW_MS = 2000;

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

/** Heap and buffers in use, bytes; the least of a few looks, as buffers are freed beside the collection. */
export async function memoryInUse(): Promise<number> {
  let least = Infinity;
  for (let look = 0; look < 3; look++) {
    collect();
    await new Promise((resolve) => setTimeout(resolve, 10));
    least = Math.min(least, inUse());
  }
  return least;
}

const inUse = (): number => {
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
};

/** Random numbers of one input: any input can be made again without those before it. */
export function randomOf(seed: number, index: number): Next {
  return random(Math.imul(seed ^ 0x9e3779b9, 0x85ebca6b) ^ Math.imul(index + 1, 0xc2b2ae35));
}

export async function runFuzzer(target: Target, options: RunOptions): Promise<Report> {
  const { seed, count, from = 0, until = () => false, onInput, hangMs = HANG_MS } = options;
  const report: Report = { runs: 0, past: 0, kinds: new Map(), crashes: [], grown: 0, peak: 0, seconds: 0 };
  const begun = performance.now();
  const before = await memoryInUse();
  let warm = before;
  for (let index = from; index < from + count && !until(); index++) {
    const next = randomOf(seed, index);
    const input = target.make(index, next);
    onInput?.(index);
    try {
      const { kind, past } = await bounded(() => target.run(input, next), hangMs);
      report.kinds.set(kind, (report.kinds.get(kind) ?? 0) + 1);
      if (past) report.past++;
    } catch (error) {
      report.kinds.set('CRASH', (report.kinds.get('CRASH') ?? 0) + 1);
      report.crashes.push({ index, error, ...input });
      if (report.crashes.length >= MOST_CRASHES) break;
    }
    report.runs++;
    if (report.runs % 64 === 0) report.peak = Math.max(report.peak, inUse() - before);
    // Caches and compiled code are there by then.
    if (report.runs === Math.min(Math.ceil(count / 10), 500)) warm = await memoryInUse();
  }
  try {
    await target.check?.();
  } catch (error) {
    const description = 'what was left behind by all of them';
    report.crashes.push({ index: -1, description, error, bytes: Buffer.alloc(0) });
  }
  report.grown = (await memoryInUse()) - warm;
  report.seconds = (performance.now() - begun) / 1000;
  return report;
}

async function bounded(run: () => Outcome | Promise<Outcome>, hangMs: number): Promise<Outcome> {
  const begun = performance.now();
  const running = run();
  if (!(running instanceof Promise)) {
    const ms = performance.now() - begun;
    if (ms > SLOW_MS) throw new Error(`it took ${Math.round(ms)} ms, in which nothing else could run`);
    return running;
  }
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new Error(`no end within ${hangMs} ms`)), hangMs);
  try {
    return await Promise.race([running, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}

const MIB = 1024 * 1024;

/** What is printed of a run. */
export function describeReport(name: string, seed: number, report: Report): string {
  const { runs, past, kinds, crashes, grown, peak, seconds } = report;
  const often = [...kinds].sort(([, a], [, b]) => b - a).slice(0, 25);
  return [
    `${name}: ${runs} inputs of seed ${seed} in ${seconds.toFixed(1)} s, ` +
      `${((100 * past) / Math.max(1, runs)).toFixed(1)} % past the first step, ${crashes.length} crashes; ` +
      `at most ${(peak / MIB).toFixed(1)} MiB more in use, ${(grown / MIB).toFixed(1)} MiB kept in the end`,
    ...often.map(([kind, times]) => `  ${times} ${kind}`),
    ...(kinds.size > often.length ? [`  and ${kinds.size - often.length} other kinds`] : []),
  ].join('\n');
}
