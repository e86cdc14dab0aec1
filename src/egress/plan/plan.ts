/** StartEgress request -> plan. Pure: everything that can be wrong with a request is found here, up front. */
import {
  EncodingOptionsPreset,
  ParticipantEgressRequest,
  RoomCompositeEgressRequest,
  StartEgressRequest,
  TrackCompositeEgressRequest,
  TrackEgressRequest,
  WebEgressRequest,
} from '@livekit/protocol';
import type { EgressRecord } from '../../store/types.ts';
import { withRunningOutputs } from '../added-outputs.ts';
import { settleCodecs } from './codecs.ts';
import type { PlanContext } from './parts.ts';
import { withHlsOptions } from './hls.ts';
import { checkImages, thinForImages } from './images.ts';
import { checkWebSockets, withStreamQualities } from './streams.ts';
import { planStart } from './start.ts';
import type { EgressPlan } from './types.ts';
import { planParticipant, planRoomComposite, planTrack, planTrackComposite, planWeb } from './v1.ts';
import { checkLegs } from '../request/encoding.ts';
import type { EncodingChoice } from '../request/encoding.ts';
import { loadOptions } from '../request/options.ts';
import { loadRequest } from '../request/types.ts';
import type { StartRequest } from '../request/types.ts';

export type { PlanContext } from './parts.ts';

function planOf(request: StartRequest, context: PlanContext): EgressPlan {
  if (request instanceof RoomCompositeEgressRequest) return planRoomComposite(request, context);
  if (request instanceof WebEgressRequest) return planWeb(request, context);
  if (request instanceof ParticipantEgressRequest) return planParticipant(request, context);
  if (request instanceof TrackCompositeEgressRequest) return planTrackComposite(request, context);
  if (request instanceof StartEgressRequest) return planStart(request, context);
  return planTrack(request, context);
}

/** What the request says of encoding. */
function encodingChoice(request: StartRequest): EncodingChoice {
  if (request instanceof StartEgressRequest) return request.encoding;
  return request instanceof TrackEgressRequest ? { case: undefined } : request.options;
}

/** Whether the file is to be of the track's own kind. */
function wantsOwnKind(request: StartRequest): boolean {
  if (request instanceof TrackEgressRequest) return request.output.case === 'file';
  const { case: kind, value } = encodingChoice(request);
  return kind === 'preset' && value === EncodingOptionsPreset.PASSTHROUGH;
}

/** @throws RequestError that says what is wrong with the request and what would be right. */
export function planEgress(request: StartRequest, context: PlanContext): EgressPlan {
  const asked = withHlsOptions(withStreamQualities(planOf(request, context)));
  const choice = encodingChoice(request);
  checkLegs(choice, { picture: asked.video !== null, sound: asked.audio !== null });
  checkWebSockets(asked);
  checkImages(asked);
  return thinForImages(settleCodecs(asked, choice, wantsOwnKind(request)));
}

/**
 * The plan of a stored egress: what a worker runs.
 * @throws RequestError or RangeError when another version stored what this one cannot run.
 */
export function planOfRecord(
  record: Pick<EgressRecord, 'egressId' | 'requestType' | 'requestJson' | 'trackKind' | 'optionsJson'> &
    Partial<Pick<EgressRecord, 'desired'>>,
): EgressPlan {
  const { egressId, trackKind, desired } = record;
  const plan = planEgress(loadRequest(record), { egressId, trackKind, options: loadOptions(record) });
  return desired ? withRunningOutputs(plan, desired) : plan;
}
