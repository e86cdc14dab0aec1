/**
 * How long and how large an egress's outputs may become. The first limit that is reached ends the egress as
 * LIMIT_REACHED, with everything it has, as LiveKit's session_limits do.
 */
import type { Config } from '../config/index.ts';
import type { SegmentLog } from './log/fold.ts';
import type { Chunk } from './log/types.ts';
import type { EgressPlan, FileOutput } from './plan/types.ts';
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

export interface Lasting {
  seconds: number;
  /** Of which output. */
  kind: keyof Limits;
  /** Wall clock at which it has lasted so long, ms. */
  endMs: number;
}

/** What is said of an output that has reached its limit, before how many seconds that are. */
export const LASTED: Readonly<Record<keyof Limits, string>> = {
  file: 'the file has lasted',
  segments: 'the segments have lasted',
  stream: 'the stream has lasted',
  images: 'the images have lasted',
};

/**
 * How long a plan's egress may run: until the first of its outputs has lasted as long as it may. One that was added
 * counts from there, one that was removed does not. Pure.
 * @param startedAtMs wall clock at which the egress became ACTIVE
 */
export function longest(
  { outputs, spans, options }: Pick<EgressPlan, 'outputs' | 'spans' | 'options'>,
  startedAtMs: number,
): Lasting | undefined {
  const all = outputs.flatMap(({ type: kind }, index): Lasting[] => {
    const seconds = options.limits?.[kind]?.max_duration;
    const { fromMs = startedAtMs, toMs } = spans?.[index] ?? {};
    if (seconds === undefined || toMs !== undefined) return [];
    return [{ seconds, kind, endMs: Math.max(startedAtMs, fromMs) + seconds * 1000 }];
  });
  return all.sort((a, b) => a.endMs - b.endMs)[0];
}

/** A file's tables need about this much a frame where the log has less than that for it, bytes. */
const TABLES_PER_FRAME = 16;
/** What an encoder that holds a rate may be off by. */
const RATE_MARGIN = 1.05;

/**
 * What a chunk adds to a file at most, bytes. MPEG-TS is larger than what is made of it; sound that is encoded again
 * goes by its rate.
 */
export function bytesOf(
  chunk: Chunk,
  plan: EgressPlan,
  fileType: FileOutput['fileType'] | undefined,
): number {
  const isTs = chunk.file.endsWith('.ts');
  const again = isTs && (fileType === 'ogg' || fileType === 'mp3');
  if (again && plan.audio) return ((plan.audio.bitrate * 1000) / 8) * (chunk.durationNs / 1e9) * RATE_MARGIN;
  return isTs ? chunk.bytes : chunk.bytes + TABLES_PER_FRAME * (chunk.videoFrames + chunk.audioFrames);
}

/**
 * The log up to where a file made of it reaches the plan's largest size; the same log where it does not. At least one
 * chunk stays. Pure.
 * @param fileType of the file; by default of the plan's first one
 */
export function withinSize(
  log: SegmentLog,
  plan: EgressPlan,
  fileType = plan.outputs.find((output) => output.type === 'file')?.fileType,
): SegmentLog {
  const most = plan.options.limits?.file?.max_size;
  if (most === undefined) return log;
  let bytes = 0;
  const beyond = log.chunks.findIndex(
    (chunk, i) => (bytes += bytesOf(chunk, plan, fileType)) > most && i > 0,
  );
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
