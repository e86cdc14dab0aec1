/** How much of its segment log an egress needs while it runs. Pure. */
import type { EgressPlan } from './plan/types.ts';

/**
 * Streams are sent as they come and need nothing of the log. The last minute stays for whoever takes the egress over,
 * and for whoever asks what went wrong, s.
 */
const STREAMS_KEPT_S = 60;

/** Whether nothing is made of what was recorded. */
export function streamsOnly({ outputs }: Pick<EgressPlan, 'outputs'>): boolean {
  return outputs.every(({ type }) => type === 'stream');
}

/** Seconds of the log that must stay on disk; Infinity: all of it, outputs are made of it. */
export function keptSeconds(plan: Pick<EgressPlan, 'outputs'>): number {
  return streamsOnly(plan) ? STREAMS_KEPT_S : Infinity;
}
