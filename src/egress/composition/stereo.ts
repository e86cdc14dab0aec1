/** Which ear hears whom, when a room's sound is laid on two channels. */
import type { AudioMixingName } from '../plan/types.ts';
import type { RoomTrack } from '../room/selection.ts';

/**
 * Keeps where a sound was put: one that is muted or published again comes back where it was, and who leaves moves
 * nobody else.
 */
export class StereoMixing {
  readonly #mixing: AudioMixingName;
  readonly #places = new Map<string, 'left' | 'right'>();

  constructor(mixing: AudioMixingName) {
    this.#mixing = mixing;
  }

  /** The same tracks, sounds with their channel. */
  place(tracks: readonly RoomTrack[]): RoomTrack[] {
    if (this.#mixing === 'default') return [...tracks];
    return tracks.map((each) =>
      each.track.kind === 'audio' ? { ...each, channel: this.#channelOf(each) } : each,
    );
  }

  #channelOf({ identity, participantKind, track: { source } }: RoomTrack): 'left' | 'right' {
    if (this.#mixing === 'dual-agent') return participantKind === 'agent' ? 'left' : 'right';
    const key = JSON.stringify([identity, source]);
    const place = this.#places.get(key) ?? (this.#places.size % 2 === 0 ? 'left' : 'right');
    this.#places.set(key, place);
    return place;
  }
}
