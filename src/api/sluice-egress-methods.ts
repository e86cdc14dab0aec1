/** Sluice's own calls about an egress that runs. */
import type { JsonObject } from '@bufbuild/protobuf';
import type { z } from 'zod';
import { requireGrant } from '../auth/grants.ts';
import { jsonRpc } from './rpc.ts';
import type { JsonMethod, RpcContext } from './rpc.ts';
import { addOutput, addOutputSchema, removeOutput, removeOutputSchema } from './sluice-egress-outputs.ts';
import type { OutputsOptions } from './sluice-egress-outputs.ts';
import { updateTracks, updateTracksSchema } from './sluice-egress-tracks.ts';
import type { TracksOptions } from './sluice-egress-tracks.ts';
import { addMarker, markerSchema, namedSchema, setPaused } from './sluice-egress-running.ts';

/** Methods of `sluice.Egress`; each needs the grant `roomRecord`. */
export function runningMethods(options: OutputsOptions & TracksOptions): Record<string, JsonMethod> {
  const granted = <S extends z.ZodType>(
    schema: S,
    handler: (request: z.output<S>, context: RpcContext) => Promise<JsonObject>,
  ): JsonMethod =>
    jsonRpc(schema, (request, context) => {
      requireGrant(context.claims, 'roomRecord');
      return handler(request, context);
    });
  return {
    PauseEgress: granted(namedSchema, (request, { logger }) =>
      setPaused(options, request.egress_id, true, logger),
    ),
    ResumeEgress: granted(namedSchema, (request, { logger }) =>
      setPaused(options, request.egress_id, false, logger),
    ),
    AddMarker: granted(markerSchema, (request) => addMarker(options, request)),
    AddOutput: granted(addOutputSchema, (request) => addOutput(options, request)),
    UpdateTracks: granted(updateTracksSchema, (request) => updateTracks(options, request)),
    RemoveOutput: granted(removeOutputSchema, (request) => removeOutput(options, request)),
  };
}
