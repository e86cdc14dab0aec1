/** Which tracks an egress wants of a room. Pure. */
import type { BridgeParticipant, BridgeTrack } from '../bridge/protocol.ts';
import type { TrackRole } from '../store/types.ts';
import type { EgressSource } from './plan-types.ts';

/** A track an egress wants, with whose it is. */
export interface WantedTrack {
  track: BridgeTrack;
  participantId: string;
  identity: string;
}

/** Participants in the order they joined, so that tiles do not jump when somebody comes or goes. */
function inOrder(participants: Iterable<BridgeParticipant>): BridgeParticipant[] {
  return [...participants].sort(
    (a, b) => a.joinedAt - b.joinedAt || (a.participantId < b.participantId ? -1 : 1),
  );
}

/** Every track of a room, participants in the order they joined. */
export function allTracks(participants: Iterable<BridgeParticipant>): WantedTrack[] {
  return inOrder(participants).flatMap(({ participantId, identity, tracks }) =>
    tracks.map((track) => ({ track, participantId, identity })),
  );
}

/**
 * The tracks an egress wants now.
 *
 * @param roles roles of named tracks seen so far: a named track that was republished counts as the same.
 */
export function selectTracks(
  source: EgressSource,
  participants: Iterable<BridgeParticipant>,
  roles: ReadonlyMap<string, TrackRole>,
): WantedTrack[] {
  const tracks = allTracks(participants);
  if (source.type === 'room') {
    return tracks.filter(({ track }) => (track.kind === 'audio' ? !source.videoOnly : !source.audioOnly));
  }
  if (source.type !== 'tracks') return [];
  return [source.audioTrackId, source.videoTrackId].flatMap((trackId) => {
    if (trackId === undefined) return [];
    const named = tracks.find(({ track }) => track.trackId === trackId);
    if (named) return [named];
    const role = roles.get(trackId);
    if (!role) return [];
    const republished = tracks.find(
      ({ track, identity }) =>
        identity === role.identity && track.kind === role.kind && track.source === role.source,
    );
    return republished ? [republished] : [];
  });
}
