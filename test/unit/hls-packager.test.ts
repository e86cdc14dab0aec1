/** Parts and segments of fragmented MP4 as a function of the samples, whatever comes and however it is cut up. */
import { describe, expect, it } from 'vitest';
import { Packager } from '../../src/egress/outputs/hls/fmp4/packager.ts';
import type {
  FinishedSegment,
  Packaged,
  PackagerOptions,
  Part,
} from '../../src/egress/outputs/hls/fmp4/packager.ts';
import { chunkUnits } from '../support/log-fixtures.ts';
import { adts, buildTs, picture, SPS_1080 } from '../support/ts-builder.ts';
import type { BuiltUnit } from '../support/ts-builder.ts';

const RUN = { attempt: 1, run: 0 };
const OPTIONS: PackagerOptions = { segmentDuration: 4, longestSegment: 6.49, partDuration: 0.5 };

/** Packages chunks, each given as pieces of `step` bytes. */
function packaged(
  chunks: readonly { units: BuiltUnit[]; run?: number }[],
  { step = Infinity, ...options }: Partial<PackagerOptions> & { step?: number } = {},
): { parts: Part[]; segments: FinishedSegment[] } {
  const packager = new Packager({ ...OPTIONS, ...options });
  const out: Packaged[] = [];
  for (const { units, run = 0 } of chunks) {
    const bytes = buildTs(units);
    packager.begin({ ...RUN, run }, 0);
    for (let at = 0; at < bytes.length; at += step) {
      out.push(...packager.push(bytes.subarray(at, Math.min(bytes.length, at + step))));
    }
    out.push(...packager.end(bytes.length));
  }
  out.push(...packager.flush());
  return {
    parts: out.filter((each) => each.type === 'part'),
    segments: out.filter((each) => each.type === 'segment'),
  };
}

const chunk = (startS: number, seconds = 2, run = 0) => ({
  units: chunkUnits(startS, seconds),
  run,
});

/** Pictures at `fps`, a keyframe first; sound all along. */
function slow(startS: number, seconds: number, fps: number): BuiltUnit[] {
  const pictures = Array.from({ length: Math.round(seconds * fps) }, (_, i): BuiltUnit => ({
    ...{ kind: 'video', at: startS + i / fps, key: i === 0 },
  }));
  const sound = Array.from({ length: Math.round(seconds * 20) }, (_, i): BuiltUnit => ({
    ...{ kind: 'audio', at: startS + i / 20, data: adts(2) },
  }));
  return [...pictures, ...sound].sort((a, b) => a.at - b.at);
}

/** Decoding time of the first picture of a fragment, egress clock, ns; undefined where it has none. */
function firstPicture(data: Buffer): number | undefined {
  const [tfdt, next, trun] = [
    data.indexOf('tfdt'),
    data.indexOf('traf', data.indexOf('tfdt')),
    data.indexOf('trun'),
  ];
  if (trun < 0 || (next >= 0 && trun > next)) return undefined;
  return ((Number(data.readBigUInt64BE(tfdt + 8)) - 3600 * 90_000) * 1e9) / 90_000;
}

function checkParts({ parts, segments }: ReturnType<typeof packaged>, target = 0.5): void {
  for (const { start, durationNs } of segments) {
    const own = parts.filter((part) => part.segment.index === start.index);
    expect(own.reduce((sum, part) => sum + part.durationNs, 0)).toBeCloseTo(durationNs, -3);
    for (const [i, part] of own.entries()) {
      expect(part.durationNs).toBeLessThanOrEqual(target * 1e9 + 1000);
      if (i < own.length - 1) expect(part.durationNs).toBeGreaterThanOrEqual(target * 0.85e9);
    }
  }
  expect(parts.map(({ number }) => number)).toEqual(parts.map((_, i) => i));
}

