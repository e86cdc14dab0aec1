/**
 * One session of a WHIP ingress: from the first publisher's arrival to the end, over as many connections as it takes.
 *
 * Without transcoding the publisher is in the target room and this server keeps the state. With it the publisher waits
 * in a room of the server's own, and the worker that takes the job publishes into the target room and keeps the state.
 */
import { IngressState_Status as Status } from '@livekit/protocol';
import type { Logger } from 'pino';
import type { ParticipantGrant } from '../../auth/grants.ts';
import { newId } from '../../sfu/ids.ts';
import type { LeaveReason, SfuParticipant, SfuTrack } from '../../sfu/types.ts';
import type { IngressRecord, IngressSession } from '../../store/ingress-types.ts';
import type { InputMeter } from './meter.ts';
import type { WhipSessionParts } from './parts.ts';
import { Place } from './place.ts';
import { LEFT, refusal } from './reasons.ts';
import { reportInput } from './report.ts';
import { SessionState } from './session-state.ts';
import type { Shown } from './session-state.ts';
import { WhipIngressError } from './types.ts';
import type { WhipPlace } from './types.ts';

/** A publisher that was silent for longer is as good as gone when another one comes, ms. */
const TAKEOVER_MS = 3000;

export class WhipSession {
  readonly #parts: WhipSessionParts;
  readonly #ingressId: string;
  readonly #session: IngressSession;
  readonly #participant: SfuParticipant;
  readonly #state: SessionState;
  readonly #logger: Logger;
  readonly #lease: NodeJS.Timeout;
  readonly #unsubscribe: () => void;
  #holder: Place | undefined;
  #meter: InputMeter | undefined;
  #grace: NodeJS.Timeout | undefined;
  #graceEndsAt: number | undefined;
  /** A connection came up once. */
  #connected = false;
  #over = false;
  readonly #ended = Promise.withResolvers<undefined>();

  /** @throws WhipIngressError, SfuError; nothing is left behind */
  static async begin(
    parts: WhipSessionParts,
    { ingressId, info }: IngressRecord,
    grant: ParticipantGrant,
  ): Promise<WhipSession> {
    const resourceId = newId('IR_');
    const internal = info.enableTranscoding === true;
    const roomName = internal ? `ingress/${resourceId}` : grant.roomName;
    const { identity } = grant;
    const began = await parts.store.beginSession(
      ingressId,
      {
        resourceId,
        source: internal ? { type: 'room', roomName, identity } : { type: 'direct' },
        bridgeUrl: parts.bridgeUrl(),
        startedAtMs: Date.now(),
      },
      parts.leaseMs,
    );
    if (typeof began === 'string') throw refusal(began);
    const state = new SessionState(parts.store, ingressId, began, parts.logger);
    try {
      const room = await parts.sfu.createRoom({ name: roomName, internal });
      return new WhipSession(parts, ingressId, began, room.join({ ...grant }), state);
    } catch (error) {
      parts.sfu.deleteInternalRoom(roomName);
      await state.end(error instanceof Error ? error.message : 'the room did not let it in');
      throw error;
    }
  }

