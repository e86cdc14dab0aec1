/** What the plans of all requests that encode have in common. Pure. */
import { picture } from './parts.ts';
import type { PlanContext } from './parts.ts';
import type { EgressPlan } from './types.ts';
import { encodingOf } from '../request/encoding.ts';
import type { EncodingChoice } from '../request/encoding.ts';
import { encodedOutputs } from '../request/outputs.ts';
import type { EncodedRequest } from '../request/outputs.ts';
import { StorageList } from '../request/storage.ts';

/** Whose plan it is, and Sluice's own options. */
export function idOf({ egressId, options = {} }: PlanContext): Pick<EgressPlan, 'egressId' | 'options'> {
  return { egressId, options };
}

/**
 * The plan of a request that encodes; its codecs are settled later.
 * @param what is recorded: `picture` and `sound` tell whether there is one
 * @throws RequestError
 */
export function planEncoded(
  request: EncodedRequest & { options: EncodingChoice },
  context: PlanContext,
  what: Pick<EgressPlan, 'roomName' | 'source' | 'choice'> & { picture: boolean; sound: boolean },
): EgressPlan {
  const storages = new StorageList();
  const encoding = encodingOf(request.options);
  const outputs = encodedOutputs(request, storages);
  const { roomName, source, choice } = what;
  return {
    ...idOf(context),
    roomName,
    source,
    choice,
    video: what.picture ? picture(encoding) : null,
    audio: what.sound ? encoding.audio : null,
    outputs,
    storages: storages.plans,
  };
}
