/** Somebody in a room. */
import {
  DisconnectReason,
  ParticipantInfo,
  ParticipantInfo_Kind,
  ParticipantInfo_State,
  ParticipantPermission,
  TrackSource,
} from '@livekit/protocol';
import type { types as ms } from 'mediasoup';
import type { Logger } from 'pino';
import type { SfuEvents } from './events.ts';
import { newId } from './ids.ts';
import { checkAttributes, checkMetadata, checkOptionalName } from './limits.ts';
import { Track } from './track.ts';
import { SfuError } from './types.ts';
import type {
  JoinOptions,
  LeaveReason,
  ParticipantUpdate,
  Permissions,
  SfuParticipant,
  SfuRoom,
  SfuTrack,
  TrackOptions,
} from './types.ts';

const DISCONNECT_REASONS: Readonly<Record<LeaveReason, DisconnectReason>> = {
  client_left: DisconnectReason.CLIENT_INITIATED,
  duplicate_identity: DisconnectReason.DUPLICATE_IDENTITY,
  superseded: DisconnectReason.DUPLICATE_IDENTITY,
  removed: DisconnectReason.PARTICIPANT_REMOVED,
  room_deleted: DisconnectReason.ROOM_DELETED,
  connection_lost: DisconnectReason.CONNECTION_TIMEOUT,
  node_shutdown: DisconnectReason.SERVER_SHUTDOWN,
};

/** What the room does for its participants. */
export interface ParticipantHost {
  readonly room: SfuRoom;
  readonly events: SfuEvents;
  /** A visible participant's track came. */
  trackPublished(track: SfuTrack): void;
  /** Called once, before anybody else hears of it. */
  participantClosed(participant: Participant): void;
}

export class Participant implements SfuParticipant {
  readonly sid = newId('PA_');
  readonly identity: string;
  readonly kind: ParticipantInfo_Kind;
  readonly joinedAtMs = Date.now();
  readonly #host: ParticipantHost;
  readonly #logger: Logger;
  readonly #tracks = new Map<string, SfuTrack>();
  readonly #closeListeners = new Set<(reason: LeaveReason) => void>();
  readonly #updateListeners = new Set<() => void>();
  #permissions: Permissions;
  #name: string;
  #metadata: string;
  #attributes: Record<string, string>;
  /** LiveKit's version of the ParticipantInfo: raised by every change. */
  #version = 1;
  #closeReason: LeaveReason | undefined;

  /** @throws SfuError `invalid_argument` */
  constructor(host: ParticipantHost, options: JoinOptions, logger: Logger) {
    const { name = '', metadata = '', attributes = {} } = options;
    checkOptionalName('participant name', name);
    checkMetadata('participant metadata', metadata);
    checkAttributes(attributes);
    this.#host = host;
    this.identity = options.identity;
    this.kind = options.kind ?? ParticipantInfo_Kind.STANDARD;
    this.#permissions = { ...options.permissions };
    this.#name = name;
    this.#metadata = metadata;
    this.#attributes = { ...attributes };
    this.#logger = logger.child({ participantId: this.sid, identity: this.identity });
  }

  get room(): SfuRoom {
    return this.#host.room;
  }

  get permissions(): Permissions {
    return this.#permissions;
  }

  get closed(): boolean {
    return this.#closeReason !== undefined;
  }

  get tracks(): ReadonlyMap<string, SfuTrack> {
    return this.#tracks;
  }

  get name(): string {
    return this.#name;
  }

  get attributes(): Readonly<Record<string, string>> {
    return this.#attributes;
  }

  get metadata(): string {
    return this.#metadata;
  }

  set metadata(metadata: string) {
    this.update({ metadata });
  }

