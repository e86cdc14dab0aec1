/**
 * Sees what could not be published or recorded in time because the machine had other things to do: pictures that
 * publishers left out, and threads of ours that waited for a processor, as the kernel counts it.
 */
import { readdirSync, readFileSync } from 'node:fs';
import type { PublisherProgress } from '../../src/demo/publisher.ts';

/** Wall clock, ms. */
export interface Starved {
  /** A publisher; empty: everybody. */
  who: string;
  fromMs: number;
  toMs: number;
}

export interface WitnessOptions {
  /** Those who publish now, by name. */
  publishers: () => Iterable<readonly [string, { pid: number; progress: PublisherProgress }]>;
  /** Processes media depends on. */
  pids: () => readonly number[];
  /** Pictures left out between two looks that make a hole. */
  least: number;
}

const LOOK_MS = 500;
/** Publishers tell once a second how far they are. */
const TOLD_MS = 1500;
/** A thread that has waited for so long between two looks is late for media. */
const WAITED_MS = 300;

export class Witness {
  readonly starved: Starved[] = [];
  readonly #options: WitnessOptions;
  readonly #timer: NodeJS.Timeout;
  readonly #skipped = new Map<number, number>();
  #waited = new Map<string, number>();

  constructor(options: WitnessOptions) {
    this.#options = options;
    this.#timer = setInterval(() => this.#look(Date.now()), LOOK_MS);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #look(now: number): void {
    for (const [who, { pid, progress }] of this.#options.publishers()) {
      if (progress.skipped - (this.#skipped.get(pid) ?? 0) >= this.#options.least)
        this.starved.push({ who, fromMs: now - TOLD_MS, toMs: now });
      this.#skipped.set(pid, progress.skipped);
    }
    const waited = new Map(this.#options.pids().flatMap((pid) => waitedMs(pid)));
    for (const [thread, ms] of waited) {
      if (ms - (this.#waited.get(thread) ?? ms) < WAITED_MS) continue;
      this.starved.push({ who: '', fromMs: now - 2 * LOOK_MS, toMs: now + LOOK_MS });
      break;
    }
    this.#waited = waited;
  }
}

/** How long each thread of a process has waited for a processor so far, ms (schedstat's second number is ns). */
function waitedMs(pid: number): [string, number][] {
  try {
    return readdirSync(`/proc/${pid}/task`).map((thread) => {
      const [, waited] = readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ');
      return [thread, Number(waited) / 1e6];
    });
  } catch {
    return []; // Ended meanwhile.
  }
}
