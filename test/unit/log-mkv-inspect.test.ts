import { describe, expect, it } from 'vitest';
import { InspectError } from '../../src/egress/log/inspection.ts';
import { inspectMkv } from '../../src/egress/log/mkv-inspect.ts';
import { scanMkv } from '../../src/egress/log/mkv-scan.ts';
import { buildMkv } from '../support/mkv-builder.ts';
import type { BuiltBlock } from '../support/mkv-builder.ts';
import { mutate, random } from '../support/mutate.ts';

/** A second: 25 pictures, 50 Opus packets. */
function second(start: number): BuiltBlock[] {
  return Array.from({ length: 50 }, (_, i): BuiltBlock[] => [
    ...(i % 2 === 0 ? [{ kind: 'video', at: start + i * 20, key: i === 0 } as const] : []),
    { kind: 'audio', at: start + i * 20 },
  ]).flat();
}

const clusters = [second(4000), second(5000)];

describe('a chunk of Matroska', () => {
  it.each([
    ['unknown', false],
    ['known', true],
  ])('with clusters of %s size is counted and timed', (_, sized) => {
    const bytes = buildMkv(clusters, sized);
    const found = inspectMkv(bytes);
    expect(found).toMatchObject({ bytes: bytes.length, wholeBytes: bytes.length });
    expect(found.video).toMatchObject({ frames: 50, keyFrames: 2, startsWithKeyFrame: true, startNs: 4e9 });
    expect(found.video?.infos).toMatchObject([{ codec: 'vp8', width: 322, height: 182 }]);
    expect(found.audio).toMatchObject({
      frames: 100,
      startNs: 4e9,
      endNs: 6e9,
      info: { codec: 'opus', sampleRate: 48_000, channels: 2 },
    });
    expect(scanMkv(bytes).clusters).toHaveLength(2);
  });

  it('cut anywhere counts its whole blocks, and the same again when only they are there', () => {
    for (const sized of [false, true]) {
      const bytes = buildMkv(clusters, sized);
      const header = scanMkv(bytes).headerEnd;
      let before = 0;
      for (let cut = header + 40; cut < bytes.length; cut += 13) {
        const found = inspectMkv(bytes.subarray(0, cut));
        const frames = (found.video?.frames ?? 0) + (found.audio?.frames ?? 0);
        expect(frames).toBeGreaterThanOrEqual(before);
        expect(found.wholeBytes).toBeLessThanOrEqual(cut);
        const again = inspectMkv(bytes.subarray(0, found.wholeBytes));
        expect(again).toEqual({ ...found, bytes: found.wholeBytes });
        before = frames;
      }
      expect(before).toBeGreaterThan(140);
    }
  });
});

describe('what is no chunk', () => {
  it.each([
    ['nothing', Buffer.alloc(0)],
    ['text', Buffer.from('x'.repeat(1000))],
    ['a header alone', buildMkv([]).subarray(0, 30)],
  ])('%s is refused', (_, bytes) => expect(() => inspectMkv(bytes)).toThrow(InspectError));

  it('never makes it throw anything else, nor loop', () => {
    const bytes = buildMkv([second(0)]);
    const next = random(11);
    let through = 0;
    for (let i = 0; i < 5000; i++) {
      try {
        const found = inspectMkv(mutate(bytes, next));
        expect(found.wholeBytes).toBeLessThanOrEqual(found.bytes);
        through++;
      } catch (error) {
        if (!(error instanceof InspectError)) throw error;
      }
    }
    expect(through).toBeGreaterThan(1500);
  });
});
