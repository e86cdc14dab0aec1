/** What of the room's life belongs into the segment log. Pure. */
import type { BridgeEvent } from '../../bridge/protocol.ts';
import type { EventLine } from '../log/types.ts';

/** @returns undefined for what a recording does not care about */
export function roomEventLine(
  event: BridgeEvent,
): { name: EventLine['name']; data: Record<string, string> } | undefined {
  switch (event.event) {
    case 'participantJoined':
      return { name: 'join', data: { identity: event.participant.identity } };
    case 'participantLeft':
      return { name: 'leave', data: { identity: event.identity } };
    case 'trackPublished': {
      const { trackId, mimeType } = event.track;
      return { name: 'publish', data: { identity: event.identity, trackId, mimeType } };
    }
    case 'trackUnpublished':
      return { name: 'unpublish', data: { identity: event.identity, trackId: event.trackId } };
    case 'trackMuted':
      return { name: event.muted ? 'mute' : 'unmute', data: { trackId: event.trackId } };
    default:
      return undefined;
  }
}
