/** What verified claims allow. */
import { ParticipantInfo_Kind, TrackSource } from '@livekit/protocol';
import type { Claims, VideoGrant } from './claims.ts';
import { AuthError, permissionDenied } from './errors.ts';
import type { Permissions } from './permissions.ts';

/** What somebody who enters a room with a token is there. */
export interface ParticipantGrant {
  identity: string;
  name: string;
  metadata: string;
  attributes: Record<string, string>;
  kind: ParticipantInfo_Kind;
  roomName: string;
  permissions: Permissions;
}

/** What a worker is let in for: one attempt at one job, in one room. */
export interface WorkerGrant extends ParticipantGrant {
  attempt: number;
}

/** Grants that hold for the whole server. */
export type ServerGrant = 'roomCreate' | 'roomList' | 'roomRecord' | 'ingressAdmin';

/** @throws AuthError `permission_denied` */
export function requireGrant(claims: Claims, grant: ServerGrant): void {
  if (!claims.video?.[grant]) throw permissionDenied();
}

/** Grant `roomAdmin` for exactly this room. @throws AuthError `permission_denied` */
export function requireRoomAdmin(claims: Claims, room: string): void {
  const { video } = claims;
  if (!video?.roomAdmin || video.room !== room) throw permissionDenied();
}

/** A source no name stands for keeps the list restricted, as LiveKit has it. */
function trackSource(name: string): TrackSource {
  const value = TrackSource[name.toUpperCase() as keyof typeof TrackSource];
  return typeof value === 'number' ? value : TrackSource.UNKNOWN;
}

function participantKind(name: string): ParticipantInfo_Kind {
  const value = ParticipantInfo_Kind[name.toUpperCase() as keyof typeof ParticipantInfo_Kind];
  return typeof value === 'number' ? value : ParticipantInfo_Kind.STANDARD;
}

/** Publishing and subscribing are allowed unless the token says otherwise. */
function permissionsOf(video: VideoGrant): Permissions {
  const canPublish = video.canPublish ?? true;
  return {
    canPublish,
    canSubscribe: video.canSubscribe ?? true,
    canPublishData: video.canPublishData ?? canPublish,
    canPublishSources: video.canPublishSources.map(trackSource),
    hidden: video.hidden,
    recorder: video.recorder,
  };
}

/**
 * Whom a token lets in, where, and to do what.
 * @throws AuthError `permission_denied` without `roomJoin`, `unauthenticated` when room or identity is missing.
 */
export function participantGrant(claims: Claims): ParticipantGrant {
  const { video, identity, name, metadata, attributes, kind } = claims;
  if (!video?.roomJoin) throw permissionDenied();
  if (!video.room) throw new AuthError('unauthenticated', 'invalid token: it names no room ("video.room")');
  if (!identity) throw new AuthError('unauthenticated', 'invalid token: identity ("sub") cannot be empty');
  return {
    identity,
    name,
    metadata,
    attributes,
    kind: participantKind(kind),
    roomName: video.room,
    permissions: permissionsOf(video),
  };
}

/**
 * Whom a worker's token lets in over the bridge.
 * @param claims verified for the door `bridge`
 * @throws AuthError as {@link participantGrant}, and `permission_denied` when it names no job
 */
export function workerGrant(claims: Claims): WorkerGrant {
  if (!claims.job) throw permissionDenied();
  return { ...participantGrant(claims), attempt: claims.job.attempt };
}
