/** What of the room an egress wants, as the room changes: which tracks, and whether they are gone for good. */
import type { BridgeParticipant } from '../bridge/protocol.ts';
import type { TrackRole } from '../store/types.ts';
import { EgressAborted } from './errors.ts';
import type { EgressSource } from './plan-types.ts';
import { isReadable } from './program.ts';
import { selectTracks } from './selection.ts';
import type { WantedTrack } from './selection.ts';

/** Named tracks that are not there (yet, or any more) are waited for this long, ms. */
const TRACK_GRACE_MS = 10_000;

export interface RoomSourceOptions {
  source: EgressSource;
  /** Whose the named tracks were when they were asked for, by id. */
  roles: Readonly<Record<string, TrackRole>>;
  /** An earlier attempt may have recorded them: that they do not come back is the end, not a failure. */
  continues: boolean;
  participants: () => Iterable<BridgeParticipant>;
  /** A track of a room is left out, because nothing here can read its codec. Told once a track. */
  onLeftOut: (track: WantedTrack) => void;
  /** Every named track has been gone for a while. */
  onGone: () => void;
}

export class RoomSource {
  readonly #options: RoomSourceOptions;
  readonly #roles: Map<string, TrackRole>;
  readonly #leftOut = new Set<string>();
  #goneTimer: NodeJS.Timeout | undefined;
  #wake: (() => void) | undefined;

  constructor(options: RoomSourceOptions) {
    this.#options = options;
    this.#roles = new Map(Object.entries(options.roles));
  }

  /** The tracks wanted now, in the order they are to be shown. */
  select(): WantedTrack[] {
    const { source, participants } = this.#options;
    const wanted = selectTracks(source, participants(), this.#roles);
    if (source.type === 'room') {
      return wanted.filter((each) => isReadable(each.track.mimeType) || this.#leaveOut(each));
    }
    if (source.type !== 'tracks') return wanted;
    for (const { track, identity } of wanted) {
      const named = track.kind === 'audio' ? source.audioTrackId : source.videoTrackId;
      if (named !== undefined) this.#roles.set(named, { identity, source: track.source, kind: track.kind });
    }
    return wanted;
  }

  /** The room has changed: looks again. A room's egress stays without tracks, one of named tracks ends after a while. */
  changed(): WantedTrack[] {
    this.#wake?.();
    const wanted = this.select();
    if (this.#options.source.type === 'room') return wanted;
    if (wanted.length > 0) {
      clearTimeout(this.#goneTimer);
      this.#goneTimer = undefined;
    } else {
      this.#goneTimer ??= setTimeout(this.#options.onGone, TRACK_GRACE_MS);
    }
    return wanted;
  }

  /**
   * Named tracks must be there before the program can be chosen; a room may be empty.
   * @param over whether waiting has lost its reason; asked after each {@link changed} and {@link close}
   * @throws EgressAborted when none of them comes, and no earlier attempt had them
   */
  async ready(over: () => boolean): Promise<WantedTrack[]> {
    const { source } = this.#options;
    const named =
      source.type !== 'tracks' ? 0 : [source.audioTrackId, source.videoTrackId].filter(Boolean).length;
    const deadline = Date.now() + TRACK_GRACE_MS;
    for (;;) {
      const wanted = this.select();
      if (wanted.length >= named || over()) return wanted;
      const left = deadline - Date.now();
      if (left <= 0) {
        if (wanted.length > 0) return wanted;
        if (this.#options.continues) {
          this.#options.onGone();
          return wanted;
        }
        throw new EgressAborted(
          'the track was never published: start the egress while its track is in the room',
        );
      }
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  /** Ends every wait. */
  close(): void {
    clearTimeout(this.#goneTimer);
    this.#wake?.();
  }

  #leaveOut(each: WantedTrack): false {
    const { trackId } = each.track;
    if (!this.#leftOut.has(trackId)) {
      this.#leftOut.add(trackId);
      this.#options.onLeftOut(each);
    }
    return false;
  }
}
