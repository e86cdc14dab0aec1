/** A running egress, paused, resumed and marked. */
import { randomUUID } from 'node:crypto';
import type { JsonObject } from '@bufbuild/protobuf';
import type { Logger } from 'pino';
import { z } from 'zod';
import { applied, changeRunning } from './change-running.ts';
import type { RunningOptions } from './change-running.ts';
import { TwirpError } from './errors.ts';
import { messageToJson } from './protojson.ts';

/** More than these are no chapters any more. */
const MAX_MARKERS = 500;
const MAX_LABEL = 256;
/** Clocks of callers need not agree with ours to the millisecond. */
const AHEAD_MS = 1000;

export const egressId = z.string().min(1, 'name the egress');
export const namedSchema = z.strictObject({ egress_id: egressId });

export const markerSchema = z.strictObject({
  egress_id: egressId,
  label: z.string().max(MAX_LABEL, `at most ${MAX_LABEL} characters`).default(''),
  at_ms: z.number().int('milliseconds since the epoch').optional(),
});

/** @throws TwirpError */
export async function setPaused(
  options: RunningOptions,
  id: string,
  paused: boolean,
  logger: Logger,
): Promise<JsonObject> {
  const changed = await changeRunning(options, id, paused ? 'paused' : 'resumed', (desired) =>
    (desired.paused === true) === paused ? desired : { ...desired, paused },
  );
  logger.info({ egressId: id }, paused ? 'egress asked to pause' : 'egress asked to resume');
  return { paused, egress: messageToJson(await applied(options.store, changed)) };
}

/** @throws TwirpError */
export async function addMarker(
  options: RunningOptions,
  { egress_id: id, label, at_ms: at }: z.infer<typeof markerSchema>,
): Promise<JsonObject> {
  const now = Date.now();
  const marker = { markerId: `MK_${randomUUID().replaceAll('-', '').slice(0, 12)}`, atMs: at ?? now, label };
  const changed = await changeRunning(options, id, 'marked', (desired, { createdAtMs }) => {
    if (marker.atMs < createdAtMs || marker.atMs > now + AHEAD_MS) {
      throw new TwirpError(
        'out_of_range',
        'at_ms must lie between the start of the egress and now, in milliseconds since the epoch',
      );
    }
    const markers = desired.markers ?? [];
    if (markers.length >= MAX_MARKERS) {
      throw new TwirpError('resource_exhausted', `an egress has at most ${MAX_MARKERS} markers`);
    }
    return { ...desired, markers: [...markers, marker] };
  });
  return {
    marker_id: marker.markerId,
    at_ms: marker.atMs,
    label,
    egress: messageToJson(await applied(options.store, changed)),
  };
}
