/** What is known of the media that comes in, as IngressState shows it. */
import { InputAudioState, InputVideoState } from '@livekit/protocol';
import type { IngressEvent } from '../../pipelines/shared/ingress-protocol.ts';
import type { RunSource } from './source.ts';

type InputFormat = Extract<IngressEvent, { event: 'inputFormat' }>;

/** What the pipeline has found, the latest of each. */
export class Formats {
  #video: InputFormat | undefined;
  #audio: InputFormat | undefined;

  saw(format: InputFormat): void {
    if (format.kind === 'video') this.#video = { ...this.#video, ...format };
    else this.#audio = { ...this.#audio, ...format };
  }

  get video(): InputFormat | undefined {
    return this.#video;
  }

  get audio(): InputFormat | undefined {
    return this.#audio;
  }
}

/** The pipeline has looked at the pictures, so it knows better than the container. Pure. */
export function videoState(source: RunSource, formats: Formats): InputVideoState | undefined {
  const { video } = source;
  if (!video) return undefined;
  const measured = source.measures().video;
  const seen = formats.video;
  return new InputVideoState({
    mimeType: `video/${video.codec}`,
    averageBitrate: Math.round(measured?.bitrate ?? 0),
    width: firstKnown(seen?.width, measured?.width, video.width),
    height: firstKnown(seen?.height, measured?.height, video.height),
    framerate: firstKnown(measured?.framerate, seen?.framerate, video.framerate),
  });
}

/** Pure. */
export function audioState(source: RunSource, formats: Formats): InputAudioState | undefined {
  const { audio } = source;
  if (!audio) return undefined;
  return new InputAudioState({
    mimeType: `audio/${audio.codec}`,
    averageBitrate: Math.round(source.measures().audio?.bitrate ?? 0),
    channels: firstKnown(formats.audio?.channels, audio.channels),
    sampleRate: firstKnown(formats.audio?.rate, audio.sampleRate),
  });
}

/** 0 is unknown. */
function firstKnown(...values: (number | undefined)[]): number {
  return values.find((value) => value !== undefined && value > 0) ?? 0;
}
