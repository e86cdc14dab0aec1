/**
 * Who sits on a participant. A client that publishes over WHIP and watches over WHEP with one token is one
 * participant with two sessions, and leaves with the last of them. Anything else that comes with an identity
 * that is there (another token, a second publishing session after a reload) replaces it, as LiveKit does.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { LeaveReason, SfuParticipant, SfuRoom } from '../sfu/types.ts';
import type { SignalingGrant } from './types.ts';

export type Protocol = 'whip' | 'whep';

export interface Seat {
  readonly participant: SfuParticipant;
  /** Calls back when the participant is gone while the seat is held. */
  onClose(listener: (reason: LeaveReason) => void): void;
  /**
   * The participant leaves if this was its last session. Safe to call twice.
   * @param deleted the client has ended its session itself
   */
  release(reason: LeaveReason, deleted?: boolean): void;
}

/** The token a request came with, as a hash: enough to know it again, useless to anybody else. */
export class TokenHash {
  readonly #hash: Buffer | undefined;

  constructor(authorization: string | undefined) {
    this.#hash =
      authorization === undefined ? undefined : createHash('sha256').update(authorization).digest();
  }

  /** Two requests without a token do not match. */
  matches(other: TokenHash): boolean {
    return this.#hash !== undefined && other.#hash !== undefined && timingSafeEqual(this.#hash, other.#hash);
  }
}

interface Sitting {
  token: TokenHash;
  protocols: Set<Protocol>;
}

const sittings = new WeakMap<SfuParticipant, Sitting>();

/** @throws SfuError when the room does not let the participant in */
export function takeSeat(room: SfuRoom, grant: SignalingGrant, token: TokenHash, protocol: Protocol): Seat {
  const present = room.participants.get(grant.identity);
  const shared = present && sittings.get(present);
  if (present && shared?.token.matches(token) && !shared.protocols.has(protocol)) {
    return seat(present, shared, protocol);
  }
  const participant = room.join({ ...grant });
  const sitting: Sitting = { token, protocols: new Set() };
  sittings.set(participant, sitting);
  return seat(participant, sitting, protocol);
}

function seat(participant: SfuParticipant, sitting: Sitting, protocol: Protocol): Seat {
  sitting.protocols.add(protocol);
  let held = true;
  return {
    participant,
    onClose: (listener) => void participant.onClose(listener),
    release: (reason) => {
      if (!held) return;
      held = false;
      sitting.protocols.delete(protocol);
      if (sitting.protocols.size === 0) participant.close(reason);
    },
  };
}
