/** HLS as a request wants it, and as the configuration wants it where the request says nothing. Pure. */
import type { Config } from '../config/types.ts';
import type { HlsChoice } from '../egress/plan/hls.ts';
import type { EgressPlan } from '../egress/plan/types.ts';
import { invalid } from '../egress/request/errors.ts';
import { withDefaults } from '../egress/request/options.ts';
import type { EgressOptions } from '../egress/request/options.ts';

export interface HlsDefaults {
  choice: HlsChoice;
  /** The service's own storage is a folder, whose files this server sends. */
  servesFiles: boolean;
}

/**
 * The request's options, completed. LL-HLS is made for this server's `/files`, which lets playlists be waited for: what
 * goes into a bucket cannot have it. Asked for, it is refused there; as a default it is left out.
 * @param plan of the request with its own options alone.
 * @throws RequestError
 */
export function completeHls(
  options: EgressOptions,
  plan: EgressPlan,
  { choice, servesFiles }: HlsDefaults,
): EgressOptions {
  const outputs = plan.outputs.filter((output) => output.type === 'segments');
  if (outputs.length === 0) {
    if (options.hls) throw invalid('options.hls', 'the request has no segment output');
    return options;
  }
  const local = servesFiles && outputs.every(({ storage }) => plan.storages[storage]?.type !== 's3');
  if (options.hls?.low_latency && !local) {
    throw invalid(
      'options.hls.low_latency',
      'low latency needs playlists that can be waited for, which a bucket has not: use the local storage',
    );
  }
  const { low_latency: low, segment_type: type, part_duration: part } = choice;
  const asked = options.hls ?? {};
  const lowLatency = asked.low_latency ?? (low === true && local && asked.segment_type !== 'mpegts');
  return withDefaults(options, {
    hls: {
      low_latency: lowLatency,
      // What the request says of one goes before what the configuration says of the other.
      ...(type !== undefined && !lowLatency && { segment_type: type }),
      ...(part !== undefined && lowLatency && { part_duration: part }),
    },
  });
}

export function hlsDefaults({ egress: { hls }, storage }: Pick<Config, 'egress' | 'storage'>): HlsDefaults {
  return {
    choice: {
      segment_type: hls.segmentType,
      low_latency: hls.lowLatency,
      part_duration: hls.partDuration,
    },
    servesFiles: storage.type === 'local',
  };
}
