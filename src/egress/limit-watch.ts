/** Watches how long an egress's outputs last and how large its files become, and tells when one has reached its limit. */
import { bytesOf, LASTED, longest } from './limits.ts';
import type { Lasting } from './limits.ts';
import type { Chunk } from './log/types.ts';
import type { EgressPlan } from './plan/types.ts';
import { isIn, spanOf } from './sinks/spanned.ts';

const MAX_TIMER_MS = 86_400_000;
/** A change waits a few seconds at most; chunks last two, and one less only where the picture begins anew. */
const CHUNKS_KEPT = 64;

interface LimitWatchOptions {
  plan: EgressPlan;
  /** Chunks of earlier attempts. */
  earlier: readonly Chunk[];
  /** Wall clock of egress-clock zero, ms. */
  epochMs: number;
  /** Called once. */
  onReached: (reason: string) => void;
}

/** Watches one attempt. Close it. */
export class LimitWatch {
  readonly #options: LimitWatchOptions;
  #plan: EgressPlan;
  #timer: NodeJS.Timeout | undefined;
  #startedAtMs: number | undefined;
  /** Of the files, by their place in the plan. */
  readonly #bytes = new Map<number, number>();
  /** The newest: an output that is added begins a moment before it is known here. */
  #newest: Chunk[] = [];
  #over = false;

  constructor(options: LimitWatchOptions) {
    this.#options = options;
    this.#plan = options.plan;
    for (const chunk of options.earlier) this.chunk(chunk);
  }

  /** @param startedAtMs wall clock at which the egress became ACTIVE, whichever attempt it was in */
  begin(startedAtMs: number): void {
    this.#startedAtMs = startedAtMs;
    this.#waitForEnd();
  }

  /** Outputs have been added or removed since. */
  usePlan(plan: EgressPlan): void {
    const known = this.#plan.outputs.length;
    this.#plan = plan;
    for (let index = known; index < plan.outputs.length; index++) {
      for (const chunk of this.#newest) this.#count(index, chunk);
    }
    this.#waitForEnd();
  }

  /** Takes in a chunk that was closed. */
  chunk(chunk: Chunk): void {
    this.#newest = [...this.#newest, chunk].slice(-CHUNKS_KEPT);
    for (const index of this.#plan.outputs.keys()) this.#count(index, chunk);
  }

  close(): void {
    this.#over = true;
    clearTimeout(this.#timer);
  }

  #count(index: number, chunk: Chunk): void {
    const { outputs, spans, options } = this.#plan;
    const output = outputs[index];
    const most = options.limits?.file?.max_size;
    if (output?.type !== 'file' || most === undefined) return;
    const span = spans?.[index];
    if (!isIn(spanOf(span, this.#options.epochMs), chunk)) return;
    const bytes = (this.#bytes.get(index) ?? 0) + bytesOf(chunk, this.#plan, output.fileType);
    this.#bytes.set(index, bytes);
    if (bytes >= most && span?.toMs === undefined) this.#reached(`the file has its ${most} bytes`);
  }

  #waitForEnd(): void {
    clearTimeout(this.#timer);
    if (this.#startedAtMs === undefined || this.#over) return;
    const limit = longest(this.#plan, this.#startedAtMs);
    if (limit) this.#wait(limit);
  }

  /** A timer alone takes 24 days at most. */
  #wait(limit: Lasting): void {
    const leftMs = Math.max(0, limit.endMs - Date.now());
    this.#timer = setTimeout(
      () => {
        if (Date.now() < limit.endMs) this.#wait(limit);
        else this.#reached(`${LASTED[limit.kind]} ${limit.seconds} s`);
      },
      Math.min(leftMs, MAX_TIMER_MS),
    );
  }

  #reached(reason: string): void {
    if (this.#over) return;
    this.close();
    this.#options.onReached(reason);
  }
}
