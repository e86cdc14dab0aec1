/**
 * How long and how large an egress's outputs may become. The first limit that is reached ends the egress as
 * LIMIT_REACHED, with everything it has, as LiveKit's session_limits do.
 */
import type { Config } from '../config/index.ts';
import type { SegmentLog } from './log/fold.ts';
import type { Chunk } from './log/types.ts';
import type { EgressPlan } from './plan/types.ts';
import { limitsSchema } from './request/limits.ts';
import type { Limits } from './request/limits.ts';

/** The configuration's limits, where 0 stands for none. Pure. */
export function configuredLimits(config: Config['egress']['limits']): Limits {
  const lastingAtMost = (max: number): { max_duration?: number } => (max === 0 ? {} : { max_duration: max });
  return {
    file: {
      ...lastingAtMost(config.fileMaxDuration),
      ...(config.fileMaxSize !== 0 && { max_size: config.fileMaxSize }),
    },
    segments: lastingAtMost(config.segmentsMaxDuration),
    stream: lastingAtMost(config.streamMaxDuration),
    images: lastingAtMost(config.imagesMaxDuration),
  };
}

/** The stricter of the request's limits and this installation's. Pure. */
export function strictest(requested: Limits, configured: Limits): Limits {
  const pair = (kind: keyof Limits, key: 'max_duration' | 'max_size'): Record<string, number> => {
    const values = [requested, configured].flatMap((limits) => {
      const of: { max_duration?: number; max_size?: number } = limits[kind] ?? {};
      return of[key] ?? [];
    });
    return values.length === 0 ? {} : { [key]: Math.min(...values) };
  };
  return limitsSchema.parse({
    file: { ...pair('file', 'max_duration'), ...pair('file', 'max_size') },
    segments: pair('segments', 'max_duration'),
    stream: pair('stream', 'max_duration'),
    images: pair('images', 'max_duration'),
  });
}

/** A plan held to this installation's limits too. Pure. */
export function withinLimits(plan: EgressPlan, configured: Limits): EgressPlan {
  return { ...plan, options: { ...plan.options, limits: strictest(plan.options.limits ?? {}, configured) } };
}

interface Lasting {
  seconds: number;
  /** Of which output. */
  kind: keyof Limits;
}

const LASTED: Readonly<Record<keyof Limits, string>> = {
  file: 'the file has lasted',
  segments: 'the segments have lasted',
  stream: 'the stream has lasted',
  images: 'the images have lasted',
};
const MAX_TIMER_MS = 86_400_000;

/** How long a plan's egress may run: as long as the output that may last least. Pure. */
export function longest({ outputs, options }: EgressPlan): Lasting | undefined {
  const all = outputs.flatMap(({ type: kind }): Lasting[] => {
    const limit = options.limits?.[kind]?.max_duration;
    return limit === undefined ? [] : [{ seconds: limit, kind }];
  });
  return all.sort((a, b) => a.seconds - b.seconds)[0];
}

/** A file's tables need about this much a frame where the log has less than that for it, bytes. */
const TABLES_PER_FRAME = 16;
/** What an encoder that holds a rate may be off by. */
const RATE_MARGIN = 1.05;

/**
 * What a chunk adds to a file at most, bytes. MPEG-TS is larger than what is made of it; sound that is encoded again
 * goes by its rate.
 */
function bytesOf(chunk: Chunk, plan: EgressPlan): number {
  const file = plan.outputs.find((output) => output.type === 'file');
  const isTs = chunk.file.endsWith('.ts');
  const again = isTs && (file?.fileType === 'ogg' || file?.fileType === 'mp3');
  if (again && plan.audio) return ((plan.audio.bitrate * 1000) / 8) * (chunk.durationNs / 1e9) * RATE_MARGIN;
  return isTs ? chunk.bytes : chunk.bytes + TABLES_PER_FRAME * (chunk.videoFrames + chunk.audioFrames);
}

/**
 * The log up to where a file made of it reaches the plan's largest size; the same log where it does not. At least one
 * chunk stays. Pure.
 */
export function withinSize(log: SegmentLog, plan: EgressPlan): SegmentLog {
  const most = plan.options.limits?.file?.max_size;
  if (most === undefined) return log;
  let bytes = 0;
  const beyond = log.chunks.findIndex((chunk, i) => (bytes += bytesOf(chunk, plan)) > most && i > 0);
  if (beyond < 0) return log;
  const chunks = log.chunks.slice(0, beyond);
  const endNs = chunks.reduce((end, { startNs, durationNs }) => Math.max(end, startNs + durationNs), 0);
  return {
    ...log,
    ...{ chunks, endNs },
    gaps: log.gaps.filter((gap) => gap.startNs < endNs),
    events: log.events.filter((event) => event.atNs <= endNs),
    videoFrames: chunks.reduce((sum, chunk) => sum + chunk.videoFrames, 0),
    audioFrames: chunks.reduce((sum, chunk) => sum + chunk.audioFrames, 0),
  };
}

export interface LimitWatchOptions {
  plan: EgressPlan;
  /** Chunks of earlier attempts. */
  earlier: readonly Chunk[];
  /** Called once. */
  onReached: (reason: string) => void;
}

/** Watches one attempt. Close it. */
export class LimitWatch {
  readonly #options: LimitWatchOptions;
  readonly #mostBytes: number;
  #timer: NodeJS.Timeout | undefined;
  #bytes = 0;
  #over = false;

  constructor(options: LimitWatchOptions) {
    this.#options = options;
    const { plan, earlier } = options;
    const hasFile = plan.outputs.some(({ type }) => type === 'file');
    this.#mostBytes = (hasFile ? plan.options.limits?.file?.max_size : undefined) ?? Infinity;
    for (const chunk of earlier) this.chunk(chunk);
  }

  /** @param startedAtMs wall clock at which the egress became ACTIVE, whichever attempt it was in */
  begin(startedAtMs: number): void {
    const limit = longest(this.#options.plan);
    if (limit && !this.#over) this.#wait(limit, startedAtMs + limit.seconds * 1000);
  }

  /** Takes in a chunk that was closed. */
  chunk(chunk: Chunk): void {
    this.#bytes += bytesOf(chunk, this.#options.plan);
    if (this.#bytes >= this.#mostBytes) this.#reached(`the file has its ${this.#mostBytes} bytes`);
  }

  close(): void {
    this.#over = true;
    clearTimeout(this.#timer);
  }

  /** Waits until `atMs`; a timer alone takes 24 days at most. */
  #wait(limit: Lasting, atMs: number): void {
    const leftMs = Math.max(0, atMs - Date.now());
    this.#timer = setTimeout(
      () => {
        if (Date.now() < atMs) this.#wait(limit, atMs);
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
