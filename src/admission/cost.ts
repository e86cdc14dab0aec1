/** What a job costs in cores: measured defaults (docs/performance.md), scaled by what is encoded. Pure. */
import type { IngressInfo } from '@livekit/protocol';
import type { EgressPlan } from '../egress/plan/types.ts';
import { isPage } from '../egress/page-source.ts';
import { videoEncoding } from '../ingress/presets.ts';

/**
 * Cores a unit of each kind costs a worker. A unit of `egress-encode` is 1280×720 at 30 frames/s, of `ingress-encode`
 * the three layers of 720p30; of `egress-web`, which has a browser beside the encoder, 1280×720 at 30 frames/s; of the others it is one job, or one destination of a stream. `auto` is what is copied or
 * encoded depending on what comes, which nobody knows when it is taken: it learns from what became of it.
 */
export const DEFAULT_CORES = {
  'egress-auto': 0.07,
  'egress-copy': 0.07,
  'egress-encode': 0.4,
  'egress-audio': 0.06,
  'egress-web': 0.8,
  stream: 0.03,
  'ingress-auto': 0.07,
  'ingress-copy': 0.07,
  'ingress-encode': 0.4,
} as const;

export type CostKind = keyof typeof DEFAULT_CORES;

/** How far what was measured may move a cost from its default. */
export const MIN_FACTOR = 0.3;
export const MAX_FACTOR = 3;

/** By kind: what was measured, divided by the default. What is missing is 1. */
export type Factors = Partial<Record<CostKind, number>>;

export interface JobCost {
  readonly kind: CostKind;
  /** How much of the kind's unit; > 0. */
  readonly units: number;
  /** Destinations it is streamed to, each at the cost of `stream`. */
  readonly streams: number;
}

const PIXEL_RATE_720P30 = 1280 * 720 * 30;
/** Decoding, mixing and muxing cost something whatever the size of the picture is. */
const LEAST_UNITS = 0.2;

const pixelRate = (layers: readonly { width: number; height: number }[], framerate: number): number =>
  layers.reduce((sum, { width, height }) => sum + width * height * framerate, 0);

const PIXEL_RATE_720P30_3 = pixelRate(
  [
    { width: 1280, height: 720 },
    { width: 640, height: 360 },
    { width: 320, height: 180 },
  ],
  30,
);

/** Between its bounds, whatever was measured. */
export function clampFactor(factor: number): number {
  return Math.min(MAX_FACTOR, Math.max(MIN_FACTOR, factor));
}

/** @param program what runs, once that is known: copying turns into encoding when a codec asks for it */
export function egressCost(plan: EgressPlan, program?: 'passthrough' | 'composite'): JobCost {
  const streams = plan.outputs.flatMap((output) => (output.type === 'stream' ? output.urls : [])).length;
  if (isPage(plan.source)) {
    // A browser that is only heard draws all the same.
    const drawn = plan.video ?? { width: 1280, height: 720, framerate: 15 };
    const units = pixelRate([drawn], drawn.framerate) / PIXEL_RATE_720P30;
    return { kind: 'egress-web', units: Math.max(LEAST_UNITS, units), streams };
  }
  if (plan.video === null) return { kind: 'egress-audio', units: 1, streams };
  const runs = program ?? plan.choice.program;
  if (runs === 'auto') return { kind: 'egress-auto', units: 1, streams };
  if (runs === 'passthrough') return { kind: 'egress-copy', units: 1, streams };
  // A rendition is scaled and encoded, and that is most of it.
  const pictures = [plan.video, ...(plan.renditions ?? [])];
  const units = pixelRate(pictures, plan.video.framerate) / PIXEL_RATE_720P30;
  return { kind: 'egress-encode', units: Math.max(LEAST_UNITS, units), streams };
}

/** @param program what became of the picture, once the source is known; it alone decides when nobody asked for encoding */
export function ingressCost(
  info: Pick<IngressInfo, 'enableTranscoding' | 'video'>,
  program?: 'copy' | 'encode',
): JobCost {
  const asked = info.enableTranscoding === true || info.video?.encodingOptions.case !== undefined;
  if (program === undefined && !asked) return { kind: 'ingress-auto', units: 1, streams: 0 };
  if (program === 'copy') return { kind: 'ingress-copy', units: 1, streams: 0 };
  const { layers, framerate } = videoEncoding(info.video);
  const units = pixelRate(layers, framerate) / PIXEL_RATE_720P30_3;
  return { kind: 'ingress-encode', units: Math.max(LEAST_UNITS, units), streams: 0 };
}

/** Cores, without the streams: what its pipeline is expected to use. */
export function pipelineCores({ kind, units }: JobCost, factors: Factors): number {
  return DEFAULT_CORES[kind] * clampFactor(factors[kind] ?? 1) * units;
}

/** Cores, all in all. */
export function coresOf(cost: JobCost, factors: Factors): number {
  const streams = cost.streams * DEFAULT_CORES.stream * clampFactor(factors.stream ?? 1);
  return pipelineCores(cost, factors) + streams;
}

/**
 * Jobs a core can hold at the very most, the cheapest there are: what a worker takes is bounded by its admission, and
 * its queue only must not be the tighter bound.
 */
export const MOST_JOBS_PER_CORE = Math.ceil(1 / (Math.min(...Object.values(DEFAULT_CORES)) * MIN_FACTOR));
