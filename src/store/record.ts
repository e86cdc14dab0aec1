/** How an EgressRecord is laid out in its Redis hash. */
import { EgressInfo, EgressStatus } from '@livekit/protocol';
import { z } from 'zod';
import { decodeDesired, trackRoleSchema } from './desired.ts';
import { StoreError } from './errors.ts';
import type { EgressRecord } from './types.ts';

const trackRolesSchema = z.record(z.string(), trackRoleSchema);

/** The hash's fields; Redis holds text. */
const hashSchema = z.object({
  roomName: z.string(),
  requestType: z.string(),
  requestJson: z.string(),
  /** Missing or empty: none. */
  optionsJson: z.string().optional(),
  /** Empty: unknown. */
  trackKind: z.enum(['audio', 'video', '']).transform((kind) => (kind === '' ? undefined : kind)),
  /** JSON; missing or empty: no track was named. */
  trackRoles: z.string().optional(),
  createdAtMs: z.coerce.number(),
  info: z.string(),
  desired: z.string(),
  attempt: z.coerce.number().int(),
  appliedRevision: z.coerce.number().int(),
  epochMs: z.coerce.number().optional(),
  bridgeUrl: z.string(),
});

/** Whether nothing more can happen to it. */
export function hasEnded(status: EgressStatus): boolean {
  return status >= EgressStatus.EGRESS_COMPLETE;
}

/** @throws StoreError `data_loss` when the hash is not a record. */
export function decodeRecord(egressId: string, hash: Record<string, string>): EgressRecord {
  const parsed = hashSchema.safeParse(hash);
  if (!parsed.success) throw new StoreError('data_loss', `the stored record of ${egressId} cannot be read`);
  const { info, desired, epochMs, trackRoles, ...rest } = parsed.data;
  const roles = trackRoles ? { trackRoles: trackRolesSchema.parse(JSON.parse(trackRoles)) } : {};
  return { egressId, ...rest, ...roles, epochMs, info: decodeInfo(info), desired: decodeDesired(desired) };
}

export function decodeInfo(json: string): EgressInfo {
  return EgressInfo.fromJsonString(json, { ignoreUnknownFields: true });
}
