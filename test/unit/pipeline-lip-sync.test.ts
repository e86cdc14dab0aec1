import { describe, expect, test } from 'vitest';

import { LIP_SYNC_DEFAULTS, LipSync, senderClockAtZero } from '../../pipelines/shared/lip-sync.ts';

const MS = 1e6;
const EPOCH = 3_900_000_000_000_000_000n;

describe('the clock a track tells', () => {
  test('is the report, brought to the packet, less when the packet is', () => {
    // 90 000 ticks after the report is a second after it; the packet lies at 3 s.
    const clock = senderClockAtZero({ ntp: 10n << 32n, rtp: 1000 }, { rtp: 91_000, runningNs: 3e9 }, 90_000);
    expect(clock).toBe(8_000_000_000n);
  });

  test.each([
    ['a packet before the report', 50_000, 5000, 10n, -0.5],
    ['a timestamp that has wrapped', 0xffff_ff00, 44_744, 10n, 0.5],
    ['a report that has wrapped', 44_744, 0xffff_ff00, 10n, -0.5],
  ])('%s', (_, reportRtp, mediaRtp, seconds, apart) => {
    const clock = senderClockAtZero(
      { ntp: seconds << 32n, rtp: reportRtp },
      { rtp: mediaRtp, runningNs: 0 },
      90_000,
    );
    expect(Number(clock) / 1e9).toBeCloseTo(10 + apart, 3);
  });

  test('keeps nanoseconds of a real date', () => {
    const clock = senderClockAtZero({ ntp: 3_900_000_000n << 32n, rtp: 0 }, { rtp: 0, runningNs: 1 }, 48_000);
    expect(clock).toBe(EPOCH - 1n);
  });
});

