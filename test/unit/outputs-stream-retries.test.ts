/** How long a stream waits before its destination is tried again. */
import { describe, expect, it } from 'vitest';
import { Retries } from '../../src/egress/outputs/stream/retries.ts';

const LIMITS = { connectMs: 60_000, retryMs: 60_000 };

describe('tries of a destination', () => {
  it('wait longer each time, up to ten seconds, and anew after it was live for a while', () => {
    const retries = new Retries(LIMITS);
    const waits = Array.from({ length: 8 }, () => retries.next(0, true)!);
    expect(waits[0]).toBeLessThanOrEqual(625);
    expect(waits[1]).toBeGreaterThanOrEqual(750);
    expect(waits[7]).toBeGreaterThanOrEqual(7500);
    expect(Math.max(...waits)).toBeLessThanOrEqual(12_500);
    expect(retries.next(2000, true)).toBeGreaterThanOrEqual(7500);
    expect(retries.next(6000, true)).toBeLessThanOrEqual(625);
  });

  it('wait for nothing that is not its fault', () => {
    const retries = new Retries(LIMITS);
    for (let count = 0; count < 8; count++) retries.next(0, true);
    expect(retries.next(2000, true, true)).toBeLessThanOrEqual(625);
  });
});
