/** Sees what was not published although its publisher was there: pictures left out for want of processor time. */
import type { PublisherProgress } from '../../src/demo/publisher.ts';

/** Wall clock, ms. */
export interface Starved {
  who: string;
  fromMs: number;
  toMs: number;
}

const LOOK_MS = 250;
/** Publishers tell once a second how far they are. */
const TOLD_MS = 1500;
/** A timer that is so late tells that the whole machine stood still. */
const LATE_MS = 400;

export class Witness {
  readonly starved: Starved[] = [];
  readonly #timer: NodeJS.Timeout;
  #lookedAt = Date.now();

  /**
   * @param publishers those who publish now, by name
   * @param least pictures left out between two looks that make a hole
   */
  constructor(
    publishers: () => Iterable<readonly [string, { pid: number; progress: PublisherProgress }]>,
    least: number,
  ) {
    const before = new Map<number, number>();
    this.#timer = setInterval(() => {
      const now = Date.now();
      if (now - this.#lookedAt > LOOK_MS + LATE_MS)
        this.starved.push({ who: '', fromMs: this.#lookedAt - LOOK_MS, toMs: now + LOOK_MS });
      this.#lookedAt = now;
      for (const [who, { pid, progress }] of publishers()) {
        if (progress.skipped - (before.get(pid) ?? 0) >= least)
          this.starved.push({ who, fromMs: now - TOLD_MS, toMs: now });
        before.set(pid, progress.skipped);
      }
    }, LOOK_MS);
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}
