/** One worker's door: what it may take of processor and disk, what that is seen to cost, and what it tells the others. */
import { randomBytes } from 'node:crypto';
import { availableParallelism } from 'node:os';
import type { Redis } from 'ioredis';
import type { Logger } from 'pino';
import { coresOf, pipelineCores } from './cost.ts';
import type { JobCost } from './cost.ts';
import { DiskWatch } from './disk-watch.ts';
import type { Recording } from './disk-watch.ts';
import { mustStop, roomForNew, shownBytes } from './disk.ts';
import { Estimates } from './estimates.ts';
import { Ledger } from './ledger.ts';
import { CpuMeter } from './meter.ts';
import { Roster } from './roster.ts';

/** How often processor, disk and announcement are seen to, ms. */
const TICK_MS = 1_000;
/** How often what other workers have learnt is read, in ticks. */
const REFRESH_TICKS = 10;

export interface WorkerAdmissionOptions {
  redis: Redis;
  /** Cores of this machine; by default what this process may run on. */
  cores?: number;
  /** Share of them jobs may have (worker.cpu_limit). */
  cpuLimit: number;
  /** Folders recordings are written to. */
  folders: readonly string[];
  /** Bytes. */
  minFreeDisk: number;
  stopFreeDisk: number;
  logger: Logger;
}

export interface AdmissionRequest {
  cost: JobCost;
  /** Bytes a recording is to have room for; undefined for what writes none. */
  bytes: number | undefined;
}

interface Job {
  /** What it was taken as. */
  readonly taken: JobCost;
  /** What it is. */
  cost: JobCost;
  /** Set for recordings: ends it, its files made. */
  stop?: (reason: string) => void;
}

export class WorkerAdmission {
  readonly #options: WorkerAdmissionOptions;
  readonly #id = `W_${randomBytes(6).toString('hex')}`;
  readonly #ledger: Ledger;
  readonly #disk: DiskWatch;
  readonly #estimates: Estimates;
  readonly #roster: Roster;
  readonly #meter: CpuMeter;
  readonly #jobs = new Map<string, Job>();
  readonly #listeners = new Set<() => void>();
  #timer: NodeJS.Timeout | undefined;
  #ticks = 0;
  #ticking: Promise<void> = Promise.resolve();
  #busy = { looking: false, telling: false };

