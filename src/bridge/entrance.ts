/** How a worker gets its participant: a new one, or the one an earlier attempt has left behind. */
import type { JoinOptions, Sfu, SfuParticipant, SfuRoom } from '../sfu/types.ts';
import { BridgeRequestError } from './errors.ts';
import type { Fence } from './fence.ts';
import { keepsSeat } from './held-seats.ts';
import type { HeldSeats } from './held-seats.ts';

/** Whom an access token lets in, where, and to do what. */
export type BridgeGrant = JoinOptions & {
  roomName: string;
  /** The only attempt it lets in; undefined: any. */
  attempt?: number;
};

/** Who stands behind a participant of the bridge. */
export interface Occupant {
  /** A newer attempt has come, and takes the participant's place or the participant itself. */
  supersede(how: 'replace' | 'take over'): void;
}

export interface EntranceParts {
  fence: Fence;
  seats: HeldSeats;
  /** Participants that came over the bridge. */
  members: WeakMap<SfuParticipant, Occupant>;
}

/**
 * Somebody who publishes may open a room, as people do; a recorder finds one or not. Whoever is hidden and only listens
 * finds the server's internal rooms too: the worker that transcodes a publisher is one.
 *
 * @throws BridgeRequestError `not_found`
 */
export async function roomOf({ roomName, permissions }: BridgeGrant, sfu: Sfu): Promise<SfuRoom> {
  const { hidden, canPublish } = permissions;
  if (!hidden) return sfu.createRoom({ name: roomName });
  const room = sfu.room(roomName) ?? (canPublish ? undefined : sfu.internalRoom(roomName));
  if (!room) throw new BridgeRequestError('not_found', 'requested room does not exist');
  return room;
}

/**
 * Fence, replacement and join in one step: nothing here waits.
 * @throws BridgeRequestError `superseded`; SfuError
 */
export function enter(
  room: SfuRoom,
  grant: BridgeGrant,
  attempt: number,
  parts: EntranceParts,
): SfuParticipant {
  if (!parts.fence.admit(grant.roomName, grant.identity, attempt)) {
    throw new BridgeRequestError(
      'superseded',
      `attempt ${attempt} is over: a newer one has been or is coming`,
    );
  }
  return takeOver(room, grant, parts) ?? room.join(grant);
}

/** The participant an earlier attempt has left here, or has to leave now; undefined when there is to be a new one. */
function takeOver(room: SfuRoom, grant: BridgeGrant, parts: EntranceParts): SfuParticipant | undefined {
  const before = room.participants.get(grant.identity);
  // One that came another way than over the bridge is no attempt of ours.
  const occupant = before && parts.members.get(before);
  if (!occupant) return undefined;
  if (!keepsSeat(before) || !keepsSeat(grant)) {
    occupant.supersede('replace');
    return undefined;
  }
  occupant.supersede('take over');
  parts.seats.take(before);
  const { name = '', metadata = '' } = grant;
  if (before.name !== name || before.metadata !== metadata) before.update({ name, metadata });
  return before;
}