  private constructor(
    parts: WhipSessionParts,
    ingressId: string,
    session: IngressSession,
    participant: SfuParticipant,
    state: SessionState,
  ) {
    this.#parts = parts;
    this.#ingressId = ingressId;
    this.#session = session;
    this.#participant = participant;
    this.#state = state;
    const { sid: roomId, name: room } = participant.room;
    const { resourceId } = session;
    this.#logger = parts.logger.child({
      ingressId,
      resourceId,
      roomId,
      room,
      participantId: participant.sid,
    });
    this.#logger.info({ source: session.source.type }, 'ingress session begun');
    this.#lease = setInterval(() => void this.#renew(), parts.leaseMs / 3);
    this.#unsubscribe = parts.store.onChange(ingressId, (record) => this.#changed(record));
    participant.onClose((reason) => void this.end(LEFT[reason], reason));
  }

  get over(): boolean {
    return this.#over;
  }

  /** Settles when the session is over and that is written down. */
  get ended(): Promise<unknown> {
    return this.#ended.promise;
  }

  /** For the next connection. @throws WhipIngressError `busy` */
  take(): WhipPlace {
    if (this.over) throw new WhipIngressError('unavailable', 'the session has just ended; try again');
    const before = this.#holder;
    if (before && before.silentMs <= TAKEOVER_MS) throw refusal('busy');
    clearTimeout(this.#grace);
    const place = new Place(this.#participant, {
      published: (holder, tracks) => this.#published(holder, tracks),
      released: (holder, reason, deleted) => this.#released(holder, reason, deleted),
    });
    this.#holder = place;
    if (before) {
      this.#logger.info('a silent publisher is replaced');
      this.#stopMeter();
      before.evict('connection_lost');
    }
    return place;
  }

  /**
   * Takes the publisher and the participant out of the room. Never rejects; safe to call twice.
   * @param error for IngressState; empty: it ended as it should
   * @param write false: somebody else has ended the session in the store
   */
  end(error: string, reason: LeaveReason, write = true): Promise<unknown> {
    if (!this.#over) {
      this.#over = true;
      void this.#end(error, reason, write).then(() => this.#ended.resolve(undefined));
    }
    return this.ended;
  }

  async #end(error: string, reason: LeaveReason, write: boolean): Promise<void> {
    // The store's first word may come before its subscription is ours to end.
    await Promise.resolve();
    clearInterval(this.#lease);
    clearTimeout(this.#grace);
    this.#stopMeter();
    this.#unsubscribe();
    this.#holder?.evict(reason);
    this.#participant.close(reason);
    const { source } = this.#session;
    if (source.type === 'room') this.#parts.sfu.deleteInternalRoom(source.roomName);
    this.#logger.info({ reason, why: error }, 'ingress session ended');
    if (write) await this.#state.end(error);
  }

  #published(place: Place, tracks: readonly SfuTrack[]): void {
    if (this.over || this.#holder !== place) return;
    const isFirst = !this.#connected;
    this.#connected = true;
    this.#graceEndsAt = undefined;
    if (this.#session.source.type === 'room') {
      if (isFirst) void this.#queueJob();
      return;
    }
    this.#stopMeter();
    this.#meter = reportInput(this.#participant.room, tracks, (shown) => this.#save(shown), this.#logger);
  }

  #released(place: Place, reason: LeaveReason, deleted: boolean): void {
    if (this.#holder !== place) return;
    this.#holder = undefined;
    this.#stopMeter();
    if (this.over) return;
    if (deleted || reason === 'node_shutdown') {
      void this.end(LEFT[deleted ? 'client_left' : reason], reason);
    } else if (!this.#connected) {
      const error = reason === 'connection_lost' ? 'the media connection of the publisher never came up' : '';
      void this.end(error, reason);
    } else {
      this.#awaitReturn();
    }
  }

  /** A connection that fails while this runs does not begin it anew. */
  #awaitReturn(): void {
    const { graceMs } = this.#parts;
    const seconds = Math.round(graceMs / 100) / 10;
    this.#graceEndsAt ??= performance.now() + graceMs;
    this.#logger.info({ graceMs }, 'publisher lost, waiting for its return');
    this.#grace = setTimeout(
      () =>
        void this.end(
          `the publisher's connection was lost, and it did not return within ${seconds} s`,
          'connection_lost',
        ),
      Math.max(0, this.#graceEndsAt - performance.now()),
    );
    if (this.#session.source.type === 'room') return;
    this.#save({
      status: Status.ENDPOINT_BUFFERING,
      roomId: this.#participant.room.sid,
      tracks: [],
      error: `the publisher's connection was lost; it may return within ${seconds} s`,
    });
  }

  #save(shown: Shown): void {
    if (this.over) return;
    void this.#state.save(shown).then((current) => {
      if (!current) void this.end('', 'superseded', false);
    });
  }

  #stopMeter(): void {
    this.#meter?.close();
    this.#meter = undefined;
  }

  async #queueJob(): Promise<void> {
    try {
      await this.#parts.queue.add(this.#ingressId, this.#session.attempt);
    } catch (err) {
      this.#logger.error({ err }, 'ingress job could not be queued');
      void this.end('the job for a worker could not be queued', 'removed');
    }
  }

  async #renew(): Promise<void> {
    const { store, leaseMs } = this.#parts;
    try {
      const current = await store.renewLease(this.#ingressId, this.#session.resourceId, leaseMs);
      if (!current) void this.end('', 'superseded', false);
    } catch (err) {
      this.#logger.warn({ err }, 'lease of an ingress could not be renewed');
    }
  }

  #changed(record: IngressRecord | undefined): void {
    if (record?.session?.resourceId !== this.#session.resourceId) void this.end('', 'removed', false);
    else if (record.info.enabled === false) void this.end('the ingress was disabled', 'removed');
  }
}
