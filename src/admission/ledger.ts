/** What a worker has promised of its cores, and whether one more job fits. Pure. */

/** Sums of decimals: 0.3 + 0.6 is to fit 0.9. */
const ROUNDING = 1e-9;

interface Entry {
  /** Cores it was taken at. */
  reserved: number;
  /** Cores it was seen to use; 0 until that is known. */
  measured: number;
}

export class Ledger {
  /** Cores there are for jobs. */
  readonly capacity: number;
  readonly #entries = new Map<string, Entry>();

  /** @param capacity cores, > 0 */
  constructor(capacity: number) {
    this.capacity = capacity;
  }

  /** Cores of all jobs: each counts at what it was taken at or what it uses, whichever is more. */
  get committed(): number {
    let sum = 0;
    for (const { reserved, measured } of this.#entries.values()) sum += Math.max(reserved, measured);
    return sum;
  }

  get jobs(): number {
    return this.#entries.size;
  }

  /** Whether a job of so many cores can be taken. One that is more than the worker as a whole fits when nothing runs. */
  fits(cores: number): boolean {
    return this.#entries.size === 0 || this.committed + cores <= this.capacity + ROUNDING;
  }

  /** Takes it if it fits. */
  reserve(id: string, cores: number): boolean {
    if (this.#entries.has(id)) return true;
    if (!this.fits(cores)) return false;
    this.#entries.set(id, { reserved: cores, measured: 0 });
    return true;
  }

  /** It has turned out to be another kind of job. */
  revise(id: string, cores: number): void {
    const entry = this.#entries.get(id);
    if (entry) entry.reserved = cores;
  }

  /** It was seen to use so many cores. */
  measured(id: string, cores: number): void {
    const entry = this.#entries.get(id);
    if (entry) entry.measured = cores;
  }

  release(id: string): void {
    this.#entries.delete(id);
  }
}
