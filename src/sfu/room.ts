/** A room: a mediasoup router and who is in it. */
import { Codec, Room as RoomInfo } from '@livekit/protocol';
import type { types as ms } from 'mediasoup';
import type { Logger } from 'pino';
import { ActiveSpeakers } from './active-speakers.ts';
import type { SfuEvents, SfuListener } from './events.ts';
import { newId } from './ids.ts';
import { checkMetadata, checkName } from './limits.ts';
import { Participant } from './participant.ts';
import type { ParticipantHost } from './participant.ts';
import { SfuError } from './types.ts';
import type { JoinOptions, LeaveReason, RoomOptions, SfuParticipant, SfuRoom, SfuTrack } from './types.ts';

/** LiveKit's defaults, seconds. */
export const DEFAULT_EMPTY_TIMEOUT = 300;
export const DEFAULT_DEPARTURE_TIMEOUT = 20;
/** A WebRTC transport's first guess of what a viewer can take, bit/s: enough for one 720p layer. */
const INITIAL_OUTGOING_BITRATE = 2_000_000;
/** Off: signalling notices silent peers by what comes from them, see signaling/connection.ts. */
const ICE_CONSENT_TIMEOUT = 0;
const MAX_TIMER_MS = 2 ** 31 - 1;

/** What a room needs of the node it is on. */
export interface RoomParts {
  router: ms.Router;
  audioLevels: ms.AudioLevelObserver;
  webRtcServer: ms.WebRtcServer;
  /** Where clients reach the WebRtcServer over TCP. */
  tcpPort: number;
  /** In the same mediasoup worker. */
  createRouter: (mediaCodecs: ms.RouterRtpCodecCapability[]) => Promise<ms.Router>;
  /** For PlainTransports. */
  plainListenInfo: ms.TransportListenInfo;
  events: SfuEvents;
  logger: Logger;
  /** Called once, first of all, when the room ends. */
  onClosed: (room: Room) => void;
}

export class Room implements SfuRoom {
  readonly sid = newId('RM_');
  readonly name: string;
  readonly internal: boolean;
  readonly router: ms.Router;
  readonly #parts: RoomParts;
  readonly #logger: Logger;
  readonly #host: ParticipantHost;
  readonly #participants = new Map<string, SfuParticipant>();
  readonly #speakers: ActiveSpeakers;
  readonly #createdAtMs = Date.now();
  readonly #emptyTimeout: number;
  readonly #departureTimeout: number;
  readonly #maxParticipants: number;
  readonly #sideRouters = new Set<ms.Router>();
  #metadata: string;
  #closed = false;
  /** Whether a visible participant has ever been here. */
  #visited = false;
  #emptyTimer: NodeJS.Timeout | undefined;

