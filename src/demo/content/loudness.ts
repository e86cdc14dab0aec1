/** Silence and peak. Pure. */
import { stretches } from './motion.ts';
import type { Stretch } from './types.ts';

const BLOCK_SECONDS = 0.01;
/** −60 dBFS. */
const SILENT_RMS = 0.001;

export class Loudness {
  peak = 0;
  readonly #blockSize: number;
  readonly #silent: boolean[] = [];
  #squares = 0;
  #count = 0;

  constructor(rate: number) {
    this.#blockSize = Math.round(rate * BLOCK_SECONDS);
  }

  push(samples: Float32Array): void {
    for (const sample of samples) {
      this.peak = Math.max(this.peak, Math.abs(sample));
      this.#squares += sample * sample;
      if (++this.#count < this.#blockSize) continue;
      this.#silent.push(Math.sqrt(this.#squares / this.#count) < SILENT_RMS);
      this.#squares = 0;
      this.#count = 0;
    }
  }

  /** Silent stretches of at least `shortest` seconds, when the first sample is at `start`. */
  silence(start: number, shortest: number): Stretch[] {
    const times = this.#silent.map((_, index) => start + index * BLOCK_SECONDS);
    return stretches(times, this.#silent, start + times.length * BLOCK_SECONDS, shortest);
  }
}