describe('parts', () => {
  it('are the same however the bytes come', () => {
    const chunks = [chunk(0), chunk(2), chunk(4), chunk(6)];
    const whole = packaged(chunks);
    checkParts(whole);
    expect(whole.segments.map(({ durationNs }) => Math.round(durationNs / 1e8) / 10)).toEqual([4, 4]);
    for (const step of [1, 187, 1000]) expect(packaged(chunks, { step })).toEqual(whole);
  });

  it('are the same when another packager goes on behind a segment', () => {
    const bytes = [0, 2, 4, 6, 8, 10, 12].map((startS) => buildTs(slow(startS, 2, 12)));
    const pack = (packager: Packager, from: number) =>
      bytes.slice(from).map((each) => {
        packager.begin(RUN, 0);
        return [...packager.push(each), ...packager.end(each.length)];
      });
    const whole = pack(new Packager(OPTIONS), 0);
    // A segment ends with the first units of the chunk behind it.
    const ends = whole.flatMap((out, i) =>
      out.flatMap((each) => (each.type === 'segment' ? [{ i, segment: each }] : [])),
    );
    expect(ends.length).toBeGreaterThan(2);
    for (const { i, segment } of ends) {
      const { next } = segment;
      if (!next) throw new Error('no state');
      const out = whole.slice(i).flat();
      expect(pack(new Packager(OPTIONS, next), i).flat()).toEqual(out.slice(out.indexOf(segment) + 1));
    }
  });

  it('hold their length whatever the frame rate is', () => {
    for (const fps of [2, 5, 12, 30]) {
      const chunks = [0, 2, 4, 6].map((startS) => ({ units: slow(startS, 2, fps) }));
      const result = packaged(chunks);
      checkParts(result);
      expect(result.segments).toHaveLength(2);
    }
  });

  it('begin with a picture where pictures come often enough, for players go by that', () => {
    // Sound begins before the picture, which is on no grid of the sound's.
    const sound = slow(0, 0.3, 1).filter(({ kind }) => kind === 'audio');
    const { parts } = packaged([{ units: [...sound, ...slow(0.317, 3.7, 30)] }]);
    let at = parts[0]?.segment.startNs ?? 0;
    for (const { data, durationNs, number } of parts) {
      const first = firstPicture(data);
      if (number > 0 && first !== undefined) expect(Math.abs(first - at)).toBeLessThan(1e5);
      at += durationNs;
    }
    expect(parts.length).toBeGreaterThan(7);
  });

  it('go on where the picture stops, and while it is away', () => {
    const units = [...chunkUnits(0, 1), ...slow(1, 5, 20).filter(({ kind }) => kind === 'audio')];
    const result = packaged([{ units }]);
    checkParts(result);
    expect(result.parts.length).toBeGreaterThanOrEqual(11);
    // hls.js takes a track without samples for a fragment without media.
    const tracks = (data: Buffer) => data.toString('latin1').split('traf').length - 1;
    expect(tracks(result.parts[0]!.data)).toBe(2);
    expect(tracks(result.parts.at(-2)!.data)).toBe(1);
  });

  it('say where decoding can begin', () => {
    const { parts } = packaged([chunk(0), chunk(2)]);
    expect(parts[0]?.independent).toBe(true);
    expect(parts.filter(({ independent }) => independent)).toHaveLength(2);
    const sound = slow(0, 4, 1).filter(({ kind }) => kind === 'audio');
    const alone = packaged([{ units: sound }]);
    expect(alone.parts.every(({ independent }) => independent)).toBe(true);
  });
});

describe('segments', () => {
  it('begin anew with another run and behind a hole, and say so', () => {
    const { segments } = packaged([chunk(0), chunk(2), chunk(9), chunk(11, 2, 1)]);
    expect(segments.map(({ start }) => [start.discontinuity, Math.round(start.startNs / 1e9)])).toEqual([
      [false, 0],
      [true, 9],
      [true, 11],
    ]);
  });

  it('begin anew with another picture size, in the middle of a chunk too', () => {
    const units = [...chunkUnits(0, 1), ...chunkUnits(1, 1, picture(true, 1000, SPS_1080))];
    const { segments } = packaged([{ units }]);
    expect(segments.map(({ start }) => start.configs.video?.width)).toEqual([640, 1920]);
    expect(segments[1]?.start.discontinuity).toBe(true);
  });

  it('are no longer than they may be', () => {
    for (const partDuration of [undefined, 0.5]) {
      const result = packaged([{ units: chunkUnits(0, 20) }], {
        ...(partDuration !== undefined && { partDuration }),
      });
      for (const { durationNs } of result.segments) expect(durationNs).toBeLessThanOrEqual(6.49e9);
    }
  });

  it('count only what the log counts of a chunk that was cut off', () => {
    const bytes = buildTs(chunkUnits(0, 2));
    const packager = new Packager(OPTIONS);
    packager.begin(RUN, 0);
    const out = packager.push(bytes);
    out.push(...packager.end(0), ...packager.flush());
    const segment = out.find((each) => each.type === 'segment');
    // What was complete before stays, and nothing is invented.
    expect(segment?.durationNs).toBeLessThanOrEqual(2.05e9);
    expect(() => new Packager(OPTIONS).flush()).not.toThrow();
  });
});
