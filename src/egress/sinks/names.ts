/** Names and formats of an egress's files. Pure. */
import type { FileViewFormat } from '../outputs/file/index.ts';
import type { NameValues } from '../filename.ts';
import type { FileOutput } from '../plan-types.ts';
import type { Program } from '../program.ts';
import type { SinkContext } from './types.ts';

/** What stands for the placeholders in this egress's names. */
export function nameValues({
  record,
  room,
  tracks,
}: Pick<SinkContext, 'record' | 'room' | 'tracks'>): NameValues {
  // LiveKit names a track composite after its video's publisher.
  const first = tracks.find(({ track }) => track.kind === 'video') ?? tracks[0];
  const isTrack = record.requestType === 'TrackEgressRequest';
  return {
    roomName: room.name,
    roomId: room.roomId,
    createdAtMs: record.createdAtMs,
    identifier: isTrack && first ? first.track.trackId : room.name,
    ...(first &&
      record.requestType !== 'RoomCompositeEgressRequest' && { publisherIdentity: first.identity }),
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