  private constructor(options: WorkerAdmissionOptions) {
    this.#options = options;
    this.#ledger = new Ledger((options.cores ?? availableParallelism()) * options.cpuLimit);
    this.#disk = new DiskWatch(options.folders);
    this.#estimates = new Estimates(options.redis);
    this.#roster = new Roster(options.redis);
    this.#meter = new CpuMeter({
      onMeasured: (id, cores) => this.#ledger.measured(id, cores),
      onSample: (id, cores) => this.#learn(id, cores),
    });
  }

  /** Answers when disk and learnt costs have been read, and the others know of this worker. */
  static async open(options: WorkerAdmissionOptions): Promise<WorkerAdmission> {
    const admission = new WorkerAdmission(options);
    await admission.#disk.look();
    await admission.#estimates.refresh();
    await admission.#announce();
    admission.#timer = setInterval(() => admission.#tick(), TICK_MS);
    return admission;
  }

  /** Cores there are for jobs, and how many of them are taken. */
  get cpu(): { capacity: number; committed: number } {
    return { capacity: this.#ledger.capacity, committed: this.#ledger.committed };
  }

  /** Why it cannot be taken now; undefined when it can. */
  refusal({ cost, bytes }: AdmissionRequest): 'cpu' | 'disk' | undefined {
    if (bytes !== undefined && this.#roomForNew() < bytes) return 'disk';
    return this.#ledger.fits(coresOf(cost, this.#estimates.factors)) ? undefined : 'cpu';
  }

  /** Takes it if there is room; false and the reason is logged otherwise. */
  admit(id: string, request: AdmissionRequest): boolean {
    const refusal = this.refusal(request);
    const cores = coresOf(request.cost, this.#estimates.factors);
    if (refusal !== undefined) {
      const { free } = this.#disk.state;
      this.#options.logger.info(
        { job: id, refusal, cores, ...this.cpu, free },
        'no room for the job: left to other workers',
      );
      return false;
    }
    this.#ledger.reserve(id, cores);
    this.#jobs.set(id, { taken: request.cost, cost: request.cost });
    return true;
  }

  /** A recording that was admitted writes here, and ends by `stop` before the disk is full. */
  record(id: string, recording: Recording, stop: (reason: string) => void): void {
    const job = this.#jobs.get(id);
    if (!job) return;
    job.stop = stop;
    this.#disk.add(id, recording);
  }

  /** What the job runs as, once that is known, and in which process. */
  runs(id: string, cost: JobCost, pid: number | undefined): void {
    const job = this.#jobs.get(id);
    if (!job) return;
    job.cost = cost;
    this.#ledger.revise(id, coresOf(cost, this.#estimates.factors));
    if (pid !== undefined) this.#meter.attach(id, pid);
  }

  /** It is over. */
  release(id: string): void {
    if (!this.#jobs.delete(id)) return;
    this.#ledger.release(id);
    this.#meter.detach(id);
    this.#disk.remove(id);
    for (const listener of this.#listeners) listener();
  }

  /** Called when there is more room. @returns ends it */
  onRoom(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Nobody counts on this worker any more. Jobs that still run are not ended. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#ticking;
    if (this.#options.redis.status === 'ready') await this.#roster.leave(this.#id).catch(() => undefined);
  }

  #roomForNew(): number {
    return roomForNew(this.#disk.state, this.#options.minFreeDisk);
  }

  #tick(): void {
    this.#ticks += 1;
    // Redis may be away for long; the disk is looked at all the same.
    void this.#telling();
    this.#ticking = this.#looking();
  }

  async #looking(): Promise<void> {
    if (this.#busy.looking) return;
    this.#busy.looking = true;
    try {
      await this.#meter.look();
      const state = await this.#disk.look();
      if (mustStop(state, this.#options.stopFreeDisk)) this.#stopRecordings(state.free, state.finishing);
    } catch (error) {
      this.#options.logger.warn({ err: error }, 'disk not looked at');
    } finally {
      this.#busy.looking = false;
    }
  }

  async #telling(): Promise<void> {
    if (this.#busy.telling) return;
    this.#busy.telling = true;
    try {
      await this.#announce();
      if (this.#ticks % REFRESH_TICKS === 0) await this.#estimates.refresh();
    } catch (error) {
      this.#options.logger.debug({ err: error }, 'worker not announced');
    } finally {
      this.#busy.telling = false;
    }
  }

  async #announce(): Promise<void> {
    await this.#roster.announce({
      id: this.#id,
      ...this.cpu,
      jobs: this.#ledger.jobs,
      freeDisk: this.#disk.state.free,
      roomForNew: this.#roomForNew(),
    });
  }

  #stopRecordings(free: number, finishing: number): void {
    const kept = finishing > 0 ? `, of which finishing the recordings takes ${shownBytes(finishing)}` : '';
    const limit = shownBytes(this.#options.stopFreeDisk);
    const reason = `${shownBytes(free)} of disk are free${kept}: less than worker.stop_free_disk (${limit})`;
    for (const [id, job] of this.#jobs) {
      if (!job.stop) continue;
      this.#options.logger.warn({ job: id, free, finishing }, 'recording ended: the disk is nearly full');
      job.stop(reason);
      delete job.stop;
    }
  }

  #learn(id: string, cores: number): void {
    const job = this.#jobs.get(id);
    if (!job) return;
    for (const cost of new Map([job.taken, job.cost].map((each) => [each.kind, each])).values()) {
      this.#estimates
        .learn(cost.kind, cores / pipelineCores(cost, {}))
        .catch((error: unknown) => this.#options.logger.debug({ err: error }, 'cost not learnt'));
    }
  }
}
