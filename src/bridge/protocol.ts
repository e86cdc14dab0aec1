/**
 * The bridge: how a worker joins a room. JSON text messages over one WebSocket at `GET /bridge`
 * (`Authorization: Bearer <access token>` or `?access_token=`). The contract is documented in
 * docs/bridge.md so that any mediasoup application can offer it.
 *
 * Worker -> SFU: {@link BridgeRequest}. SFU -> worker: {@link BridgeReply} and {@link BridgeEvent}.
 * The first request on a socket must be `join`.
 */
import { z } from 'zod';

/** Version both ends must speak; a `join` with another one is refused. */
export const BRIDGE_PROTOCOL_VERSION = 1;

/** WebSocket close codes the SFU uses. */
export const BridgeCloseCode = {
  /** The worker sent `leave`: an orderly end. */
  left: 1000,
  /** The server is shutting down (RFC 6455 §7.4.1), told to ingresses: the room comes back with it. */
  goingAway: 1001,
  /** A newer attempt of the same egress or ingress has joined (the fence). */
  superseded: 4001,
  /** The room was deleted or ended; for an egress also with the server. */
  roomClosed: 4002,
  /** RemoveParticipant or an expired token. */
  removed: 4003,
  /** Not authorised, or the first message was not a valid `join`. */
  refused: 4004,
  /** A message that is not of this protocol. */
  protocolError: 4005,
  /** No answer to pings. */
  unresponsive: 4006,
} as const;

export const srtpParametersSchema = z.object({
  cryptoSuite: z.enum([
    'AEAD_AES_256_GCM',
    'AEAD_AES_128_GCM',
    'AES_CM_128_HMAC_SHA1_80',
    'AES_CM_128_HMAC_SHA1_32',
  ]),
  /** Master key and salt, base64. */
  keyBase64: z.string(),
});
/** SRTP keying of one direction of one PlainTransport. */
export type BridgeSrtpParameters = z.infer<typeof srtpParametersSchema>;

export const trackSourceSchema = z.enum([
  'unknown',
  'camera',
  'microphone',
  'screen_share',
  'screen_share_audio',
]);
export type BridgeTrackSource = z.infer<typeof trackSourceSchema>;

export const bridgeTrackSchema = z.object({
  /** `TR_…` */
  trackId: z.string(),
  /** mediasoup producer behind the track; it changes when the track is republished. */
  producerId: z.string(),
  kind: z.enum(['audio', 'video']),
  source: trackSourceSchema,
  name: z.string(),
  /** e.g. `video/H264`, `audio/opus`. */
  mimeType: z.string(),
  muted: z.boolean(),
  /** Number of simulcast layers (1: not simulcast). Layer 0 is the smallest. */
  spatialLayers: z.number().int().min(1),
});
/** A published track as the bridge shows it. */
export type BridgeTrack = z.infer<typeof bridgeTrackSchema>;

export const bridgeParticipantSchema = z.object({
  /** `PA_…` */
  participantId: z.string(),
  identity: z.string(),
  name: z.string(),
  metadata: z.string(),
  kind: z.enum(['standard', 'ingress', 'egress', 'sip', 'agent']),
  /** Milliseconds since the epoch. */
  joinedAt: z.number(),
  tracks: z.array(bridgeTrackSchema),
});
/** A visible participant (hidden ones are never sent). */
export type BridgeParticipant = z.infer<typeof bridgeParticipantSchema>;

const rtcpFeedbackSchema = z.object({ type: z.string(), parameter: z.string().optional() });

export const bridgeCodecSchema = z.object({
  mimeType: z.string(),
  payloadType: z.number().int().min(0).max(127),
  clockRate: z.number().int().positive(),
  channels: z.number().int().optional(),
  parameters: z.record(z.string(), z.union([z.string(), z.number()])),
  rtcpFeedback: z.array(rtcpFeedbackSchema),
});

