import { describe, expect, test } from 'vitest';

import { beepEnvelope, PITCHES, renderSound } from '../../pipelines/publisher/signal.ts';
import { beepOnsets, beepTracker } from '../../src/demo/content/analyse.ts';
import { Loudness } from '../../src/demo/content/loudness.ts';
import { ToneTracker } from '../../src/demo/content/tone.ts';

const RATE = 48_000;

function tone(pitch: number, seconds: number, amplitude: number): Float32Array {
  return Float32Array.from(
    { length: seconds * RATE },
    (_, i) => amplitude * Math.sin((2 * Math.PI * pitch * i) / RATE),
  );
}

/** What a publisher sounds like when its clock began `late` seconds after the file. */
function publisher(pitch: number, late: number, seconds: number): Float32Array {
  const stereo = renderSound(-Math.round(late * RATE), seconds * RATE, pitch);
  return Float32Array.from({ length: seconds * RATE }, (_, i) => stereo[i * 2]! / 32767);
}

function mix(...sounds: Float32Array[]): Float32Array {
  return Float32Array.from({ length: sounds[0]!.length }, (_, i) =>
    sounds.reduce((sum, sound) => sum + sound[i]!, 0),
  );
}

function onsets(pitch: number, samples: Float32Array): number[] {
  const tracker = beepTracker(pitch, RATE);
  // In uneven pieces, as from a pipe.
  for (let i = 0; i < samples.length; i += 1013) tracker.push(samples.subarray(i, i + 1013));
  return beepOnsets(tracker);
}

describe('ToneTracker', () => {
  test('reads the amplitude of its pitch and is deaf to the others', () => {
    for (const pitch of Object.values(PITCHES)) {
      const tracker = beepTracker(pitch, RATE);
      tracker.push(tone(pitch, 0.5, 0.2));
      expect(tracker.amplitudes[100]).toBeCloseTo(0.2, 2);
      for (const other of Object.values(PITCHES).filter((p) => p !== pitch)) {
        const deaf = beepTracker(pitch, RATE);
        deaf.push(tone(other, 0.5, 0.2));
        expect(deaf.amplitudes[100]).toBeLessThan(0.01);
      }
    }
  });

  test('does not depend on how the samples are cut', () => {
    const samples = publisher(784, 0.123, 2);
    const whole = new ToneTracker(784, RATE, 0.025, 0.002);
    whole.push(samples);
    const pieces = new ToneTracker(784, RATE, 0.025, 0.002);
    for (let i = 0; i < samples.length; i += 77) pieces.push(samples.subarray(i, i + 77));
    expect(pieces.amplitudes).toEqual(whole.amplitudes);
  });
});

describe('beep onsets', () => {
  test.for([0.1, 0.2503, 0.4999, 0.7777])('alone, %s s late: within half a millisecond', (late) => {
    const found = onsets(659, publisher(659, late, 4));
    // Sound before the clock's zero is the second before it, so the phase is what counts.
    expect(found.length).toBeGreaterThanOrEqual(3);
    for (const onset of found) expect(Math.abs(onset - late - Math.round(onset - late))).toBeLessThan(0.0005);
  });

  test('four at once, at every distance from each other: within 3 ms', () => {
    const pitches = Object.values(PITCHES);
    for (let step = 0; step < 12; step++) {
      const lates = pitches.map((_, i) => 0.3 + ((i * step * 0.0137) % 0.6));
      const sound = mix(...pitches.map((pitch, i) => publisher(pitch, lates[i]!, 3)));
      for (const [i, pitch] of pitches.entries()) {
        const found = onsets(pitch, sound).filter((onset) => onset > 0.15 && onset < 2.95);
        expect(found.length, `${pitch} Hz at ${lates[i]}`).toBeGreaterThanOrEqual(2);
        for (const onset of found)
          expect(Math.abs(onset - lates[i]! - Math.round(onset - lates[i]!))).toBeLessThan(0.003);
      }
    }
  });

  test('in noise: within 3 ms', () => {
    let seed = 1;
    const noise = Float32Array.from({ length: 3 * RATE }, () => {
      seed = (seed * 48_271) % 2_147_483_647;
      return (seed / 2_147_483_647 - 0.5) * 0.2;
    });
    const found = onsets(880, mix(publisher(880, 0.4, 3), noise));
    expect(found).toHaveLength(3);
    for (const [i, onset] of found.entries()) expect(Math.abs(onset - i - 0.4)).toBeLessThan(0.003);
  });

  test('silence, a hum, a lasting tone and a click have none', () => {
    const click = new Float32Array(RATE);
    click.fill(0.9, 20_000, 20_100);
    expect(onsets(784, new Float32Array(RATE))).toEqual([]);
    expect(onsets(784, tone(1568, 2, 0.3))).toEqual([]);
    expect(onsets(784, tone(784, 2, 0.2))).toEqual([]);
    expect(onsets(784, click)).toEqual([]);
  });
});

test('a beep rises and falls within its tenth of a second', () => {
  expect(beepEnvelope(0)).toBe(0);
  expect(beepEnvelope(0.002)).toBeCloseTo(0.1, 6);
  expect(beepEnvelope(0.05)).toBe(0.2);
  expect(beepEnvelope(3.05)).toBe(0.2);
  expect(beepEnvelope(0.0999)).toBeLessThan(0.001);
  expect(beepEnvelope(0.5)).toBe(0);
});

test('silence is found, and short pauses are not', () => {
  const loudness = new Loudness(RATE);
  const samples = tone(440, 2, 0.1);
  samples.fill(0, 0.5 * RATE, 0.6 * RATE);
  samples.fill(0, 1.2 * RATE, 1.6 * RATE);
  loudness.push(samples);
  const [only, ...more] = loudness.silence(10, 0.2);
  expect(more).toEqual([]);
  expect(only!.from).toBeCloseTo(11.2, 1);
  expect(only!.to).toBeCloseTo(11.6, 1);
  expect(loudness.peak).toBeCloseTo(0.1, 3);
});
