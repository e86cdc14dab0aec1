/** Claims of a LiveKit access token: who it is for, and what it grants. */
import { z } from 'zod';

/** LiveKit's servers read an absent or null flag as false. */
const flag = z
  .boolean()
  .nullish()
  .transform((value) => value ?? false);
const text = z
  .string()
  .nullish()
  .transform((value) => value ?? '');
/** A flag whose default depends on others. */
const optionalFlag = z
  .boolean()
  .nullish()
  .transform((value) => value ?? undefined);

/** Claim `video`. Unknown grants are ignored. */
export const videoGrantSchema = z.object({
  roomCreate: flag,
  roomList: flag,
  /** Everything of the Egress service. */
  roomRecord: flag,
  /** With `room`: RoomService calls about that room. */
  roomAdmin: flag,
  /** With `room`: entering that room. */
  roomJoin: flag,
  room: text,
  /** Everything of the Ingress service. */
  ingressAdmin: flag,
  canPublish: optionalFlag,
  canSubscribe: optionalFlag,
  canPublishData: optionalFlag,
  /** Lower-case names of track sources; empty means every source. */
  canPublishSources: z
    .array(z.string())
    .nullish()
    .transform((value) => value ?? []),
  hidden: flag,
  recorder: flag,
});
export type VideoGrant = z.infer<typeof videoGrantSchema>;

/** A verified token. */
export const claimsSchema = z
  .object({
    /** API key. */
    iss: z.string(),
    /** Identity; service tokens have none. */
    sub: text,
    /** Identity in tokens older than `sub`. */
    jti: text,
    /** Seconds since the epoch. */
    exp: z.number(),
    name: text,
    metadata: text,
    attributes: z
      .record(z.string(), z.string())
      .nullish()
      .transform((value) => value ?? {}),
    /** `standard`, `ingress`, `egress`, `sip`, `agent`, ... */
    kind: text,
    video: videoGrantSchema.nullish(),
    /** base64(SHA-256(body)), of webhook tokens. */
    sha256: text,
    /** Of a worker's token: the egress, ingress or ingress session it is for, and which attempt at it. */
    job: z.object({ id: z.string().min(1), attempt: z.number().int().min(1) }).nullish(),
  })
  .transform(({ iss, sub, jti, exp, video, job, ...rest }) => ({
    ...rest,
    apiKey: iss,
    identity: sub || jti,
    expiresAtMs: exp * 1000,
    video: video ?? undefined,
    job: job ?? undefined,
  }));
export type Claims = z.infer<typeof claimsSchema>;
