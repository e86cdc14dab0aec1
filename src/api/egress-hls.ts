/** HLS as a request wants it, and as the configuration wants it where the request says nothing. Pure. */
import type { Config } from '../config/types.ts';
import { segmentsFor } from '../egress/plan/hls.ts';
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
  const local = isLocal(plan, servesFiles);
  if (options.hls?.low_latency && !local) throw noBucket('options.hls');
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

/** Whether this server sends all the plan's segments from its own folder. */
function isLocal(
  { outputs, storages }: Pick<EgressPlan, 'outputs' | 'storages'>,
  servesFiles: boolean,
): boolean {
  const segments = outputs.filter((output) => output.type === 'segments');
  return servesFiles && segments.every(({ storage }) => storages[storage]?.type !== 's3');
}

const noBucket = (field: string) =>
  invalid(
    `${field}.low_latency`,
    'low latency needs playlists that can be waited for, which a bucket has not: use the local storage',
  );

/**
 * HLS of a broadcast that is added while its egress runs: as it says itself, else as the egress's own broadcast is, else
 * as the configuration says.
 * @param added the broadcast alone, and its storages
 * @param own the options the egress was started with
 * @throws RequestError
 */
export function addedHls(
  asked: HlsChoice,
  added: Pick<EgressPlan, 'outputs' | 'storages'>,
  own: HlsChoice | undefined,
  { choice, servesFiles }: HlsDefaults,
): ReturnType<typeof segmentsFor> {
  const local = isLocal(added, servesFiles);
  if (asked.low_latency && !local) throw noBucket('hls');
  const before = own ?? choice;
  const lowLatency =
    asked.low_latency ?? (before.low_latency === true && local && asked.segment_type !== 'mpegts');
  const type = asked.segment_type ?? (lowLatency ? undefined : usual(before));
  const part = asked.part_duration ?? (lowLatency ? before.part_duration : undefined);
  return segmentsFor(
    {
      low_latency: lowLatency,
      ...(type !== undefined && { segment_type: type }),
      ...(part !== undefined && { part_duration: part }),
    },
    'hls',
  );
}

/** Segments of a choice, where its low latency is not for this one. */
function usual({ segment_type: type, low_latency: low }: HlsChoice): HlsChoice['segment_type'] {
  return type ?? (low ? 'fmp4' : undefined);
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
