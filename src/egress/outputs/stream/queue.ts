/** What waits for one destination: bounded, and whole again from a keyframe on when it had to let go. */
import type { TapUnit } from './units.ts';

export interface QueueLimits {
  bytes: number;
  /** Age of the oldest unit, ms. */
  ageMs: number;
}

export class TapQueue {
  readonly #limits: QueueLimits;
  #units: TapUnit[] = [];
  #bytes = 0;
  /** Nothing is taken until a receiver could begin with it. */
  #waiting = true;
  #drops = 0;
  #wake: (() => void) | undefined;

  constructor(limits: QueueLimits) {
    this.#limits = limits;
  }

  /** How often it overflowed. */
  get drops(): number {
    return this.#drops;
  }

  get bytes(): number {
    return this.#bytes;
  }

  push(unit: TapUnit): void {
    const oldest = this.#units[0];
    const tooOld = oldest !== undefined && unit.arrivedMs - oldest.arrivedMs > this.#limits.ageMs;
    if (tooOld || this.#bytes + unit.bytes.length > this.#limits.bytes) {
      this.#drops++;
      this.restart();
    }
    if (this.#waiting && !unit.start) return;
    this.#waiting = false;
    this.#units.push(unit);
    this.#bytes += unit.bytes.length;
    this.#wake?.();
  }

  /** Lets go of everything: the next unit handed out is one to begin with. */
  restart(): void {
    this.#units = [];
    this.#bytes = 0;
    this.#waiting = true;
  }

  shift(): TapUnit | undefined {
    const unit = this.#units.shift();
    if (unit) this.#bytes -= unit.bytes.length;
    return unit;
  }

  /** Puts a unit that was taken back in front, unless what followed it has been let go of meanwhile. */
  unshift(unit: TapUnit): void {
    if (this.#waiting) return;
    this.#units.unshift(unit);
    this.#bytes += unit.bytes.length;
  }

  /** The next unit as soon as there is one; undefined when `signal` ends the wait. */
  async next(signal: AbortSignal): Promise<TapUnit | undefined> {
    while (!signal.aborted) {
      const unit = this.shift();
      if (unit) return unit;
      await new Promise<void>((resolve) => {
        const done = (): void => {
          signal.removeEventListener('abort', done);
          this.#wake = undefined;
          resolve();
        };
        this.#wake = done;
        signal.addEventListener('abort', done, { once: true });
      });
    }
    return undefined;
  }
}
