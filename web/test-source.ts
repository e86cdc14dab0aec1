/** A picture that moves, and a flash with a beep every second, both from the audio clock. */

export interface TestSourceOptions {
  width?: number;
  height?: number;
  /** Frames a second. */
  frameRate?: number;
  label?: string;
  /** Degrees on the colour wheel. */
  hue?: number;
  /** Of the beep, Hz. */
  frequency?: number;
}

export interface TestSource {
  readonly stream: MediaStream;
  stop(): void;
}

const BEEP_SECONDS = 0.1;
/** The next beeps are scheduled this far ahead. */
const LOOKAHEAD_SECONDS = 2;

/** To be called from a click: browsers let sound begin only then. */
export async function createTestSource(options: TestSourceOptions = {}): Promise<TestSource> {
  const { width = 1280, height = 720, frameRate = 30, frequency = 660 } = options;
  const audio = new AudioContext({ sampleRate: 48000 });
  await audio.resume();
  const output = audio.createMediaStreamDestination();
  const canvas = document.createElement('canvas');
  canvas.width = width;
  canvas.height = height;
  const picture = canvas.getContext('2d', { alpha: false });
  if (!picture) throw new Error('this browser cannot draw on a canvas');

  let beeped = Math.ceil(audio.currentTime);
  let frame = 0;
  const tick = () => {
    for (; beeped < audio.currentTime + LOOKAHEAD_SECONDS; beeped += 1)
      beepAt(audio, output, beeped, frequency);
    draw(picture, options, audio.currentTime, frame++);
  };
  tick();
  // A timer and not requestAnimationFrame, which stops in a tab in the background.
  const timer = setInterval(tick, 1000 / frameRate);
  const stream = canvas.captureStream(frameRate);
  for (const track of output.stream.getAudioTracks()) stream.addTrack(track);
  return {
    stream,
    stop: () => {
      clearInterval(timer);
      for (const track of stream.getTracks()) track.stop();
      void audio.close();
    },
  };
}

function beepAt(audio: AudioContext, output: AudioNode, seconds: number, frequency: number): void {
  const oscillator = new OscillatorNode(audio, { frequency });
  const gain = new GainNode(audio, { gain: 0 });
  gain.gain.setValueAtTime(0.5, seconds);
  gain.gain.setValueAtTime(0, seconds + BEEP_SECONDS);
  oscillator.connect(gain).connect(output);
  oscillator.start(seconds);
  oscillator.stop(seconds + BEEP_SECONDS);
}

function draw(
  picture: CanvasRenderingContext2D,
  options: TestSourceOptions,
  seconds: number,
  frame: number,
): void {
  const { width, height } = picture.canvas;
  const { hue = 200, label = 'Sluice' } = options;
  const unit = height / 100;
  const flash = seconds % 1 < BEEP_SECONDS;
  const sky = picture.createLinearGradient(0, 0, width, height);
  sky.addColorStop(0, `hsl(${hue} 70% ${flash ? 96 : 24}%)`);
  sky.addColorStop(1, `hsl(${hue + 50} 70% ${flash ? 90 : 10}%)`);
  picture.fillStyle = sky;
  picture.fillRect(0, 0, width, height);

  // A hand that turns once a second, and a ball on its way: a frozen or jumping picture shows at once.
  picture.strokeStyle = picture.fillStyle = flash ? '#111' : `hsl(${hue} 90% 75%)`;
  picture.lineWidth = 1.5 * unit;
  picture.beginPath();
  picture.arc(width / 2, height * 0.44, 26 * unit, 0, 2 * Math.PI);
  picture.stroke();
  const angle = 2 * Math.PI * (seconds % 1) - Math.PI / 2;
  picture.beginPath();
  picture.moveTo(width / 2, height * 0.44);
  picture.lineTo(width / 2 + Math.cos(angle) * 22 * unit, height * 0.44 + Math.sin(angle) * 22 * unit);
  picture.stroke();
  picture.beginPath();
  picture.arc(((frame * 4 * unit) / 5) % width, height * 0.9, 4 * unit, 0, 2 * Math.PI);
  picture.fill();

  picture.font = `600 ${8 * unit}px system-ui, sans-serif`;
  picture.fillText(label, 5 * unit, 12 * unit);
  picture.font = `${6 * unit}px ui-monospace, monospace`;
  picture.textAlign = 'right';
  picture.fillText(`${seconds.toFixed(2)} s   frame ${frame}`, width - 5 * unit, 11 * unit);
  picture.textAlign = 'left';
}
