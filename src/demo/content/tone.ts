/** Listening for one pitch: a sliding Goertzel filter, and the beeps found in what it hears. Pure. */

/**
 * Amplitude of one pitch over time, from samples that come in pieces of any size. Each value is the
 * windowed (Hann) amplitude around its time; a tone of amplitude a, once it fills the window, reads a.
 */
export class ToneTracker {
  /** Amplitude at `index · hop` seconds, see {@link timeOf}. */
  readonly amplitudes: number[] = [];
  readonly #rate: number;
  readonly #hop: number;
  readonly #cosine: Float32Array;
  readonly #sine: Float32Array;
  /** The last window's samples, and what comes after them. */
  #pending: Float32Array;
  #filled = 0;

  /**
   * @param rate samples a second
   * @param windowSeconds its inverse, doubled, is how far (Hz) another pitch must be away to go unheard
   */
  constructor(pitch: number, rate: number, windowSeconds: number, hopSeconds: number) {
    this.#rate = rate;
    this.#hop = Math.max(1, Math.round(hopSeconds * rate));
    const size = Math.round(windowSeconds * rate);
    this.#cosine = new Float32Array(size);
    this.#sine = new Float32Array(size);
    for (let i = 0; i < size; i++) {
      // The window sums to size/2, and half of a tone's amplitude is at its positive frequency.
      const weight = ((1 - Math.cos((2 * Math.PI * (i + 0.5)) / size)) / size) * 2;
      const phase = (2 * Math.PI * pitch * i) / rate;
      this.#cosine[i] = weight * Math.cos(phase);
      this.#sine[i] = weight * Math.sin(phase);
    }
    // Half a window of silence before the first sample puts the first value at time zero.
    this.#pending = new Float32Array(size * 4);
    this.#filled = Math.floor(size / 2);
  }

  /** Time of the nth amplitude, seconds since the first sample. */
  timeOf(index: number): number {
    return (index * this.#hop) / this.#rate;
  }

  push(samples: Float32Array): void {
    const size = this.#cosine.length;
    if (this.#filled + samples.length > this.#pending.length) {
      const larger = new Float32Array((this.#filled + samples.length) * 2);
      larger.set(this.#pending.subarray(0, this.#filled));
      this.#pending = larger;
    }
    this.#pending.set(samples, this.#filled);
    this.#filled += samples.length;
    let start = 0;
    for (; start + size <= this.#filled; start += this.#hop) this.amplitudes.push(this.#measure(start));
    this.#pending.copyWithin(0, start, this.#filled);
    this.#filled = Math.max(0, this.#filled - start);
  }

  #measure(start: number): number {
    const cosine = this.#cosine;
    const sine = this.#sine;
    const samples = this.#pending;
    let real = 0;
    let imaginary = 0;
    for (let i = 0; i < cosine.length; i++) {
      const sample = samples[start + i]!;
      real += sample * cosine[i]!;
      imaginary += sample * sine[i]!;
    }
    return Math.hypot(real, imaginary);
  }
}

export interface Burst {
  /** Seconds: where the amplitude rises and falls through half of the burst's own level. */
  start: number;
  end: number;
  amplitude: number;
}

/**
 * Bursts of the pitch. The window is symmetric, so the measured amplitude passes half of the burst's level
 * exactly where the burst's own envelope does, however long the window is.
 * @param least amplitude below which nothing counts
 * @param shortest seconds below which a burst is a click
 */
export function findBursts(tracker: ToneTracker, least: number, shortest: number): Burst[] {
  const { amplitudes } = tracker;
  const bursts: Burst[] = [];
  for (let i = 0; i < amplitudes.length; i++) {
    if (amplitudes[i]! < least) continue;
    let end = i;
    while (end < amplitudes.length && amplitudes[end]! >= least) end++;
    const burst = refine(tracker, i, end - 1);
    if (burst.end - burst.start >= shortest) bursts.push(burst);
    i = end;
  }
  return bursts;
}

function refine(tracker: ToneTracker, from: number, to: number): Burst {
  const { amplitudes } = tracker;
  const sorted = amplitudes.slice(from, to + 1).sort((a, b) => a - b);
  // The level it holds, not a peak that a neighbour's overtone made.
  const amplitude = sorted[Math.floor(sorted.length * 0.75)]!;
  const half = amplitude / 2;
  let rise = from;
  while (rise < to && amplitudes[rise]! < half) rise++;
  while (rise > 0 && amplitudes[rise - 1]! >= half) rise--;
  let fall = to;
  while (fall > rise && amplitudes[fall]! < half) fall--;
  while (fall + 1 < amplitudes.length && amplitudes[fall + 1]! >= half) fall++;
  return { start: crossing(tracker, rise - 1, half), end: crossing(tracker, fall, half), amplitude };
}

/** Time between amplitudes `index` and `index + 1` where the level is passed. */
function crossing(tracker: ToneTracker, index: number, level: number): number {
  const before = tracker.amplitudes[index] ?? 0;
  const after = tracker.amplitudes[index + 1] ?? 0;
  const share = after === before ? 0 : (level - before) / (after - before);
  return tracker.timeOf(index) + Math.min(1, Math.max(0, share)) * tracker.timeOf(1);
}
