/** What of the room an egress wants, as the room changes: which tracks, and whether they are gone for good. */
import type { BridgeParticipant } from '../../bridge/protocol.ts';
import type { EgressDesired, TrackRole } from '../../store/types.ts';
import { EgressAborted } from '../errors.ts';
import type { EgressSource } from '../plan/types.ts';
import { arrivalMs, COMPANY_WAIT_MS, graceMs, isComplete, presenceOf, subjectOf } from './presence.ts';
import { isReadable } from '../program.ts';
import { allTracks, named, namedTracks, selectTracks } from './selection.ts';
import type { RoomTrack, WantedTrack } from './selection.ts';
import { StereoMixing } from '../composition/stereo.ts';

export interface RoomSourceOptions {
  source: EgressSource;
  /** Whose the named tracks were when they were asked for, by id. */
  roles: Readonly<Record<string, TrackRole>>;
  /** An earlier attempt may have recorded them: that they do not come back is the end, not a failure. */
  continues: boolean;
  participants: () => Iterable<BridgeParticipant>;
  /** A track that nobody has named is left out, because nothing here can read its codec. Told once a track. */
  onLeftOut: (track: WantedTrack) => void;
  /** What the egress is about has been gone for a while. */
  onGone: () => void;
}

export class RoomSource {
  readonly #options: RoomSourceOptions;
  readonly #roles: Map<string, TrackRole>;
  readonly #leftOut = new Set<string>();
  readonly #stereo: StereoMixing;
  #added: readonly string[] = [];
  #removed: readonly string[] = [];
  #goneTimer: NodeJS.Timeout | undefined;
  #wake: (() => void) | undefined;
  #waiting = false;

  constructor(options: RoomSourceOptions) {
    this.#options = options;
    this.#roles = new Map(Object.entries(options.roles));
    const { source } = options;
    this.#stereo = new StereoMixing(source.type === 'room' ? source.audioMixing : 'default');
  }

  /** Tracks that are wanted beside those of the source, and those of it that are not. */
  setTracks({ addedTracks = [], removedTracks = [], trackRoles = {} }: EgressDesired): void {
    this.#added = addedTracks;
    this.#removed = removedTracks;
    for (const [trackId, role] of Object.entries(trackRoles)) {
      if (!this.#roles.has(trackId)) this.#roles.set(trackId, role);
    }
    this.#wake?.();
  }

  /** The tracks wanted now, in the order they are to be shown. */
  select(): WantedTrack[] {
    const { source } = this.#options;
    const wanted = this.#stereo.place(this.#selected());
    for (const { trackId, kind } of namedTracks(source)) {
      const role = this.#roles.get(trackId);
      const seen = wanted.find(({ track }) => track.trackId === trackId);
      if (!role && seen)
        this.#roles.set(trackId, { identity: seen.identity, source: seen.track.source, kind });
    }
    if (source.type === 'tracks') return wanted;
    return wanted.filter((each) => isReadable(each.track.mimeType) || this.#leaveOut(each));
  }

  #selected(): RoomTrack[] {
    const { source, participants } = this.#options;
    const own = selectTracks(source, participants(), this.#roles);
    if (this.#added.length + this.#removed.length === 0) return own;
    const all = allTracks(participants());
    const idOf = (trackId: string) => named(all, trackId, this.#roles)?.track.trackId;
    const removed = new Set(this.#removed.map(idOf));
    const ownIds = new Set(own.map(({ track }) => track.trackId));
    const added = this.#added.flatMap((trackId) => named(all, trackId, this.#roles) ?? []);
    return [...own, ...added.filter(({ track }) => !ownIds.has(track.trackId))].filter(
      ({ track }) => !removed.has(track.trackId),
    );
  }

  /** The room has changed: looks again. A room's egress stays without tracks; others end after a while. */
  changed(): WantedTrack[] {
    this.#wake?.();
    const { source, participants, onGone } = this.#options;
    const wanted = this.select();
    // Who has not been there yet cannot leave: ready() decides how long they are waited for.
    if (this.#waiting || presenceOf(source, participants(), wanted) !== 'away') {
      clearTimeout(this.#goneTimer);
      this.#goneTimer = undefined;
    } else {
      this.#goneTimer ??= setTimeout(onGone, graceMs(source));
    }
    return wanted;
  }

  /**
   * What is recorded must be there before the program can be chosen; a room may be empty, and a participant that is
   * there may take its time to publish.
   * @param over whether waiting has lost its reason; asked after each {@link changed} and {@link close}
   * @throws EgressAborted when nothing of it comes, and no earlier attempt had it
   */
  async ready(over: () => boolean): Promise<WantedTrack[]> {
    this.#waiting = true;
    try {
      return await this.#ready(over);
    } finally {
      this.#waiting = false;
    }
  }

  async #ready(over: () => boolean): Promise<WantedTrack[]> {
    const { source, participants, continues, onGone } = this.#options;
    const subject = subjectOf(source);
    let seen = false;
    let leftAt: number | undefined;
    let deadline = Date.now() + (continues ? graceMs(source) : arrivalMs(source));
    for (let first = true; ;) {
      const wanted = this.select();
      const presence = presenceOf(source, participants(), wanted);
      const waits = subject !== undefined && presence === 'here' && wanted.length === 0;
      if (presence === 'room' || this.#isComplete(wanted) || over()) return wanted;
      if (wanted.length > 0 && first && subject !== undefined) {
        first = false;
        deadline = Date.now() + COMPANY_WAIT_MS;
      }
      seen ||= presence === 'here';
      // Who was there and is not any more is waited for no longer than at any other time.
      const gone = subject !== undefined && seen && presence === 'away';
      leftAt = gone ? (leftAt ?? Date.now()) : undefined;
      const until = leftAt === undefined ? deadline : leftAt + graceMs(source);
      const left = waits ? undefined : until - Date.now();
      if (left !== undefined && left <= 0) {
        if (wanted.length > 0) return wanted;
        if (!continues) throw new EgressAborted(whyNothing(subject, seen));
        onGone();
        return wanted;
      }
      await this.#change(left);
    }
  }

  /** Of what was taken away nothing is missed. */
  #isComplete(wanted: readonly WantedTrack[]): boolean {
    return isComplete(this.#options.source, wanted) || (this.#removed.length > 0 && wanted.length > 0);
  }

  /** Ends every wait. */
  close(): void {
    clearTimeout(this.#goneTimer);
    this.#wake?.();
  }

  /** @param waitMs undefined: as long as it takes */
  async #change(waitMs: number | undefined): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = waitMs === undefined ? undefined : setTimeout(resolve, waitMs);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
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

function whyNothing(subject: string | undefined, seen: boolean): string {
  if (subject === undefined) {
    return 'the track was never published: start the egress while its track is in the room';
  }
  const name = subject.slice(0, 64);
  return seen
    ? `participant ${name} left without having published anything`
    : `participant ${name} did not join: start the egress when they are about to`;
}
