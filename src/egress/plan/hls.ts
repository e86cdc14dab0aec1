/** What the options say of HLS, put into a plan's segment outputs. Pure. */
import type { EgressPlan, SegmentsOutput } from './types.ts';
import type { EgressOptions } from '../request/options.ts';
import { invalid } from '../request/errors.ts';

/** Longest part of LL-HLS where nothing is said, s: three of them are the distance players keep. */
const DEFAULT_PART_DURATION = 0.4;

export type HlsChoice = NonNullable<EgressOptions['hls']>;

function withChoice(
  output: SegmentsOutput,
  { segment_type: type, low_latency: lowLatency = false, part_duration: partDuration }: HlsChoice,
): SegmentsOutput {
  if (lowLatency && type === 'mpegts') {
    throw invalid('options.hls.segment_type', 'low latency is made of fMP4; use "fmp4", or leave it out');
  }
  if (partDuration !== undefined && !lowLatency) {
    throw invalid(
      'options.hls.part_duration',
      'only low latency has parts; set low_latency, or leave it out',
    );
  }
  return {
    ...output,
    segmentType: type ?? (lowLatency ? 'fmp4' : 'mpegts'),
    lowLatency,
    partDuration: lowLatency ? (partDuration ?? DEFAULT_PART_DURATION) : 0,
  };
}

/**
 * Segments of an output that is added while its egress runs: as it says itself, else as the egress's own are, else as the
 * configuration says. They have no low latency: its parts begin with the attempt, not with the output.
 * @param own the options the egress was started with
 */
export function addedSegmentType(
  asked: HlsChoice | undefined,
  own: HlsChoice | undefined,
  configured: HlsChoice | undefined,
): SegmentsOutput['segmentType'] {
  const ofOwn = own?.segment_type ?? (own?.low_latency ? 'fmp4' : undefined);
  return asked?.segment_type ?? ofOwn ?? configured?.segment_type ?? 'mpegts';
}

/** @throws RequestError for options that contradict each other */
export function withHlsOptions(plan: EgressPlan): EgressPlan {
  const choice = plan.options.hls;
  if (!choice) return plan;
  const outputs = plan.outputs.map((output) =>
    output.type === 'segments' ? withChoice(output, choice) : output,
  );
  return { ...plan, outputs };
}
