/** What the options say of HLS, put into a plan's segment outputs. Pure. */
import type { EgressPlan, SegmentsOutput } from './types.ts';
import type { EgressOptions } from '../request/options.ts';
import { invalid } from '../request/errors.ts';

/** Longest part of LL-HLS where nothing is said, s: three of them are the distance players keep. */
const DEFAULT_PART_DURATION = 0.4;

export type HlsChoice = NonNullable<EgressOptions['hls']>;

/**
 * What a choice makes of segments.
 * @param field name of the choice in the request
 * @throws RequestError for a choice that contradicts itself
 */
export function segmentsFor(
  { segment_type: type, low_latency: lowLatency = false, part_duration: partDuration }: HlsChoice,
  field: string,
): Pick<SegmentsOutput, 'segmentType' | 'lowLatency' | 'partDuration'> {
  if (lowLatency && type === 'mpegts') {
    throw invalid(`${field}.segment_type`, 'low latency is made of fMP4; use "fmp4", or leave it out');
  }
  if (partDuration !== undefined && !lowLatency) {
    throw invalid(`${field}.part_duration`, 'only low latency has parts; set low_latency, or leave it out');
  }
  return {
    segmentType: type ?? (lowLatency ? 'fmp4' : 'mpegts'),
    lowLatency,
    partDuration: lowLatency ? (partDuration ?? DEFAULT_PART_DURATION) : 0,
  };
}

/** @throws RequestError for options that contradict each other */
export function withHlsOptions(plan: EgressPlan): EgressPlan {
  const choice = plan.options.hls;
  if (!choice) return plan;
  const outputs = plan.outputs.map((output) =>
    output.type === 'segments' ? { ...output, ...segmentsFor(choice, 'options.hls') } : output,
  );
  return { ...plan, outputs };
}