  /** `options` are checked already. */
  constructor(options: RoomOptions, parts: RoomParts) {
    this.name = options.name;
    this.internal = options.internal ?? false;
    this.router = parts.router;
    this.#parts = parts;
    this.#logger = parts.logger.child({ roomId: this.sid, room: this.name });
    this.#emptyTimeout = secondsOr(options.emptyTimeout, DEFAULT_EMPTY_TIMEOUT);
    this.#departureTimeout = secondsOr(options.departureTimeout, DEFAULT_DEPARTURE_TIMEOUT);
    this.#maxParticipants = options.maxParticipants ?? 0;
    this.#metadata = options.metadata ?? '';
    this.#speakers = new ActiveSpeakers((identities) => {
      parts.events.emit({ type: 'active_speakers', room: this, identities });
    });
    this.#host = {
      room: this,
      events: parts.events,
      trackPublished: (track) => this.#trackPublished(track),
      participantClosed: (participant) => this.#participantClosed(participant),
    };
    parts.audioLevels.on('volumes', (volumes) => this.#volumes(volumes));
    parts.router.on('workerclose', () => this.close('node_shutdown'));
    this.#closeWhenEmpty();
  }

  get metadata(): string {
    return this.#metadata;
  }

  get closed(): boolean {
    return this.#closed;
  }

  get participants(): ReadonlyMap<string, SfuParticipant> {
    return this.#participants;
  }

  info(): RoomInfo {
    const visible = this.#visible();
    return new RoomInfo({
      sid: this.sid,
      name: this.name,
      emptyTimeout: Math.ceil(this.#emptyTimeout),
      departureTimeout: Math.ceil(this.#departureTimeout),
      maxParticipants: this.#maxParticipants,
      creationTime: BigInt(Math.floor(this.#createdAtMs / 1000)),
      creationTimeMs: BigInt(this.#createdAtMs),
      metadata: this.#metadata,
      numParticipants: visible.length,
      numPublishers: visible.filter((participant) => participant.tracks.size > 0).length,
      activeRecording: [...this.#participants.values()].some(({ permissions }) => permissions.recorder),
      enabledCodecs: enabledCodecs(this.router),
    });
  }

  join(options: JoinOptions): SfuParticipant {
    if (this.#closed) throw new SfuError('failed_precondition', 'the room has ended');
    checkName('participant identity', options.identity);
    const participant = new Participant(this.#host, options, this.#logger);
    const before = this.#participants.get(options.identity);
    const others = this.#visible().filter((other) => other !== before).length;
    if (this.#maxParticipants > 0 && !options.permissions.hidden && others >= this.#maxParticipants) {
      throw new SfuError(
        'resource_exhausted',
        `the room is full: it takes ${this.#maxParticipants} participants`,
      );
    }
    before?.close('duplicate_identity');
    this.#participants.set(options.identity, participant);
    this.#logger.info({ participantId: participant.sid, identity: options.identity }, 'participant joined');
    if (!options.permissions.hidden) {
      this.#visited = true;
      clearTimeout(this.#emptyTimer);
      this.#parts.events.emit({ type: 'participant_joined', participant });
    }
    return participant;
  }

  async createRouter(mediaCodecs: readonly ms.RouterRtpCodecCapability[]): Promise<ms.Router> {
    const router = await this.#parts.createRouter([...mediaCodecs]);
    if (this.#closed) {
      router.close();
      throw new SfuError('failed_precondition', 'the room has ended');
    }
    this.#sideRouters.add(router);
    router.observer.once('close', () => this.#sideRouters.delete(router));
    return router;
  }

  createWebRtcTransport(router: ms.Router = this.router): Promise<ms.WebRtcTransport> {
    return router.createWebRtcTransport({
      webRtcServer: this.#parts.webRtcServer,
      iceConsentTimeout: ICE_CONSENT_TIMEOUT,
      enableUdp: true,
      enableTcp: true,
      preferUdp: true,
      initialAvailableOutgoingBitrate: INITIAL_OUTGOING_BITRATE,
    });
  }

  iceCandidates({ iceCandidates }: ms.WebRtcTransport): ms.IceCandidate[] {
    const { tcpPort } = this.#parts;
    return iceCandidates.map((each) => (each.protocol === 'tcp' ? { ...each, port: tcpPort } : each));
  }

  createPlainTransport(options: {
    srtp: boolean;
    cryptoSuite?: ms.SrtpCryptoSuite;
  }): Promise<ms.PlainTransport> {
    return this.router.createPlainTransport({
      listenInfo: this.#parts.plainListenInfo,
      rtcpMux: true,
      comedia: false,
      enableSrtp: options.srtp,
      ...(options.cryptoSuite === undefined ? {} : { srtpCryptoSuite: options.cryptoSuite }),
    });
  }

  activeSpeakers(): string[] {
    return this.#speakers.current;
  }

  setMetadata(metadata: string): void {
    checkMetadata('room metadata', metadata);
    if (metadata === this.#metadata) return;
    this.#metadata = metadata;
    this.#parts.events.emit({ type: 'room_updated', room: this });
  }

  on(listener: SfuListener): () => void {
    return this.#parts.events.onRoom(this, listener);
  }

  /** Ends the room: everybody leaves with `reason`. */
  close(reason: LeaveReason): void {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#emptyTimer);
    this.#parts.onClosed(this);
    for (const participant of [...this.#participants.values()]) participant.close(reason);
    this.#speakers.close();
    this.#logger.info({ reason }, 'room finished');
    this.#parts.events.emit({ type: 'room_finished', room: this });
    for (const router of [...this.#sideRouters]) router.close();
    this.router.close();
  }

  #visible(): SfuParticipant[] {
    return [...this.#participants.values()].filter((participant) => !participant.permissions.hidden);
  }

  /** Starts the timer that ends a room without visible participants. */
  #closeWhenEmpty(): void {
    const seconds = this.#visited ? this.#departureTimeout : this.#emptyTimeout;
    clearTimeout(this.#emptyTimer);
    this.#emptyTimer = setTimeout(() => this.close('room_deleted'), Math.min(seconds * 1000, MAX_TIMER_MS));
  }

  #participantClosed(participant: Participant): void {
    // A replacement may have the identity already.
    if (this.#participants.get(participant.identity) === participant) {
      this.#participants.delete(participant.identity);
    }
    this.#speakers.remove(participant.identity);
    if (!this.#closed && !participant.permissions.hidden && this.#visible().length === 0)
      this.#closeWhenEmpty();
  }

  #trackPublished(track: SfuTrack): void {
    if (track.kind !== 'audio') return;
    this.#parts.audioLevels.addProducer({ producerId: track.producer.id }).catch((err: unknown) => {
      if (!track.producer.closed)
        this.#logger.warn({ err, trackId: track.sid }, 'no speaker detection for track');
    });
  }

  #volumes(volumes: ms.AudioLevelObserverVolume[]): void {
    const levels = new Map<string, number>();
    for (const { producer, volume } of volumes) {
      const speaker = this.#visible().find((participant) =>
        [...participant.tracks.values()].some((track) => track.producer.id === producer.id),
      );
      if (!speaker) continue;
      levels.set(speaker.identity, Math.max(volume, levels.get(speaker.identity) ?? -Infinity));
    }
    this.#speakers.heard(levels);
  }
}

function enabledCodecs(router: ms.Router): Codec[] {
  const codecs = router.rtpCapabilities.codecs ?? [];
  const names = new Set(
    codecs
      .map(({ mimeType }) => mimeType)
      .filter((mimeType) => !/\/(rtx|CN|telephone-event)$/.test(mimeType)),
  );
  return [...names].map((mime) => new Codec({ mime }));
}

/** 0 stands for the default, as in LiveKit's protobuf. */
function secondsOr(seconds: number | undefined, otherwise: number): number {
  return seconds === undefined || seconds === 0 ? otherwise : seconds;
}
