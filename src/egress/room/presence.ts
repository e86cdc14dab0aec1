/** Whether what an egress is about is in the room. Pure. */
import type { BridgeParticipant } from '../../bridge/protocol.ts';
import type { EgressSource } from '../plan/types.ts';
import type { WantedTrack } from './selection.ts';

/** Named tracks that are not there (yet, or any more) are waited for this long, ms. */
const TRACK_GRACE_MS = 10_000;
/** A participant that is back sooner has only connected anew, ms. */
const PARTICIPANT_GRACE_MS = 1000;
/** A participant who is not in the room when its egress begins has this long to join, ms; LiveKit's. */
const JOIN_WAIT_MS = 30_000;
/** After the first track the others of the same participant have this long to be taken into account, ms. */
export const COMPANY_WAIT_MS = 2000;

export type Presence =
  /** It is the room itself: there as long as the room is. */
  | 'room'
  /** There. */
  | 'here'
  /** Not there, and without it there is nothing to record. */
  | 'away';

/** The participant whose leaving is the end; undefined where it is not one participant's egress. */
export function subjectOf(source: EgressSource): string | undefined {
  if (source.type === 'participant') return source.identity;
  if (source.type === 'media' && source.video && 'identity' in source.video) return source.video.identity;
  return undefined;
}

/** @param wanted what the source selects of these participants */
export function presenceOf(
  source: EgressSource,
  participants: Iterable<BridgeParticipant>,
  wanted: readonly WantedTrack[],
): Presence {
  const subject = subjectOf(source);
  if (subject !== undefined) {
    return [...participants].some(({ identity }) => identity === subject) ? 'here' : 'away';
  }
  switch (source.type) {
    case 'tracks':
      return wanted.length > 0 ? 'here' : 'away';
    case 'media': {
      if (source.video) return wanted.some(({ track }) => track.kind === 'video') ? 'here' : 'away';
      const everybody = source.audio?.captureAll === true;
      if (everybody || source.audio?.routes.some((route) => 'kind' in route)) return 'room';
      return wanted.length > 0 ? 'here' : 'away';
    }
    default:
      return 'room';
  }
}

/** Whether every kind of track that the source has in it is among `wanted`. */
export function isComplete(source: EgressSource, wanted: readonly WantedTrack[]): boolean {
  const has = (kind: 'audio' | 'video') => wanted.some(({ track }) => track.kind === kind);
  switch (source.type) {
    case 'tracks':
      return wanted.length >= [source.audioTrackId, source.videoTrackId].filter(Boolean).length;
    case 'participant':
      return has('audio') && has('video');
    case 'media':
      // The picture decides what can be copied; who is heard comes and goes.
      return source.video === null || has('video');
    default:
      return true;
  }
}

/** How long what is away may stay away before that is the end, ms. */
export function graceMs(source: EgressSource): number {
  return subjectOf(source) === undefined ? TRACK_GRACE_MS : PARTICIPANT_GRACE_MS;
}

/** How long a start waits for what has not been there yet, ms. */
export function arrivalMs(source: EgressSource): number {
  return subjectOf(source) === undefined ? TRACK_GRACE_MS : JOIN_WAIT_MS;
}
