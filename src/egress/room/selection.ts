/** Which tracks an egress wants of a room. Pure. */
import type { BridgeParticipant, BridgeTrack } from '../../bridge/protocol.ts';
import type { TrackRole } from '../../store/types.ts';
import type { AudioChannelName, EgressSource } from '../plan/types.ts';

/** A track an egress wants, with whose it is. */
export interface WantedTrack {
  track: BridgeTrack;
  participantId: string;
  identity: string;
  /** Sound: the channel it is heard on; both when left out. */
  channel?: AudioChannelName;
}

/** A track of a room, with what rules may ask about whose it is. */
export interface RoomTrack extends WantedTrack {
  participantKind: BridgeParticipant['kind'];
}

type Roles = ReadonlyMap<string, TrackRole>;
type MediaSource = Extract<EgressSource, { type: 'media' }>;

/** Participants in the order they joined, so that tiles do not jump when somebody comes or goes. */
function inOrder(participants: Iterable<BridgeParticipant>): BridgeParticipant[] {
  return [...participants].sort(
    (a, b) => a.joinedAt - b.joinedAt || (a.participantId < b.participantId ? -1 : 1),
  );
}

/** Every track of a room, participants in the order they joined. */
export function allTracks(participants: Iterable<BridgeParticipant>): RoomTrack[] {
  return inOrder(participants).flatMap(({ participantId, identity, kind, tracks }) =>
    tracks.map((track) => ({ track, participantId, identity, participantKind: kind })),
  );
}

/** The track of that id, or what its participant has published in its place since. */
export function named(tracks: readonly RoomTrack[], trackId: string, roles: Roles): RoomTrack | undefined {
  const found = tracks.find(({ track }) => track.trackId === trackId);
  if (found) return found;
  const role = roles.get(trackId);
  return (
    role &&
    tracks.find(
      ({ track, identity }) =>
        identity === role.identity && track.kind === role.kind && track.source === role.source,
    )
  );
}

const isScreen = ({ track: { source } }: RoomTrack): boolean =>
  source === 'screen_share' || source === 'screen_share_audio';

/** What a participant shows: of camera and screen share the one that is preferred, else the other. */
function pictureOf(tracks: readonly RoomTrack[], identity: string, screen: boolean): RoomTrack | undefined {
  const pictures = tracks.filter((each) => each.identity === identity && each.track.kind === 'video');
  return pictures.find((each) => isScreen(each) === screen) ?? pictures[0];
}

/** One participant: what they show, their voice, and while they share their screen its sound too. */
function ofParticipant(tracks: readonly RoomTrack[], identity: string, screen: boolean): RoomTrack[] {
  const picture = pictureOf(tracks, identity, screen);
  const sharing = picture !== undefined && isScreen(picture);
  const sounds = tracks.filter(
    (each) => each.identity === identity && each.track.kind === 'audio' && (sharing || !isScreen(each)),
  );
  return [...sounds, ...(picture ? [picture] : [])];
}

/** Sound by rules: the first route that fits says where; what fits none is left out unless everything is taken. */
function routed(tracks: readonly RoomTrack[], audio: MediaSource['audio'], roles: Roles): RoomTrack[] {
  if (!audio) return [];
  const routes = audio.routes.map((route) => ({
    channel: route.channel,
    fits: (each: RoomTrack): boolean => {
      if ('trackId' in route) return named(tracks, route.trackId, roles) === each;
      if ('identity' in route) return each.identity === route.identity;
      return each.participantKind === route.kind;
    },
  }));
  return tracks.flatMap((each) => {
    if (each.track.kind !== 'audio') return [];
    const route = routes.find(({ fits }) => fits(each));
    if (!route) return audio.captureAll ? [each] : [];
    return [{ ...each, channel: route.channel }];
  });
}

function ofMedia(tracks: readonly RoomTrack[], { video, audio }: MediaSource, roles: Roles): RoomTrack[] {
  const sounds = routed(tracks, audio, roles);
  if (!video) return sounds;
  const picture =
    'trackId' in video
      ? named(tracks, video.trackId, roles)
      : pictureOf(tracks, video.identity, video.preferScreenShare);
  return picture ? [...sounds, picture] : sounds;
}

/** Ids of the tracks that a source names. */
export function namedTracks(source: EgressSource): { trackId: string; kind: 'audio' | 'video' }[] {
  const ids: [string | undefined, 'audio' | 'video'][] =
    source.type === 'tracks'
      ? [
          [source.audioTrackId, 'audio'],
          [source.videoTrackId, 'video'],
        ]
      : source.type === 'media'
        ? [
            ...(source.audio?.routes ?? []).map((route): [string | undefined, 'audio'] => [
              'trackId' in route ? route.trackId : undefined,
              'audio',
            ]),
            [source.video && 'trackId' in source.video ? source.video.trackId : undefined, 'video'],
          ]
        : [];
  return ids.flatMap(([trackId, kind]) => (trackId === undefined ? [] : [{ trackId, kind }]));
}

/**
 * The tracks an egress wants now; of one participant or media source one picture at most.
 *
 * @param roles roles of named tracks seen so far: a named track that was republished counts as the same.
 */
export function selectTracks(
  source: EgressSource,
  participants: Iterable<BridgeParticipant>,
  roles: Roles,
): RoomTrack[] {
  const tracks = allTracks(participants);
  switch (source.type) {
    case 'room':
      return tracks.filter(({ track }) => (track.kind === 'audio' ? !source.videoOnly : !source.audioOnly));
    case 'tracks':
      return namedTracks(source).flatMap(({ trackId }) => named(tracks, trackId, roles) ?? []);
    case 'participant':
      return ofParticipant(tracks, source.identity, source.screenShare);
    case 'media':
      return ofMedia(tracks, source, roles);
    case 'web':
      return [];
  }
}
