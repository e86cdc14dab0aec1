/** The room as a worker sees it: the participants of `join`, kept up to date by events. */
import type { BridgeEvent, BridgeJoinResult, BridgeParticipant, BridgeTrack } from './protocol.ts';

export class RoomPicture {
  /** By `participantId`. */
  readonly #participants = new Map<string, BridgeParticipant>();
  #activeSpeakers: readonly string[];

  constructor(joined: BridgeJoinResult) {
    for (const participant of joined.participants) {
      this.#participants.set(participant.participantId, participant);
    }
    this.#activeSpeakers = joined.activeSpeakers;
  }

  /** Entries are replaced, never changed: what somebody holds stays what it was. */
  get participants(): ReadonlyMap<string, BridgeParticipant> {
    return this.#participants;
  }

  /** Identities, loudest first. */
  get activeSpeakers(): readonly string[] {
    return this.#activeSpeakers;
  }

  apply(event: BridgeEvent): void {
    switch (event.event) {
      case 'participantJoined':
      case 'participantUpdated':
        this.#participants.set(event.participant.participantId, event.participant);
        break;
      case 'participantLeft':
        this.#participants.delete(event.participantId);
        break;
      case 'trackPublished':
        this.#changeTracks(event.participantId, (tracks) => [
          ...tracks.filter(({ trackId }) => trackId !== event.track.trackId),
          event.track,
        ]);
        break;
      case 'trackUnpublished':
        this.#changeTracks(event.participantId, (tracks) =>
          tracks.filter(({ trackId }) => trackId !== event.trackId),
        );
        break;
      case 'trackMuted':
        for (const { participantId, tracks } of this.#participants.values()) {
          if (!tracks.some(({ trackId }) => trackId === event.trackId)) continue;
          this.#changeTracks(participantId, () =>
            tracks.map((track) =>
              track.trackId === event.trackId ? { ...track, muted: event.muted } : track,
            ),
          );
        }
        break;
      case 'activeSpeakers':
        this.#activeSpeakers = event.identities;
        break;
      default:
        break;
    }
  }

  #changeTracks(participantId: string, change: (tracks: BridgeTrack[]) => BridgeTrack[]): void {
    const participant = this.#participants.get(participantId);
    if (!participant) return;
    this.#participants.set(participantId, { ...participant, tracks: change(participant.tracks) });
  }
}
