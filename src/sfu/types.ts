/** The face of the SFU towards signalling, bridge and API. mediasoup's own types show through on purpose. */
import type { types as ms } from 'mediasoup';
import type {
  ParticipantInfo_Kind,
  Room as RoomInfo,
  ParticipantInfo,
  TrackInfo,
  TrackSource,
} from '@livekit/protocol';
import type { Permissions } from '../auth/permissions.ts';

export type { Permissions };

export interface RoomOptions {
  name: string;
  /** Seconds an empty room that nobody has joined yet is kept (default 300). */
  emptyTimeout?: number;
  /** Seconds a room is kept after its last visible participant left (default 20). */
  departureTimeout?: number;
  /** 0: no limit. Hidden participants do not count. */
  maxParticipants?: number;
  metadata?: string;
  /**
   * For the server's own use (default false): it is in no list and causes no event outside itself, and is found by
   * {@link Sfu.internalRoom} alone. Internal names are apart from those of ordinary rooms.
   */
  internal?: boolean;
}

export interface JoinOptions {
  identity: string;
  name?: string;
  metadata?: string;
  attributes?: Record<string, string>;
  kind?: ParticipantInfo_Kind;
  permissions: Permissions;
}

export interface TrackOptions {
  source: TrackSource;
  name?: string;
  /** Pixels of the top layer, when known. */
  width?: number;
  height?: number;
  /** WHIP stream (msid) the track belongs to. */
  stream?: string;
}

/** What RoomService.UpdateParticipant may change; what is absent stays. */
export interface ParticipantUpdate {
  name?: string;
  metadata?: string;
  /** Merged into what is there; an empty value removes its key. */
  attributes?: Record<string, string>;
  /** Replaces all of them but `hidden` and `recorder`, which stay as they are. Without `canPublish` (or the source in `canPublishSources`) published tracks are closed. */
  permissions?: Permissions;
}

/** Why a participant was removed. */
export type LeaveReason =
  | 'client_left'
  | 'duplicate_identity'
  | 'removed'
  | 'room_deleted'
  | 'connection_lost'
  | 'superseded'
  | 'node_shutdown';

/** Thrown by everything here; codes are Twirp's. */
export class SfuError extends Error {
  readonly code:
    | 'not_found'
    | 'already_exists'
    | 'invalid_argument'
    | 'resource_exhausted'
    | 'failed_precondition'
    | 'permission_denied'
    | 'unavailable';
  constructor(code: SfuError['code'], message: string) {
    super(message);
    this.name = 'SfuError';
    this.code = code;
  }
}

export interface SfuTrack {
  readonly sid: string;
  readonly participant: SfuParticipant;
  readonly kind: 'audio' | 'video';
  readonly producer: ms.Producer;
  /** e.g. `video/VP8`. */
  readonly mimeType: string;
  readonly source: TrackSource;
  readonly name: string;
  readonly muted: boolean;
  /** Simulcast layers, 1 when not simulcast. */
  readonly spatialLayers: number;
  info(): TrackInfo;
  /** Pauses or resumes the producer. */
  setMuted(muted: boolean): Promise<void>;
  /**
   * One shared keyframe schedule; see the bridge's keyFrameCadence. Answers a function that gives the wish back.
   * @param consumer who wants them: mediasoup takes a request only through an active consumer, and asks for the
   *   simulcast layer that one receives
   */
  requestKeyFrameCadence(intervalMs: number, consumer: ms.Consumer): () => void;
  /** Calls back whenever the publisher is asked for a keyframe (PLI or FIR). Answers a function that ends it. */
  onKeyFrameRequest(listener: () => void): () => void;
  /** Closes the producer and unpublishes. */
  close(): void;
}

