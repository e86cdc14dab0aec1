import { expect, test } from 'vitest';
import { chooseSlot } from '../../src/signaling/slots.ts';
import type { Slot } from '../../src/signaling/slots.ts';

/** `a.v.` is two pairs: `a` holds a track of participant a, `.` is free; audio and video alternate. */
function slots(owners: string): Slot[] {
  return Array.from(owners, (owner, index) => ({
    kind: index % 2 === 0 ? 'audio' : 'video',
    rank: Math.floor(index / 2),
    owner: owner === '.' ? undefined : owner,
  }));
}

test.each<[string, string, 'audio' | 'video', string, number | undefined]>([
  ['the first free one', '....', 'video', 'a', 1],
  ['beside the same participant', '..a.', 'video', 'a', 3],
  ['not beside another one while a pair is free', 'a...', 'video', 'b', 3],
  ['beside another one when there is no other', 'a.bb', 'video', 'c', 1],
  ['none', 'aabb', 'audio', 'c', undefined],
  ['none of that kind', 'a.b.', 'audio', 'c', undefined],
])('%s', (_name, owners, kind, owner, index) => {
  const all = slots(owners);
  const chosen = chooseSlot(all, { kind, owner });
  expect(chosen && all.indexOf(chosen)).toBe(index);
});
