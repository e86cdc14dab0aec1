/**
 * What a test publisher shows and sounds, as constants shared by those who make it and those who check it.
 *
 * Everything is told by one clock: frame n is taken at n/fps, a second begins with a flash and a beep of
 * {@link FLASH_SECONDS}. Between beeps a quiet hum an octave above the beep's pitch goes on, so that lost
 * sound can be told from silence at any moment.
 */

export type ColorName = 'red' | 'green' | 'blue' | 'yellow';

/** Full-range RGB. */
export type Rgb = readonly [r: number, g: number, b: number];

/** Background colours, far apart in hue so that chroma subsampling and matrices cannot confuse them. */
export const COLORS: Readonly<Record<ColorName, Rgb>> = {
  red: [196, 40, 40],
  green: [40, 150, 50],
  blue: [45, 60, 200],
  yellow: [210, 190, 40],
};

/** The pitch that goes with a colour, in Hz, when none is asked for. */
export const PITCHES: Readonly<Record<ColorName, number>> = { red: 523, green: 659, blue: 784, yellow: 880 };

/** Length of flash and beep. */
export const FLASH_SECONDS = 0.1;
/** Raised-cosine ramp at both ends of a beep; its middle, half of it later, is half of the amplitude. */
export const BEEP_RAMP_SECONDS = 0.004;
/** Peak amplitudes, full scale is 1. Four participants at once stay below clipping. */
export const BEEP_AMPLITUDE = 0.2;
export const HUM_AMPLITUDE = 0.015;

export const SAMPLE_RATE = 48_000;
export const CHANNELS = 2;

/** Pitch of the hum of a participant that beeps at `pitch`, Hz. */
export function humPitch(pitch: number): number {
  return pitch * 2;
}

/** Whether the flash is lit in frame `n`. */
export function flashLit(n: number, fps: number): boolean {
  // Whole numbers, so that a frame exactly on the edge falls on the same side everywhere.
  return n % fps < fps * FLASH_SECONDS;
}

/** Amplitude of the beep at `second` (time since the clock began), 0 to {@link BEEP_AMPLITUDE}. */
export function beepEnvelope(second: number): number {
  const t = second - Math.floor(second);
  if (t >= FLASH_SECONDS) return 0;
  const edge = Math.min(t, FLASH_SECONDS - t) / BEEP_RAMP_SECONDS;
  return edge >= 1 ? BEEP_AMPLITUDE : (BEEP_AMPLITUDE * (1 - Math.cos(Math.PI * edge))) / 2;
}

/** Interleaved signed 16-bit stereo, samples `first` to `first + count` of the publisher's clock. */
export function renderSound(first: number, count: number, pitch: number): Int16Array {
  const samples = new Int16Array(count * CHANNELS);
  const hum = humPitch(pitch);
  for (let i = 0; i < count; i++) {
    const t = (first + i) / SAMPLE_RATE;
    const beep = beepEnvelope(t);
    const value =
      HUM_AMPLITUDE * Math.sin(2 * Math.PI * hum * t) + (beep ? beep * Math.sin(2 * Math.PI * pitch * t) : 0);
    const sample = Math.round(value * 32767);
    for (let channel = 0; channel < CHANNELS; channel++) samples[i * CHANNELS + channel] = sample;
  }
  return samples;
}
