/** One WHIP or WHEP session: a seat in a room and a transport, which end together. */
import { randomBytes } from 'node:crypto';
import type { types as ms } from 'mediasoup';
import type { Logger } from 'pino';
import type { LeaveReason } from '../sfu/types.ts';
import { ConnectionWatch } from './connection.ts';
import { SignalingError } from './errors.ts';
import { parseFragment, writeFragment } from './sdp/fragment.ts';
import type { Offer } from './sdp/offer.ts';
import type { Seat, TokenHash } from './seats.ts';
import type { SignalingGrant, SignalingTiming } from './types.ts';

export interface SessionParts {
  offer: Offer;
  /** Sections the answer keeps. */
  mids: readonly string[];
  seat: Seat;
  transport: ms.WebRtcTransport;
  grant: SignalingGrant;
  /** Of the request that began the session. */
  token: TokenHash;
  /** Whoever knows the session's URL may change and end it: its client has no token (default false). */
  urlOpens?: boolean;
  /** Notice soon when the peer falls silent (default false). */
  watchClosely?: boolean;
  timing: SignalingTiming;
  logger: Logger;
  /** ICE and DTLS are up. */
  connected(): void;
  /** Called once, last of all. */
  closed?(): void;
}

/** What a PATCH is answered with; no fragment when there was only trickling. */
export interface PatchResult {
  fragment?: string;
}

export class Session {
  /** 160 random bits: part of a URL nobody can guess. */
  readonly id = randomBytes(20).toString('base64url');
  readonly transport: ms.WebRtcTransport;
  /** Resolves when the media connection is up, or the session is over. */
  readonly settled: Promise<unknown>;
  readonly #settle: () => void;
  readonly #parts: SessionParts;
  readonly #watch: ConnectionWatch;
  /** The peer's current ICE user name. */
  #remoteUfrag: string;
  #etag = newEtag();
  #restarting = false;
  #closed = false;

  constructor(parts: SessionParts) {
    this.#parts = parts;
    const settled = Promise.withResolvers();
    this.settled = settled.promise;
    this.#settle = () => settled.resolve(undefined);
    this.transport = parts.transport;
    this.#remoteUfrag = parts.offer.transport.usernameFragment;
    this.#watch = new ConnectionWatch(
      parts.transport,
      parts.timing,
      {
        connected: () => {
          this.#settle();
          parts.connected();
        },
        ended: (reason, why) => {
          parts.logger.info({ reason, why }, 'media connection ended');
          this.close(reason);
        },
      },
      parts.watchClosely,
    );
    parts.seat.onClose((reason) => this.close(reason));
    parts.transport.observer.once('close', () => this.close('connection_lost'));
  }

  /** Entity tag of the current ICE session, quoted. */
  get etag(): string {
    return this.#etag;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Milliseconds since anything was heard of the peer. */
  get silentMs(): number {
    return this.#watch.silentMs;
  }

  /** Whether a request comes with the very token that began this session, or needs none. */
  isOpenTo(token: TokenHash): boolean {
    return this.#parts.urlOpens === true || this.#parts.token.matches(token);
  }

  isOf(grant: SignalingGrant): boolean {
    return grant.identity === this.#parts.grant.identity && grant.roomName === this.#parts.grant.roomName;
  }

  /**
   * Trickled candidates are read and not needed: an ICE-lite server learns addresses from the peer's checks.
   * New credentials restart ICE.
   * @throws SdpError, SignalingError 409, 412, 428
   */
  async patch(body: string, ifMatch: string | undefined): Promise<PatchResult> {
    const fragment = parseFragment(body);
    if (ifMatch === undefined) {
      throw new SignalingError(428, 'PATCH needs "If-Match": the ETag to trickle, or * to restart ICE');
    }
    const wanted = ifMatch.split(',').map((tag) => tag.trim());
    if (!wanted.includes('*') && !wanted.includes(this.#etag)) {
      throw new SignalingError(
        412,
        'this is not the current ICE session: "If-Match" must be the latest ETag',
      );
    }
    const { usernameFragment } = fragment;
    if (usernameFragment === undefined || usernameFragment === this.#remoteUfrag) return {};
    if (this.#restarting) throw new SignalingError(409, 'an ICE restart of this session is under way');
    this.#restarting = true;
    try {
      const parameters = await this.transport.restartIce();
      this.#remoteUfrag = usernameFragment;
      this.#etag = newEtag();
      this.#parts.logger.info('ICE restarted');
      const candidates = this.#parts.seat.participant.room.iceCandidates(this.transport);
      return { fragment: writeFragment(this.#parts.offer, this.#parts.mids, { parameters, candidates }) };
    } finally {
      this.#restarting = false;
    }
  }

  /**
   * Gives the seat back and closes the transport; also called when either went by itself.
   * @param deleted the client has said that it is done
   */
  close(reason: LeaveReason, deleted = false): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#settle();
    this.#watch.close();
    this.transport.close();
    this.#parts.seat.release(reason, deleted);
    this.#parts.logger.info({ reason }, 'session ended');
    this.#parts.closed?.();
  }
}

function newEtag(): string {
  return `"${randomBytes(12).toString('base64url')}"`;
}
