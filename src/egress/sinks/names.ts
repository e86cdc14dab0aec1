/** Names and formats of an egress's files. Pure. */
import type { FileViewFormat } from '../outputs/file/index.ts';
import type { NameValues } from '../filename.ts';
import type { FileOutput } from '../plan/types.ts';
import type { Program } from '../program.ts';
import { subjectOf } from '../room/presence.ts';
import { namedTracks } from '../room/selection.ts';
import type { SinkContext } from './types.ts';

/** What stands for the placeholders in this egress's names. */
export function nameValues({
  plan: { source },
  record,
  room,
  tracks,
}: Pick<SinkContext, 'plan' | 'record' | 'room' | 'tracks'>): NameValues {
  // LiveKit names a track composite after its video's publisher.
  const first = tracks.find(({ track }) => track.kind === 'video') ?? tracks[0];
  const ids = namedTracks(source);
  const isTrack =
    source.type === 'tracks' && ids.length === 1 && record.requestType !== 'TrackCompositeEgressRequest';
  // Whoever is followed is known before they have published anything.
  const publisher = subjectOf(source) ?? (source.type === 'room' ? undefined : first?.identity);
  return {
    roomName: room.name,
    roomId: room.roomId,
    createdAtMs: record.createdAtMs,
    identifier:
      source.type === 'participant' ? source.identity : isTrack && first ? first.track.trackId : room.name,
    ...(publisher !== undefined && { publisherIdentity: publisher }),
    ...(isTrack &&
      first && { track: { id: first.track.trackId, kind: first.track.kind, source: first.track.source } }),
  };
}

/** The kind of file an output becomes. */
export function fileFormat(output: FileOutput, program: Program, hasVideo: boolean): FileViewFormat {
  if (output.fileType !== 'auto') return output.fileType;
  if (program.container === 'mpegts') return 'mp4';
  return hasVideo ? 'webm' : 'ogg';
}

export const CONTENT_TYPES: Readonly<Record<FileViewFormat, string>> = {
  mp4: 'video/mp4',
  webm: 'video/webm',
  ogg: 'audio/ogg',
  mp3: 'audio/mpeg',
};
