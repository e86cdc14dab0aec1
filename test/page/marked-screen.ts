/**
 * A page to be recorded off a screen: shows and sounds what the gjs test publisher does, each frame at the moment its
 * sound is heard. Query: `color`, `fps`, `start` and `end` (when START_RECORDING and END_RECORDING are said, ms after the
 * page has loaded), `crash` (when the page's process ends, ms).
 */
import { Painter } from '../../pipelines/publisher/picture.ts';
import { CHANNELS, COLORS, PITCHES, renderSound, SAMPLE_RATE } from '../../pipelines/publisher/signal.ts';
import type { ColorName } from '../../pipelines/publisher/signal.ts';

const START_SECONDS = 0.1;
/** As the recorder's canvas is written, so that colours come back as they were. */
const COLOR_SPACE: VideoColorSpaceInit = {
  ...{ primaries: 'smpte170m', transfer: 'smpte170m', matrix: 'smpte170m', fullRange: false },
};

const query = new URLSearchParams(location.search);
const color = (query.get('color') ?? 'red') as ColorName;
const fps = Number(query.get('fps') ?? 30);

async function show(): Promise<void> {
  const canvas = document.createElement('canvas');
  const [width, height] = [innerWidth & ~1, innerHeight & ~1];
  Object.assign(canvas, { width, height });
  document.body.append(canvas);
  const context = canvas.getContext('2d', { alpha: false });
  if (!context) throw new Error('no canvas');

  const audio = new AudioContext({ sampleRate: SAMPLE_RATE, latencyHint: 'interactive' });
  await audio.resume();
  const begins = audio.currentTime + START_SECONDS;
  const sound = new AudioBufferSourceNode(audio, { buffer: oneSecond(audio), loop: true });
  sound.connect(audio.destination);
  sound.start(begins);

  const painter = new Painter(width, height, COLORS[color]);
  const draw = (): void => {
    requestAnimationFrame(draw);
    // What is heard at this moment, by the browser's own account of its output.
    const { contextTime = 0, performanceTime = 0 } = audio.getOutputTimestamp();
    const heard = contextTime + (performance.now() - performanceTime) / 1000 - begins;
    const counter = Math.floor(heard * fps);
    if (contextTime === 0 || counter < 0) return;
    const frame = new VideoFrame(painter.draw(counter, fps), {
      ...{ format: 'I420', codedWidth: width, codedHeight: height, timestamp: 0 },
      colorSpace: COLOR_SPACE,
    });
    context.drawImage(frame, 0, 0);
    frame.close();
  };
  draw();
}

/** Every pitch has a whole number of waves in a second, so a loop has no seam. */
function oneSecond(audio: AudioContext): AudioBuffer {
  const samples = renderSound(0, SAMPLE_RATE, PITCHES[color]);
  const buffer = audio.createBuffer(CHANNELS, SAMPLE_RATE, SAMPLE_RATE);
  for (let channel = 0; channel < CHANNELS; channel += 1) {
    const data = buffer.getChannelData(channel);
    for (let i = 0; i < SAMPLE_RATE; i += 1) data[i] = samples[i * CHANNELS + channel]! / 32768;
  }
  return buffer;
}

/** Does something so many ms after the page has loaded, where the query says so. */
function later(name: string, what: () => void): void {
  const ms = query.get(name);
  if (ms !== null) setTimeout(what, Number(ms));
}

console.log(`a page of ${innerWidth}x${innerHeight}`);
addEventListener('load', () => {
  later('start', () => console.log('START_RECORDING'));
  later('end', () => console.log('END_RECORDING'));
});
await show();
