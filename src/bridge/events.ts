/** What happens in the room, as the bridge tells it. Pure. */
import type { SfuEvent, SfuParticipant } from '../sfu/types.ts';
import type { BridgeEvent } from './protocol.ts';
import { showParticipant, showTrack } from './view.ts';

/** Undefined: nothing to tell. `self` hears nothing of its own tracks and doings. */
export function bridgeEvent(event: SfuEvent, self: SfuParticipant): BridgeEvent | undefined {
  switch (event.type) {
    case 'participant_joined':
    case 'participant_updated': {
      const { participant } = event;
      // It may have left meanwhile; then it says so in turn.
      if (participant === self) return undefined;
      const name = event.type === 'participant_joined' ? 'participantJoined' : 'participantUpdated';
      return { event: name, participant: showParticipant(participant) };
    }
    case 'participant_left': {
      const { sid: participantId, identity } = event.participant;
      return event.participant === self ? undefined : { event: 'participantLeft', participantId, identity };
    }
    case 'track_published': {
      const { sid: participantId, identity } = event.track.participant;
      if (event.track.participant === self) return undefined;
      return { event: 'trackPublished', participantId, identity, track: showTrack(event.track) };
    }
    case 'track_unpublished': {
      const { sid: participantId, identity } = event.track.participant;
      if (event.track.participant === self) return undefined;
      return { event: 'trackUnpublished', participantId, identity, trackId: event.track.sid };
    }
    case 'track_muted': {
      if (event.track.participant === self) return undefined;
      return { event: 'trackMuted', trackId: event.track.sid, muted: event.track.muted };
    }
    case 'active_speakers':
      return { event: 'activeSpeakers', identities: event.identities };
    case 'room_updated':
      return { event: 'roomUpdated', metadata: event.room.metadata };
    case 'room_started':
    case 'room_finished':
      // A session hears of its room's end as a participant who leaves.
      return undefined;
  }
}
