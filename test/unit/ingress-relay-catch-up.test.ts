import { describe, expect, it } from 'vitest';
import { CatchUp } from '../../src/ingress/relay/catch-up.ts';
import type { FlvTag } from '../../src/ingress/inputs/rtmp/index.ts';

/** H.264 with a composition time, ms. */
function picture(timestamp: number, composition = 0): FlvTag {
  const payload = Buffer.from([0x27, 1, 0, 0, 0, 0, 0, 0, 1, 0x41]);
  payload.writeIntBE(composition, 2, 3);
  return { type: 'video', timestamp, payload };
}

const sound = (timestamp: number): FlvTag => ({
  type: 'audio',
  timestamp,
  payload: Buffer.from([0xaf, 1, 0]),
});

const shownAt = ({ timestamp, payload }: FlvTag) => timestamp + payload.readIntBE(2, 3);

describe('a reader that begins two seconds late', () => {
  const catchUp = new CatchUp(1000, 3000);

  it('gets the pictures in between within a moment, shown in the same order', () => {
    // Coded order of two B-frames, 40 ms a frame.
    const late = [0, 120, 40, 80, 240, 160, 200].map((shown, index) =>
      picture(1000 + index * 40, shown - index * 40 + 80),
    );
    const sent = late.map((tag) => catchUp.apply(tag)!);
    const order = (tags: FlvTag[]) =>
      tags
        .map((tag, index) => [shownAt(tag), index] as const)
        .sort(([a], [b]) => a - b)
        .map(([, index]) => index);
    expect(order(sent)).toEqual(order(late));
    expect(sent[0]!.timestamp).toBe(2875);
    for (const { timestamp } of sent) expect(timestamp).toBeLessThan(3000);
  });

  it('hears only what is live, and leaves that alone', () => {
    expect(catchUp.apply(sound(2990))).toBeUndefined();
    expect(catchUp.apply(sound(3000))).toEqual(sound(3000));
    expect(catchUp.apply(picture(3040, 80))).toEqual(picture(3040, 80));
  });

  it('leaves everything alone when there is next to nothing to catch up with', () => {
    const close = new CatchUp(2950, 3000);
    expect(close.apply(picture(2950, 40))).toEqual(picture(2950, 40));
    expect(close.apply(sound(2960))).toEqual(sound(2960));
  });
});
