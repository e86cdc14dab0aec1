/** One connection's hold on an ingress session. */
import type { LeaveReason, SfuParticipant, SfuTrack } from '../../sfu/types.ts';
import type { PublisherConnection, WhipPlace } from './types.ts';

export interface PlaceEvents {
  published(place: Place, tracks: readonly SfuTrack[]): void;
  /** Called once. */
  released(place: Place, reason: LeaveReason, deleted: boolean): void;
}

export class Place implements WhipPlace {
  readonly participant: SfuParticipant;
  readonly #events: PlaceEvents;
  readonly #since = performance.now();
  readonly #listeners: ((reason: LeaveReason) => void)[] = [];
  #connection: PublisherConnection | undefined;
  #held = true;

  constructor(participant: SfuParticipant, events: PlaceEvents) {
    this.participant = participant;
    this.#events = events;
  }

  get room(): WhipPlace['room'] {
    return this.participant.room;
  }

  get silentMs(): number {
    return this.#connection?.silentMs ?? performance.now() - this.#since;
  }

  onClose(listener: (reason: LeaveReason) => void): void {
    this.#listeners.push(listener);
  }

  attach(connection: PublisherConnection): void {
    this.#connection = connection;
    // It was taken away while the connection was made.
    if (!this.#held) connection.close('removed');
  }

  published(tracks: readonly SfuTrack[]): void {
    if (this.#held) this.#events.published(this, tracks);
  }

  release(reason: LeaveReason, deleted = false): void {
    if (!this.#held) return;
    this.#held = false;
    this.#events.released(this, reason, deleted);
  }

  /** Ends the connection; the place is released by it. */
  evict(reason: LeaveReason): void {
    for (const listener of this.#listeners) listener(reason);
    this.#connection?.close(reason);
    this.release(reason);
  }
}
