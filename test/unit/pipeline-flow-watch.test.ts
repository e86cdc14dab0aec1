import { expect, test } from 'vitest';

import { FlowWatch, STALL_MS } from '../../pipelines/shared/flow-watch.ts';

/** Each row: milliseconds, packets so far (or a mute), what is reported, whether the track is seen. */
type Row = [number, number | 'mute' | 'unmute', boolean | undefined, boolean];

function play(rows: readonly Row[], muted = false): void {
  const watch = new FlowWatch(0, muted);
  for (const [at, what, reported, seen] of rows) {
    if (typeof what === 'number') expect(watch.update(what, at), `at ${at}`).toBe(reported);
    else watch.setMuted(what === 'mute', at);
    expect(watch.flowing, `at ${at}`).toBe(seen);
  }
}

test('is shown from its first frame on, which is before its first packet has been counted', () =>
  play([
    [100, 0, undefined, true],
    [200, 5, undefined, true],
  ]));

test('stalls after two seconds, says so once, and flows again', () =>
  play([
    [100, 5, undefined, true],
    [100 + STALL_MS - 1, 5, undefined, true],
    [100 + STALL_MS, 5, false, false],
    [9000, 5, undefined, false],
    [9250, 6, true, true],
    [9500, 7, undefined, true],
  ]));

test('one that never came is a stall', () => play([[STALL_MS, 0, false, false]]));

test('a mute hides at once and is no stall; an unmute shows with the next packet', () =>
  play([
    [100, 5, undefined, true],
    [200, 'mute', undefined, false],
    [300, 6, undefined, false],
    [9000, 6, undefined, false],
    [9100, 'unmute', undefined, false],
    [9200, 6, undefined, false],
    [9300, 7, undefined, true],
  ]));

test('an unmute that brings nothing is a stall', () =>
  play(
    [
      [100, 'unmute', undefined, false],
      [100 + STALL_MS, 0, false, false],
      [5000, 1, true, true],
    ],
    true,
  ));