describe('LipSync', () => {
  /** Steps until nothing changes. @returns each track's offset in ms */
  function settle(sync: LipSync, measured: Record<string, number>, steps = 200): Record<string, number> {
    for (let step = 0; step < steps; step++) {
      for (const [track, ms] of Object.entries(measured)) sync.measure(track, EPOCH + BigInt(ms * MS));
      sync.step();
    }
    return Object.fromEntries(Object.keys(measured).map((track) => [track, sync.offsetOf(track) / MS]));
  }

  const group = (...tracks: string[]): LipSync => {
    const sync = new LipSync();
    for (const track of tracks) sync.add(track, 'group', track === 'audio' ? 'audio' : 'video');
    return sync;
  };

  test.each([
    [
      { audio: 0, video: 0 },
      { audio: 0, video: 0 },
    ],
    [
      { audio: 300, video: 0 },
      { audio: 300, video: 0 },
    ],
    [
      { audio: 0, video: 120 },
      { audio: 0, video: 120 },
    ],
    [
      { audio: 50, video: 10, screen: 200 },
      { audio: 40, video: 0, screen: 190 },
    ],
    // Below the deadband: noise.
    [
      { audio: 3, video: 0 },
      { audio: 0, video: 0 },
    ],
    // Beyond the bound: not to be believed.
    [
      { audio: 5000, video: 0 },
      { audio: 0, video: 0 },
    ],
  ])('%o settles at %o', (measured, expected) => {
    const offsets = settle(group(...Object.keys(measured)), measured);
    for (const [track, ms] of Object.entries(expected))
      expect(Math.abs((offsets[track] ?? NaN) - ms), track).toBeLessThanOrEqual(4);
  });

  test('makes a large correction at once, small ones in steps', () => {
    const sync = group('audio', 'video');
    for (let report = 0; report < 2; report++) {
      sync.measure('video', EPOCH + BigInt(400 * MS));
      sync.measure('audio', EPOCH);
    }
    expect(sync.step()).toEqual([{ trackId: 'video', offsetNs: 400 * MS }]);
    sync.measure('video', EPOCH + BigInt(380 * MS));
    sync.measure('audio', EPOCH);
    for (let step = 0; step < 4; step++) {
      sync.measure('video', EPOCH + BigInt(380 * MS));
      sync.step();
    }
    expect(sync.offsetOf('video') / MS).toBeCloseTo(380, -1);
  });

  test('never turns the time of a picture back, however far it has been delayed', () => {
    const sync = group('audio', 'video');
    settle(sync, { audio: 0, video: 400 }, 10);
    let before = sync.offsetOf('video');
    for (let step = 0; step < 100; step++) {
      sync.measure('video', EPOCH + BigInt(100 * MS));
      sync.measure('audio', EPOCH);
      sync.step();
      const now = sync.offsetOf('video');
      expect(before - now).toBeLessThanOrEqual(LIP_SYNC_DEFAULTS.slewNs);
      before = now;
    }
    expect(before / MS).toBeLessThan(105);
  });

  test('cuts the delay of a sound that followed a picture which was late for a moment', () => {
    const sync = group('audio', 'video');
    settle(sync, { audio: 235, video: 0 }, 2);
    expect(sync.offsetOf('audio')).toBe(235 * MS);
    // The median believes it after three measurements, and after three steps it is acted on: 3 s in all.
    settle(sync, { audio: 10, video: 0 }, 6);
    expect(sync.offsetOf('audio') / MS).toBeLessThanOrEqual(14);
  });

  test('a first report that tells otherwise than those after it moves nothing', () => {
    const sync = group('audio', 'video');
    // The SFU knows when the picture was captured, and of the sound only when it came.
    for (const [audio, video] of [
      [0, -250],
      [-240, -250],
      [-240, -250],
      [-245, -250],
    ] as const) {
      sync.measure('audio', EPOCH + BigInt(audio * MS));
      sync.measure('video', EPOCH + BigInt(video * MS));
      for (const { trackId, offsetNs } of sync.step())
        expect(offsetNs, trackId).toBeLessThanOrEqual(LIP_SYNC_DEFAULTS.slewNs);
    }
    expect(sync.offsetOf('video')).toBe(0);
  });

  test('one bad measurement changes nothing', () => {
    const sync = group('audio', 'video');
    settle(sync, { audio: 100, video: 0 });
    sync.measure('audio', EPOCH + BigInt(700 * MS));
    expect(sync.step()).toEqual([]);
  });

  test('one measurement in four that is wrong changes nothing', () => {
    const sync = group('audio', 'video');
    settle(sync, { audio: 100, video: 0 });
    for (let round = 0; round < 40; round++) {
      // An SFU that extrapolates badly, and one that says when a packet came and not when it was captured.
      sync.measure('audio', EPOCH + BigInt((round % 4 === 0 ? 115 : 100) * MS));
      sync.measure('video', EPOCH + BigInt((round % 4 === 2 ? 250 : 0) * MS));
      sync.step();
      expect(Math.abs(sync.offsetOf('audio') - 100 * MS)).toBeLessThanOrEqual(4 * MS);
      expect(sync.offsetOf('video')).toBe(0);
    }
  });

  test('a clock that moves is believed the second time', () => {
    const sync = group('audio', 'video');
    settle(sync, { audio: 0, video: 0 });
    const moved = (): void => {
      sync.measure('audio', EPOCH);
      sync.measure('video', EPOCH + BigInt(250 * MS));
    };
    moved();
    expect(sync.step()).toEqual([]);
    moved();
    expect(sync.step()).toEqual([{ trackId: 'video', offsetNs: 250 * MS }]);
  });

  test('a sender whose clock was set starts afresh', () => {
    const sync = group('audio', 'video');
    settle(sync, { audio: 100, video: 0 });
    expect(settle(sync, { audio: 3_600_050, video: 3_600_000 })).toEqual({
      audio: expect.closeTo(50, -1) as number,
      video: 0,
    });
  });

  test('groups, single tracks and tracks without reports keep to themselves', () => {
    const sync = new LipSync();
    sync.add('a', 'one', 'audio');
    sync.add('v', 'two', 'video');
    sync.add('silent', 'one', 'video');
    expect(settle(sync, { a: 500, v: 0 })).toEqual({ a: 0, v: 0 });
    expect(sync.offsetOf('silent')).toBe(0);
    expect(sync.offsetOf('unknown')).toBe(0);
  });

  test('a track that was removed, or has been silent long, holds nobody back', () => {
    const sync = group('audio', 'video');
    settle(sync, { audio: 0, video: 200 });
    sync.remove('audio');
    sync.add('audio', 'group', 'audio');
    expect(settle(sync, { audio: 195, video: 200 })).toEqual({
      audio: 0,
      video: expect.closeTo(5, -1) as number,
    });
    // Nothing from the video any more: the sound is left as it is.
    expect(settle(sync, { audio: 600 }, 60)).toEqual({ audio: expect.any(Number) as number });
    sync.measure('audio', EPOCH);
    expect(sync.step()).toEqual([]);
  });
});
