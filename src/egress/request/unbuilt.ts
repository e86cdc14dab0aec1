/**
 * What the plan can say and nothing here can do yet, refused by its name. Each line goes with the change that builds
 * what it names.
 */
import type { EgressOutput, EgressPlan, EgressSource } from '../plan-types.ts';
import { unimplemented } from './errors.ts';

function checkSource(source: EgressSource): void {
  if (source.type === 'web') throw unimplemented('url', 'the egress of a web page', 'use a room composite');
  if (source.type !== 'room') return;
  if (source.customBaseUrl !== undefined) {
    throw unimplemented(
      'custom_base_url',
      'custom_base_url (templates drawn by a browser)',
      'use layout "grid"',
    );
  }
}

function checkOutput(output: EgressOutput): void {
  if (output.type === 'segments' && (output.segmentType !== 'mpegts' || output.lowLatency)) {
    throw unimplemented('hls', 'HLS of fMP4', 'use MPEG-TS');
  }
}

/** @throws RequestError `unimplemented` */
export function refuseUnbuilt(plan: EgressPlan): void {
  checkSource(plan.source);
  plan.outputs.forEach(checkOutput);
}
