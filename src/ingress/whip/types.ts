/** What WHIP signalling and the ingresses it brings in know of each other. */
import type { ParticipantGrant } from '../../auth/grants.ts';
import type { LeaveReason, SfuParticipant, SfuRoom, SfuTrack } from '../../sfu/types.ts';

/** Ingresses, as signalling sees them. */
export interface IngressWhip {
  /**
   * Whom a stream key lets in. Nothing is taken yet.
   * @throws WhipIngressError `not_found`, `forbidden`, `unavailable`
   */
  admit(streamKey: string): Promise<WhipPublisher>;
  /** Ends every session, and answers when that is written down. */
  close(): Promise<void>;
}

/** Somebody who came with the stream key of an ingress that takes publishers. */
export interface WhipPublisher {
  /** The participant the ingress publishes as. */
  readonly grant: ParticipantGrant;
  /**
   * Takes the ingress for one connection: begins its session, or goes on in one whose connection was lost.
   * Whoever calls it owns the place and must {@link WhipPlace.release release} it.
   * @throws WhipIngressError `busy`, `not_found`, `forbidden`, `unavailable`; SfuError when the room does not let it in
   */
  begin(): Promise<WhipPlace>;
}

/** Where a publisher's connection belongs: a room, and a participant that outlives the connection. */
export interface WhipPlace {
  readonly room: SfuRoom;
  readonly participant: SfuParticipant;
  /** Calls back when the participant is gone while this place is held. */
  onClose(listener: (reason: LeaveReason) => void): void;
  /** The connection that holds the place from now on; it is closed when the session ends or another takes over. */
  attach(connection: PublisherConnection): void;
  /** The connection is up and its tracks are published. */
  published(tracks: readonly SfuTrack[]): void;
  /**
   * The connection is over. The session is too when the publisher has deleted it, or nothing ever came of it; else
   * it waits for the publisher to return. Safe to call twice.
   */
  release(reason: LeaveReason, deleted?: boolean): void;
}

export interface PublisherConnection {
  /** Milliseconds since anything was heard of the publisher. */
  readonly silentMs: number;
  close(reason: LeaveReason): void;
}

/** Why a publisher is not let in; `message` is for its user and shows no key. */
export class WhipIngressError extends Error {
  override readonly name = 'WhipIngressError';
  readonly code: 'not_found' | 'forbidden' | 'busy' | 'unavailable';
  constructor(code: WhipIngressError['code'], message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
