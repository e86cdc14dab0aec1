/** IngressState of a publisher whose media goes into the room as it is (pure). */
import { InputAudioState, InputVideoState } from '@livekit/protocol';
import type { PartialMessage } from '@bufbuild/protobuf';
import type { IngressState } from '@livekit/protocol';

export interface MeasuredTrack {
  kind: 'audio' | 'video';
  /** e.g. `video/VP8`. */
  mimeType: string;
  /** Simulcast layers. */
  layers: number;
  /** bit/s of everything that comes in, all layers together; 0: not known yet, as in what follows. */
  bitrate: number;
  /** Pixels of the top layer. */
  width: number;
  height: number;
  /** Frames a second of the top layer. */
  framerate: number;
  channels: number;
  /** Hz. */
  sampleRate: number;
}

/** Of several tracks of a kind, the first: LiveKit's message has room for one. */
export function inputState(
  tracks: readonly MeasuredTrack[],
): Pick<PartialMessage<IngressState>, 'video' | 'audio'> {
  const video = tracks.find(({ kind }) => kind === 'video');
  const audio = tracks.find(({ kind }) => kind === 'audio');
  return {
    ...(video
      ? {
          video: new InputVideoState({
            mimeType: video.mimeType,
            averageBitrate: video.bitrate,
            width: video.width,
            height: video.height,
            framerate: video.framerate,
          }),
        }
      : {}),
    ...(audio
      ? {
          audio: new InputAudioState({
            mimeType: audio.mimeType,
            averageBitrate: audio.bitrate,
            channels: audio.channels,
            sampleRate: audio.sampleRate,
          }),
        }
      : {}),
  };
}

/** What is done with the input, e.g. `video: copied (VP8 in 3 layers); audio: copied (Opus)`. */
export function copyNote(tracks: readonly Pick<MeasuredTrack, 'kind' | 'mimeType' | 'layers'>[]): string {
  return [...tracks]
    .sort((a, b) => b.kind.localeCompare(a.kind))
    .map(({ kind, mimeType, layers }) => {
      const codec = mimeType.split('/')[1] ?? mimeType;
      const name = codec.toLowerCase() === 'opus' ? 'Opus' : codec.replace(/^h26/i, 'H.26');
      return `${kind}: copied (${name}${layers > 1 ? ` in ${layers} layers` : ''})`;
    })
    .join('; ');
}