export interface SfuParticipant {
  readonly sid: string;
  readonly identity: string;
  readonly room: SfuRoom;
  readonly permissions: Permissions;
  readonly kind: ParticipantInfo_Kind;
  readonly joinedAtMs: number;
  readonly closed: boolean;
  readonly tracks: ReadonlyMap<string, SfuTrack>;
  readonly name: string;
  readonly attributes: Readonly<Record<string, string>>;
  /** Setting it is {@link update} with metadata alone. */
  metadata: string;
  info(): ParticipantInfo;
  /** Calls back after every {@link update}, also of a hidden participant. */
  onUpdate(listener: () => void): () => void;
  /** Announces a producer as a published track. The track goes when the producer closes. @throws SfuError */
  publish(producer: ms.Producer, options: TrackOptions): SfuTrack;
  /** Changes everything at once and causes one `participant_updated`. @throws SfuError `invalid_argument` */
  update(change: ParticipantUpdate): void;
  /**
   * Calls back exactly once when the participant is gone; signalling closes its transports there.
   * @returns takes the listener away
   */
  onClose(listener: (reason: LeaveReason) => void): () => void;
  close(reason: LeaveReason): void;
}

export interface SfuRoom {
  readonly sid: string;
  readonly name: string;
  readonly metadata: string;
  /** See {@link RoomOptions.internal}. */
  readonly internal: boolean;
  readonly router: ms.Router;
  readonly closed: boolean;
  /** Everybody, hidden included. */
  readonly participants: ReadonlyMap<string, SfuParticipant>;
  info(): RoomInfo;
  /** An identity that is already there is removed first (`duplicate_identity`), as LiveKit does. @throws SfuError */
  join(options: JoinOptions): SfuParticipant;
  /** On the node's WebRtcServer (UDP and TCP), for `router` of {@link createRouter} or else the room's. */
  createWebRtcTransport(router?: ms.Router): Promise<ms.WebRtcTransport>;
  /**
   * Where clients reach a transport of this room: mediasoup's own list names its TCP port behind our gate. Use this one.
   */
  iceCandidates(transport: ms.WebRtcTransport): ms.IceCandidate[];
  /**
   * Another router in the room's mediasoup worker: for viewers whose payload types are not the room's, as
   * consumers cannot have other ones than their router. Closed with the room; the caller may close it earlier.
   */
  createRouter(mediaCodecs: readonly ms.RouterRtpCodecCapability[]): Promise<ms.Router>;
  /** rtcpMux, comedia false; the caller connects it. */
  createPlainTransport(options: {
    srtp: boolean;
    cryptoSuite?: ms.SrtpCryptoSuite;
  }): Promise<ms.PlainTransport>;
  /** Identities of current speakers, loudest first. */
  activeSpeakers(): string[];
  setMetadata(metadata: string): void;
  on(listener: (event: SfuEvent) => void): () => void;
}

/** Everything that happens, in order; hidden participants cause no participant or track events. */
export type SfuEvent =
  | { type: 'room_started'; room: SfuRoom }
  | { type: 'room_finished'; room: SfuRoom }
  | { type: 'room_updated'; room: SfuRoom }
  | { type: 'participant_joined'; participant: SfuParticipant }
  | { type: 'participant_updated'; participant: SfuParticipant }
  | { type: 'participant_left'; participant: SfuParticipant; reason: LeaveReason }
  | { type: 'track_published'; track: SfuTrack }
  | { type: 'track_unpublished'; track: SfuTrack }
  | { type: 'track_muted'; track: SfuTrack }
  | { type: 'active_speakers'; room: SfuRoom; identities: string[] };

export interface Sfu {
  /** Creates the room, or updates nothing and answers the one that exists (LiveKit's CreateRoom). @throws SfuError */
  createRoom(options: RoomOptions): Promise<SfuRoom>;
  room(name: string): SfuRoom | undefined;
  internalRoom(name: string): SfuRoom | undefined;
  /** All but the internal ones. */
  rooms(): SfuRoom[];
  /** @throws SfuError not_found */
  deleteRoom(name: string): void;
  /** Ends an internal room, if there is one. */
  deleteInternalRoom(name: string): void;
  /** Events of every room but the internal ones. */
  on(listener: (event: SfuEvent) => void): () => void;
  /** Closes every room, then the mediasoup workers. */
  close(): Promise<void>;
}
