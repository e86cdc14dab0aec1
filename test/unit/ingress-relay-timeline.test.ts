import { describe, expect, it } from 'vitest';
import { Timeline } from '../../src/ingress/relay/timeline.ts';

type Kind = 'audio' | 'video';
/** Kind, what the publisher says, when it arrives, what comes out. `resume`: another publisher. */
type Row = [Kind, number, number, number] | 'resume';

const TABLE: Record<string, Row[]> = {
  'counts from the first': [
    ['video', 5000, 100, 0],
    ['audio', 5010, 100, 10],
    ['video', 5040, 140, 40],
    ['audio', 5033, 141, 33],
  ],
  'keeps what arrives late in one burst as it was': [
    ['video', 0, 0, 0],
    ['video', 40, 40, 40],
    ['video', 80, 5040, 80],
    ['video', 120, 5041, 120],
    ['video', 5080, 5042, 5080],
  ],
  'keeps the gap of dropped pictures within a late burst': [
    ['video', 0, 0, 0],
    ['audio', 0, 0, 0],
    ['audio', 23, 5000, 23],
    ['video', 4000, 5001, 4000],
    ['audio', 46, 5001, 46],
    ['video', 4040, 5002, 4040],
  ],
  'takes a burst of what the publisher had kept as it is': [
    ['video', 0, 0, 0],
    ['video', 500, 1, 500],
    ['video', 1000, 2, 1000],
    ['video', 1500, 3, 1500],
    ['video', 2000, 4, 2000],
  ],
  'goes through a wrap of 32 bits': [
    ['video', 2 ** 32 - 40, 0, 0],
    ['video', 0, 40, 40],
    ['audio', 2 ** 32 - 10, 41, 30],
    ['video', 40, 80, 80],
    ['audio', 13, 82, 53],
  ],
  'puts a jump forward onto the wall clock, for both kinds alike': [
    ['video', 0, 0, 0],
    ['audio', 10, 10, 10],
    ['video', 40, 40, 40],
    ['audio', 33, 41, 33],
    ['video', 3_600_080, 80, 80],
    ['audio', 3_600_056, 81, 56],
    ['video', 3_600_120, 120, 120],
    ['audio', 3_600_079, 121, 79],
  ],
  'puts a jump back onto the wall clock': [
    ['video', 100_000, 0, 0],
    ['video', 100_040, 40, 40],
    ['video', 0, 80, 80],
    ['audio', 5, 85, 85],
    ['video', 40, 120, 120],
  ],
  'lets each kind finish the time before a jump': [
    ['video', 100_000, 0, 0],
    ['audio', 100_000, 1, 0],
    ['video', 100_040, 40, 40],
    ['video', 0, 80, 80],
    ['audio', 100_023, 81, 23],
    ['audio', 10, 95, 90],
    ['video', 40, 120, 120],
  ],
  'stays monotonic where rounding goes back': [
    ['audio', 100, 0, 0],
    ['audio', 123, 23, 23],
    ['audio', 122, 46, 24],
    ['audio', 169, 69, 69],
  ],
  'goes on after the gap when the publisher returns at zero': [
    ['video', 0, 0, 0],
    ['audio', 10, 10, 10],
    ['video', 40, 40, 40],
    'resume',
    ['video', 0, 4040, 4040],
    ['audio', 10, 4041, 4050],
    ['video', 40, 4080, 4080],
  ],
  'goes on when it returns near its old time': [
    ['video', 0, 0, 0],
    ['video', 40, 40, 40],
    'resume',
    ['video', 50, 6040, 6040],
    ['video', 90, 6080, 6080],
  ],
};

describe('a publisher’s time', () => {
  it.each(Object.entries(TABLE))('%s', (_, rows) => {
    const timeline = new Timeline();
    const out: unknown[] = [];
    const want: unknown[] = [];
    for (const row of rows) {
      if (row === 'resume') {
        timeline.resume();
        continue;
      }
      const [kind, timestamp, nowMs, expected] = row;
      out.push([kind, timestamp, timeline.tidy(kind, timestamp, nowMs)]);
      want.push([kind, timestamp, expected]);
    }
    expect(out).toEqual(want);
  });

  it('never goes back and never runs ahead, whatever comes', () => {
    const timeline = new Timeline();
    const last = { audio: -1, video: -1 };
    let seed = 7;
    const random = (below: number): number => (seed = (seed * 48_271) % 2_147_483_647) % below;
    let nowMs = 0;
    let raw = 0;
    for (let i = 0; i < 20_000; i++) {
      nowMs += random(40);
      raw += random(40);
      if (random(200) === 0) raw = random(2 ** 31);
      if (random(500) === 0) timeline.resume();
      const kind = random(2) ? 'audio' : 'video';
      const out = timeline.tidy(kind, raw, nowMs);
      expect(out).toBeGreaterThan(last[kind]);
      last[kind] = out;
    }
    // 20,000 steps of 20 ms.
    expect(Math.abs(timeline.now - nowMs)).toBeLessThan(60_000);
  });
});