export const subscriptionSchema = z.object({
  subscriptionId: z.string(),
  trackId: z.string(),
  kind: z.enum(['audio', 'video']),
  codec: bridgeCodecSchema,
  ssrc: z.number().int(),
  /** RTCP CNAME; tracks of one participant share it. */
  cname: z.string(),
  /** `simple`, `simulcast` or `svc`, mediasoup's consumer type. */
  type: z.enum(['simple', 'simulcast', 'svc', 'pipe']),
  spatialLayers: z.number().int().min(1),
  /** Where the SFU sends from, and expects RTCP (rtcpMux: one port). */
  remote: z.object({ ip: z.string(), port: z.number().int() }),
  /** Keys the SFU sends with; present exactly when the request carried `srtp`. */
  srtp: srtpParametersSchema.optional(),
  /** The publisher has muted the track. */
  producerPaused: z.boolean(),
});
/** Answer to `subscribe`: the consumer is paused until `resume`. */
export type BridgeSubscription = z.infer<typeof subscriptionSchema>;

export const publicationSchema = z.object({
  publicationId: z.string(),
  trackId: z.string(),
  /** Where to send RTP and RTCP (rtcpMux: one port). */
  remote: z.object({ ip: z.string(), port: z.number().int() }),
  srtp: srtpParametersSchema.optional(),
});
/** Answer to `publish`. */
export type BridgePublication = z.infer<typeof publicationSchema>;

const rtpParametersSchema = z.object({
  mid: z.string().optional(),
  codecs: z.array(bridgeCodecSchema),
  encodings: z.array(
    z.object({ ssrc: z.number().int(), rid: z.string().optional(), maxBitrate: z.number().optional() }),
  ),
  cname: z.string(),
});

const empty = z.object({});

/** Parameters of each request. */
export const bridgeRequestSchemas = {
  /** Must come first. `identity` is the token's `sub`; `attempt` is the job's attempt number (the fence). */
  join: z.object({ version: z.number().int(), attempt: z.number().int().min(0) }),
  /**
   * Orderly end: the SFU does not put the job back into the queue. With `keepSeat` a participant of kind ingress stays
   * in the room for a while, without tracks, for the next attempt to take over.
   */
  leave: z.object({ keepSeat: z.boolean().default(false) }),
  /** A PlainTransport to `ip:port` (already bound by the caller) and a paused consumer on it. */
  subscribe: z.object({
    trackId: z.string(),
    ip: z.string(),
    port: z.number().int().min(1).max(65535),
    srtp: srtpParametersSchema.optional(),
  }),
  unsubscribe: z.object({ subscriptionId: z.string() }),
  resume: z.object({ subscriptionId: z.string() }),
  pause: z.object({ subscriptionId: z.string() }),
  requestKeyFrame: z.object({ subscriptionId: z.string() }),
  /**
   * Ask for a keyframe at least every `intervalMs` for as long as the subscription lives (0: stop asking).
   * The SFU keeps one schedule a producer: the shortest interval asked for by anyone, restarted by every
   * keyframe the publisher sends by itself.
   */
  keyFrameCadence: z.object({ subscriptionId: z.string(), intervalMs: z.number().int().min(0).max(60_000) }),
  setPreferredLayers: z.object({
    subscriptionId: z.string(),
    spatialLayer: z.number().int().min(0),
    temporalLayer: z.number().int().min(0).optional(),
  }),
  /** mediasoup's consumer stats. */
  stats: z.object({ subscriptionId: z.string() }),
  publish: z.object({
    kind: z.enum(['audio', 'video']),
    source: trackSourceSchema,
    name: z.string(),
    ip: z.string(),
    port: z.number().int().min(1).max(65535),
    srtp: srtpParametersSchema.optional(),
    rtpParameters: rtpParametersSchema,
    /** Pixels of the top layer, for TrackInfo. */
    width: z.number().int().optional(),
    height: z.number().int().optional(),
  }),
  unpublish: z.object({ publicationId: z.string() }),
  setMuted: z.object({ publicationId: z.string(), muted: z.boolean() }),
} as const;

