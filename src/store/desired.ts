/** What the API wants of a running egress, as it is kept: every later attempt reads it again. */
import { z } from 'zod';

/** A moment of a recording that somebody has marked. */
const markerSchema = z.object({
  markerId: z.string(),
  /** Wall clock, ms since the epoch. */
  atMs: z.number(),
  label: z.string(),
});
export type Marker = z.infer<typeof markerSchema>;

/**
 * An output that was asked for while the egress ran. Outputs keep their place in the plan for good: those of the request
 * first, then these in order.
 */
const addedOutputSchema = z.object({
  outputId: z.string(),
  type: z.enum(['file', 'segments', 'stream', 'images']),
  /** Proto JSON of LiveKit's output message, secrets included: never shown, never logged. */
  json: z.string(),
  /** Of segments; missing: MPEG-TS. */
  segmentType: z.enum(['mpegts', 'fmp4']).exactOptional(),
  /** Of segments: LL-HLS, and what none of its parts is longer than, s. */
  lowLatency: z.boolean().exactOptional(),
  partDuration: z.number().exactOptional(),
  /** Wall clock from which on it is wanted, ms since the epoch. */
  fromMs: z.number(),
});
export type AddedOutput = z.infer<typeof addedOutputSchema>;

/** Whose track, and which of theirs: how a track is found again after it was republished under a new id. */
export const trackRoleSchema = z.object({
  identity: z.string(),
  source: z.enum(['unknown', 'camera', 'microphone', 'screen_share', 'screen_share_audio']),
  kind: z.enum(['audio', 'video']),
});
export type TrackRole = z.infer<typeof trackRoleSchema>;

const desiredSchema = z.object({
  /** Raised by every change. */
  revision: z.number().int().min(0),
  /** Why the egress is to end, when it is. */
  stop: z.string().exactOptional(),
  /** Every stream URL that should be live, with its key. */
  streamUrls: z.array(z.string()),
  layout: z.string().exactOptional(),
  /** Nothing of the room is to be recorded or sent at the moment. */
  paused: z.boolean().exactOptional(),
  markers: z.array(markerSchema).exactOptional(),
  outputs: z.array(addedOutputSchema).exactOptional(),
  /** When outputs were to end before the egress does, by output id; wall clock, ms since the epoch. */
  removedOutputs: z.record(z.string(), z.number()).exactOptional(),
  /** Tracks beside those the request selects, and tracks of those that are left out; by track id. */
  addedTracks: z.array(z.string()).exactOptional(),
  removedTracks: z.array(z.string()).exactOptional(),
  /** Of both, by id. */
  trackRoles: z.record(z.string(), trackRoleSchema).exactOptional(),
});

/** What the API wants of a running egress; durable, so that a later attempt obeys it too. */
export type EgressDesired = z.infer<typeof desiredSchema>;

/** @throws ZodError, SyntaxError when it is none */
export function decodeDesired(json: string): EgressDesired {
  return desiredSchema.parse(JSON.parse(json));
}
