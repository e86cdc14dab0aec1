/** How many cores each job's pipeline processes use, smoothed over seconds. */
import { cpuSeconds } from './process-cpu.ts';

/** Smoothing: a step shows to two thirds after this long, s. */
const SMOOTHING_S = 10;
/** A process that has just started loads its plugins, which says nothing of what it will cost, s. */
const WARM_UP_S = 5;
/** What follows the warm-up is trusted as a sample of its kind after this long, and again each time, s. */
const SAMPLE_S = 15;

interface Watched {
  jobId: string;
  startedAt: number;
  last: { at: number; cpu: number } | undefined;
  cores: number | undefined;
  sampledAt: number;
}

export interface MeterOptions {
  /** A job's pipelines use so many cores. Told after each look. */
  onMeasured: (jobId: string, cores: number) => void;
  /** The same, once in a while: worth learning from. */
  onSample: (jobId: string, cores: number) => void;
  /** Seconds, monotone; tests set it. */
  now?: () => number;
  /** Seconds of processor time; tests set it. */
  read?: (pid: number) => Promise<number | undefined>;
}

/** The next smoothed value. Pure. @param seconds since the last one */
export function smoothed(before: number | undefined, sample: number, seconds: number): number {
  if (before === undefined) return sample;
  return before + (1 - Math.exp(-seconds / SMOOTHING_S)) * (sample - before);
}

export class CpuMeter {
  readonly #options: Required<MeterOptions>;
  readonly #watched = new Map<number, Watched>();

  constructor(options: MeterOptions) {
    this.#options = { now: () => performance.now() / 1000, read: cpuSeconds, ...options };
  }

  /** Counts a process as the job's, until it is gone or the job is. */
  attach(jobId: string, pid: number): void {
    const now = this.#options.now();
    this.#watched.set(pid, { jobId, startedAt: now, last: undefined, cores: undefined, sampledAt: now });
  }

  detach(jobId: string): void {
    for (const [pid, watched] of this.#watched) if (watched.jobId === jobId) this.#watched.delete(pid);
  }

  /** Looks once; to be called about every second. */
  async look(): Promise<void> {
    const { now, read, onMeasured, onSample } = this.#options;
    const sampled = new Set<string>();
    for (const [pid, watched] of [...this.#watched]) {
      const cpu = await read(pid);
      const at = now();
      if (cpu === undefined) {
        this.#watched.delete(pid);
        continue;
      }
      if (at - watched.startedAt < WARM_UP_S) continue;
      const { last } = watched;
      if (last && at > last.at) {
        const elapsed = at - last.at;
        watched.cores = smoothed(watched.cores, Math.max(0, cpu - last.cpu) / elapsed, elapsed);
      }
      watched.last = { at, cpu };
      if (at - watched.sampledAt >= WARM_UP_S + SAMPLE_S) {
        watched.sampledAt = at - WARM_UP_S;
        sampled.add(watched.jobId);
      }
    }
    for (const [jobId, cores] of this.#sums()) {
      onMeasured(jobId, cores);
      if (sampled.has(jobId)) onSample(jobId, cores);
    }
  }

  #sums(): Map<string, number> {
    const sums = new Map<string, number>();
    for (const { jobId, cores } of this.#watched.values()) {
      if (cores !== undefined) sums.set(jobId, (sums.get(jobId) ?? 0) + cores);
    }
    return sums;
  }
}
