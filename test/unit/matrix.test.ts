import { expect, it } from 'vitest';
import { CODECS, everyCombination, nameOf, OUTPUTS, pairwise, SOURCES } from '../support/matrix.ts';

const all = everyCombination();
const chosen = pairwise(all);

it('knows every source, output and codec', () => {
  expect(new Set(all.map(({ source }) => source))).toEqual(new Set(SOURCES));
  expect(new Set(all.map(({ outputs }) => outputs))).toEqual(new Set(OUTPUTS));
  expect(new Set(all.map(({ codec }) => codec))).toEqual(new Set(CODECS));
});

it('chooses few combinations, and every pair is in one', () => {
  for (const one of all) {
    for (const [first, second] of [
      ['source', 'outputs'],
      ['source', 'codec'],
      ['outputs', 'codec'],
    ] as const) {
      const held = chosen.some((each) => each[first] === one[first] && each[second] === one[second]);
      expect(held, `${nameOf(one)}: ${first} and ${second}`).toBe(true);
    }
  }
  expect(chosen.length).toBeLessThan(all.length / 2);
});
