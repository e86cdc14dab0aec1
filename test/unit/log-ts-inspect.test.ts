import { describe, expect, it } from 'vitest';
import { InspectError } from '../../src/egress/log/inspection.ts';
import { inspectTs } from '../../src/egress/log/ts-inspect.ts';
import { unwrap } from '../../src/egress/log/ts-packets.ts';
import { adts, buildTs, picture, SPS_1080 } from '../support/ts-builder.ts';
import type { BuiltUnit } from '../support/ts-builder.ts';
import { mutate, random } from '../support/mutate.ts';

const closed = { closed: true, nearNs: 0 };
const open = { closed: false, nearNs: 0 };

/** Two seconds: 30 pictures a second, sound of 40 ms a packet. */
function chunk(start = 0, change: Partial<BuiltUnit> = {}): BuiltUnit[] {
  return Array.from({ length: 60 }, (_, i): BuiltUnit[] => [
    { kind: 'video', at: start + i / 30, key: i === 0, ...change },
    ...(i % 2 === 0 ? [{ kind: 'audio', at: start + i / 30, data: adts(2) } as const] : []),
  ]).flat();
}

describe('a chunk of MPEG-TS', () => {
  it('is counted and timed', () => {
    const bytes = buildTs(chunk(5));
    const found = inspectTs(bytes, { closed: true, nearNs: 5e9 });
    expect(found).toMatchObject({ bytes: bytes.length, wholeBytes: bytes.length, damaged: 0 });
    expect(found.video).toMatchObject({ frames: 60, keyFrames: 1, startsWithKeyFrame: true, changes: [] });
    expect(found.video?.infos).toMatchObject([{ codec: 'h264', width: 640, height: 360, profile: 'Main' }]);
    expect(found.video?.startNs).toBe(5e9);
    expect(found.video?.endNs).toBeCloseTo(7e9, -5);
    expect(found.audio).toMatchObject({
      frames: 60,
      info: { codec: 'aac', sampleRate: 48_000, channels: 2 },
    });
  });

  it('may begin with sound before its tables', () => {
    const early = buildTs([{ kind: 'audio', at: 0 }], { tables: 'none' });
    const found = inspectTs(Buffer.concat([early, buildTs(chunk())]), closed);
    expect(found.audio?.frames).toBe(61);
  });

  it('keeps its time when the 33 bits wrap', () => {
    const day = 26.5 * 3600;
    for (const at of [day - 3600 - 1, day, 2 * day + 17, 1000 * 3600]) {
      const found = inspectTs(buildTs(chunk(at)), { closed: true, nearNs: (at + 600) * 1e9 });
      expect(found.video?.startNs).toBeCloseTo(at * 1e9, -5);
      expect(found.video?.endNs).toBeCloseTo((at + 2) * 1e9, -5);
    }
    expect(unwrap(5, 2 ** 33 + 3)).toBe(2 ** 33 + 5);
    expect(unwrap(2 ** 33 - 5, 3)).toBe(-5);
  });

  it('says where other parameter sets come into force', () => {
    const first = chunk();
    const before = buildTs(first);
    const second = chunk(2).map((unit) =>
      unit.key ? { ...unit, data: picture(true, 1000, SPS_1080) } : unit,
    );
    const found = inspectTs(buildTs([...first, ...second]), closed);
    expect(found.video?.infos.map((info) => info.width)).toEqual([640, 1920]);
    expect(found.video?.changes).toEqual([{ offset: before.length, atNs: 2e9 }]);
  });

  it('counts damage in the middle without giving up what follows', () => {
    const bytes = buildTs(chunk());
    bytes[188 * 50] = 0;
    const found = inspectTs(bytes, closed);
    expect(found.damaged).toBeGreaterThan(0);
    expect(found.wholeBytes).toBe(bytes.length);
    expect(found.video?.frames).toBeGreaterThanOrEqual(59);
  });
});

describe('a chunk that was cut short', () => {
  it('counts only whole packets and whole frames, wherever it was cut', () => {
    const units = chunk();
    const bytes = buildTs(units);
    for (let cut = 188 * 12; cut < bytes.length; cut += 97) {
      const found = inspectTs(bytes.subarray(0, cut), open);
      expect(found.wholeBytes % 188).toBe(0);
      expect(found.wholeBytes).toBeLessThanOrEqual(cut);
      // What counts is the same when only that much is there.
      const again = inspectTs(bytes.subarray(0, found.wholeBytes), open);
      expect(again).toEqual({ ...found, bytes: found.wholeBytes });
    }
  });

  it('does not count a last picture without a length, unless its writer closed the file', () => {
    const units = chunk().filter((unit) => unit.kind === 'video');
    const bytes = buildTs(units.map((unit) => ({ ...unit, unbounded: true })));
    expect(inspectTs(bytes, closed).video?.frames).toBe(60);
    const found = inspectTs(bytes, open);
    expect(found.video?.frames).toBe(59);
    expect(found.wholeBytes).toBeLessThan(bytes.length);
  });
});

describe('what is no chunk', () => {
  it.each([
    ['nothing', Buffer.alloc(0)],
    ['text', Buffer.from('x'.repeat(1000))],
    ['packets without tables', buildTs([{ kind: 'video', at: 0, key: true }], { tables: 'none' })],
    ['less than a packet', buildTs(chunk()).subarray(0, 187)],
  ])('%s is refused', (_, bytes) => expect(() => inspectTs(bytes, closed)).toThrow(InspectError));

  it('never makes it throw anything else, nor loop', () => {
    const bytes = buildTs(chunk().slice(0, 30));
    const next = random(7);
    let through = 0;
    for (let i = 0; i < 3000; i++) {
      try {
        const found = inspectTs(mutate(bytes, next), { closed: next() < 0.5, nearNs: 0 });
        expect(found.wholeBytes).toBeLessThanOrEqual(found.bytes);
        through++;
      } catch (error) {
        if (!(error instanceof InspectError)) throw error;
      }
    }
    // Otherwise it would have tested the first check only.
    expect(through).toBeGreaterThan(1000);
  });

  it('takes a few milliseconds for a megabyte', () => {
    const bytes = buildTs(chunk(0, { data: picture(true, 16_000) }));
    expect(bytes.length).toBeGreaterThan(950_000);
    inspectTs(bytes, closed);
    const started = performance.now();
    for (let i = 0; i < 5; i++) inspectTs(bytes, closed);
    // Loose on purpose: it catches a quadratic walk, not a busy machine.
    expect((performance.now() - started) / 5).toBeLessThan(100);
  });
});