  info(): ParticipantInfo {
    const { canSubscribe, canPublish, canPublishData, canPublishSources, hidden, recorder } =
      this.#permissions;
    return new ParticipantInfo({
      sid: this.sid,
      identity: this.identity,
      name: this.#name,
      state: this.closed ? ParticipantInfo_State.DISCONNECTED : ParticipantInfo_State.ACTIVE,
      metadata: this.#metadata,
      attributes: { ...this.#attributes },
      joinedAt: BigInt(Math.floor(this.joinedAtMs / 1000)),
      joinedAtMs: BigInt(this.joinedAtMs),
      kind: this.kind,
      version: this.#version,
      isPublisher: this.#tracks.size > 0,
      tracks: [...this.#tracks.values()].map((track) => track.info()),
      permission: new ParticipantPermission({
        canSubscribe,
        canPublish,
        canPublishData,
        canPublishSources: [...canPublishSources],
        hidden,
        recorder,
      }),
      disconnectReason: this.#closeReason
        ? DISCONNECT_REASONS[this.#closeReason]
        : DisconnectReason.UNKNOWN_REASON,
    });
  }

  update({ name, metadata, attributes, permissions }: ParticipantUpdate): void {
    if (name !== undefined) checkOptionalName('participant name', name);
    if (metadata !== undefined) checkMetadata('participant metadata', metadata);
    const merged = Object.fromEntries(
      Object.entries({ ...this.#attributes, ...attributes }).filter(([, value]) => value !== ''),
    );
    checkAttributes(merged);
    this.#name = name ?? this.#name;
    this.#metadata = metadata ?? this.#metadata;
    this.#attributes = merged;
    const { hidden, recorder } = this.#permissions;
    this.#permissions = { ...this.#permissions, ...permissions, hidden, recorder };
    for (const track of this.#tracks.values()) {
      if (!this.#mayPublish(track.source)) track.close();
    }
    this.#version += 1;
    if (!hidden && !this.closed) this.#host.events.emit({ type: 'participant_updated', participant: this });
    for (const listener of [...this.#updateListeners]) this.#call(listener);
  }

  onUpdate(listener: () => void): () => void {
    const entry = (): void => listener();
    this.#updateListeners.add(entry);
    return () => void this.#updateListeners.delete(entry);
  }

  publish(producer: ms.Producer, options: TrackOptions): SfuTrack {
    if (this.closed) throw new SfuError('failed_precondition', 'the participant has left the room');
    if (producer.closed) throw new SfuError('failed_precondition', 'the track has been closed already');
    if (!this.#mayPublish(options.source)) {
      const what = this.#permissions.canPublish
        ? `a track of source ${TrackSource[options.source]}`
        : 'tracks';
      throw new SfuError('permission_denied', `the access token does not allow publishing ${what}`);
    }
    checkOptionalName('track name', options.name ?? '');
    const track = new Track(this, producer, options, this.#host.events, this.#logger);
    this.#tracks.set(track.sid, track);
    this.#version += 1;
    producer.observer.once('close', () => this.#unpublished(track));
    this.#logger.info({ trackId: track.sid, mimeType: track.mimeType }, 'track published');
    if (!this.#permissions.hidden) {
      this.#host.trackPublished(track);
      this.#host.events.emit({ type: 'track_published', track });
    }
    return track;
  }

  onClose(listener: (reason: LeaveReason) => void): () => void {
    const reason = this.#closeReason;
    if (reason !== undefined) {
      this.#call(() => listener(reason));
      return () => undefined;
    }
    const entry = (closeReason: LeaveReason): void => listener(closeReason);
    this.#closeListeners.add(entry);
    return () => void this.#closeListeners.delete(entry);
  }

  close(reason: LeaveReason): void {
    if (this.closed) return;
    this.#closeReason = reason;
    this.#version += 1;
    this.#host.participantClosed(this);
    for (const track of [...this.#tracks.values()]) track.close();
    this.#logger.info({ reason }, 'participant left');
    if (!this.#permissions.hidden) {
      this.#host.events.emit({ type: 'participant_left', participant: this, reason });
    }
    for (const listener of this.#closeListeners) this.#call(() => listener(reason));
    this.#closeListeners.clear();
    this.#updateListeners.clear();
  }

  #mayPublish(source: TrackSource): boolean {
    const { canPublish, canPublishSources } = this.#permissions;
    return canPublish && (canPublishSources.length === 0 || canPublishSources.includes(source));
  }

  #unpublished(track: SfuTrack): void {
    if (!this.#tracks.delete(track.sid)) return;
    this.#version += 1;
    this.#logger.info({ trackId: track.sid }, 'track unpublished');
    if (!this.#permissions.hidden) this.#host.events.emit({ type: 'track_unpublished', track });
  }

  #call(listener: () => void): void {
    try {
      listener();
    } catch (err) {
      this.#logger.error({ err }, 'listener of a participant threw');
    }
  }
}
