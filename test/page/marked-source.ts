/**
 * A camera and a microphone that show and sound what the gjs test publisher does (pipelines/publisher): frame
 * counter, flash, colour, beep and hum, all from the audio clock, so that recordings of a browser can be
 * checked frame by frame. Frames go to the encoder as they are drawn, with the times they were due, as a
 * camera's do.
 */
import { Painter } from '../../pipelines/publisher/picture.ts';
import { CHANNELS, COLORS, PITCHES, renderSound, SAMPLE_RATE } from '../../pipelines/publisher/signal.ts';
import type { ColorName } from '../../pipelines/publisher/signal.ts';

/** Of mediacapture-transform, which TypeScript's library does not have: a track of frames that are written. */
declare class MediaStreamTrackGenerator extends MediaStreamTrack {
  readonly writable: WritableStream<VideoFrame>;
  constructor(init: { kind: 'video' });
}

export interface MarkedSource {
  readonly stream: MediaStream;
  /** Frames given to the browser so far; the last one's counter is one less. */
  readonly frames: number;
  stop(): void;
}

/** Further behind than this, frames are left out instead of sent in a burst. */
const MAX_LATE_FRAMES = 5;
/** Time for the graph to come up before the clock starts. */
const START_SECONDS = 0.1;

/** @param width pixels, even; so is `height`. @param fps whole frames a second */
export async function createMarkedSource(
  color: ColorName,
  width: number,
  height: number,
  fps: number,
): Promise<MarkedSource> {
  const audio = new AudioContext({ sampleRate: SAMPLE_RATE, latencyHint: 'interactive' });
  await audio.resume();
  const output = audio.createMediaStreamDestination();
  const begins = audio.currentTime + START_SECONDS;
  const sound = new AudioBufferSourceNode(audio, { buffer: oneSecond(audio, PITCHES[color]), loop: true });
  sound.connect(output);
  sound.start(begins);

  const track = new MediaStreamTrackGenerator({ kind: 'video' });
  const writer = track.writable.getWriter();
  const painter = new Painter(width, height, COLORS[color]);
  let next = 0;
  const timer = setInterval(() => {
    const due = Math.floor((audio.currentTime - begins) * fps);
    if (due - next > MAX_LATE_FRAMES) next = due;
    for (; next <= due; next += 1) {
      const frame = new VideoFrame(painter.draw(next, fps), {
        format: 'I420',
        codedWidth: width,
        codedHeight: height,
        timestamp: Math.round((next / fps) * 1e6),
      });
      void writer.write(frame);
    }
  }, 5);
  return {
    stream: new MediaStream([track, ...output.stream.getAudioTracks()]),
    get frames() {
      return next;
    },
    stop: () => {
      clearInterval(timer);
      track.stop();
      void audio.close();
    },
  };
}

/** Every pitch has a whole number of waves in a second, so a loop has no seam. */
function oneSecond(audio: AudioContext, pitch: number): AudioBuffer {
  const samples = renderSound(0, SAMPLE_RATE, pitch);
  const buffer = audio.createBuffer(CHANNELS, SAMPLE_RATE, SAMPLE_RATE);
  for (let channel = 0; channel < CHANNELS; channel += 1) {
    const data = buffer.getChannelData(channel);
    for (let i = 0; i < SAMPLE_RATE; i += 1) data[i] = samples[i * CHANNELS + channel]! / 32768;
  }
  return buffer;
}