export type BridgeMethod = keyof typeof bridgeRequestSchemas;
export type BridgeParams<M extends BridgeMethod> = z.infer<(typeof bridgeRequestSchemas)[M]>;

export const joinResultSchema = z.object({
  room: z.object({ roomId: z.string(), name: z.string(), metadata: z.string() }),
  participantId: z.string(),
  participants: z.array(bridgeParticipantSchema),
  activeSpeakers: z.array(z.string()),
});
export type BridgeJoinResult = z.infer<typeof joinResultSchema>;

/** Result of each request. */
export const bridgeResultSchemas = {
  join: joinResultSchema,
  leave: empty,
  subscribe: subscriptionSchema,
  unsubscribe: empty,
  resume: empty,
  pause: empty,
  requestKeyFrame: empty,
  keyFrameCadence: empty,
  setPreferredLayers: empty,
  stats: z.object({ stats: z.array(z.record(z.string(), z.unknown())) }),
  publish: publicationSchema,
  unpublish: empty,
  setMuted: empty,
} as const satisfies Record<BridgeMethod, z.ZodType>;
export type BridgeResult<M extends BridgeMethod> = z.infer<(typeof bridgeResultSchemas)[M]>;

export const bridgeRequestSchema = z.object({
  id: z.number().int().min(0),
  method: z.enum(Object.keys(bridgeRequestSchemas) as [BridgeMethod, ...BridgeMethod[]]),
  params: z.unknown(),
});
export type BridgeRequest = z.infer<typeof bridgeRequestSchema>;

export const bridgeErrorSchema = z.object({
  code: z.enum([
    'not_joined',
    'already_joined',
    'not_found',
    'not_allowed',
    'superseded',
    'invalid',
    'unsupported_codec',
    'internal',
  ]),
  message: z.string(),
});
export type BridgeErrorBody = z.infer<typeof bridgeErrorSchema>;

// The error comes first: `unknown` would take a missing result for one.
export const bridgeReplySchema = z.union([
  z.object({ id: z.number().int(), error: bridgeErrorSchema }),
  z.object({ id: z.number().int(), result: z.unknown() }),
]);
export type BridgeReply = z.infer<typeof bridgeReplySchema>;

/** Events, SFU -> worker. */
export const bridgeEventSchema = z.discriminatedUnion('event', [
  z.object({ event: z.literal('participantJoined'), participant: bridgeParticipantSchema }),
  z.object({ event: z.literal('participantUpdated'), participant: bridgeParticipantSchema }),
  z.object({ event: z.literal('participantLeft'), participantId: z.string(), identity: z.string() }),
  z.object({
    event: z.literal('trackPublished'),
    participantId: z.string(),
    identity: z.string(),
    track: bridgeTrackSchema,
  }),
  z.object({
    event: z.literal('trackUnpublished'),
    participantId: z.string(),
    identity: z.string(),
    trackId: z.string(),
  }),
  z.object({ event: z.literal('trackMuted'), trackId: z.string(), muted: z.boolean() }),
  /** The consumer's current simulcast layer; null when nothing is sent. */
  z.object({
    event: z.literal('layersChanged'),
    subscriptionId: z.string(),
    spatialLayer: z.number().nullable(),
  }),
  /** The SFU closed the subscription (the track went away). */
  z.object({ event: z.literal('subscriptionClosed'), subscriptionId: z.string(), trackId: z.string() }),
  /** Identities, loudest first. */
  z.object({ event: z.literal('activeSpeakers'), identities: z.array(z.string()) }),
  /** UpdateParticipant changed this worker's own metadata (UpdateLayout uses it). */
  z.object({ event: z.literal('metadataChanged'), metadata: z.string() }),
  /** Ingress: the room asks the publication for a keyframe. RTCP PLI arrives too; this is for pipelines without RTCP. */
  z.object({ event: z.literal('keyFrameRequested'), publicationId: z.string() }),
  z.object({ event: z.literal('roomUpdated'), metadata: z.string() }),
  z.object({ event: z.literal('roomClosed') }),
]);
export type BridgeEvent = z.infer<typeof bridgeEventSchema>;
