import { describe, expect, it } from 'vitest';
import { account } from '../chaos/account.ts';
import type { Excuse, Observed } from '../chaos/account.ts';
import { Chance } from '../chaos/chance.ts';

const FPS = 10;

/** Twelve seconds, of which ten and some are to be accounted for, without those in `without`. */
function recording(without: readonly number[], change: Partial<Observed> = {}): Observed {
  const pictures = Array.from({ length: 12 * FPS }, (_, frame) => frame / FPS).filter(
    (at) => !without.includes(Math.floor(at)),
  );
  return {
    ...{ name: 'copy', span: { from: 1, to: 11.5 }, fps: FPS, pictures, silences: [], doubled: [], gaps: [] },
    ...change,
  };
}

const gap = { from: 4.2, to: 6.1, reason: 'another worker took over' };
const killed: Excuse = { kind: 'gap', from: 4, to: 9, most: 5, reason: 'worker killed' };

describe('the account of a recording', () => {
  it('finds all of a whole one', () => {
    expect(account(recording([]), [])).toEqual({
      ...{ name: 'copy', expected: 10, recorded: 10, lost: new Map(), wrong: [] },
    });
  });

  it('takes what a named gap at a fault covers', () => {
    const result = account(recording([4, 5], { gaps: [gap] }), [killed]);
    expect(result).toMatchObject({ recorded: 8, wrong: [] });
    expect(result.lost).toEqual(new Map([['another worker took over', 2]]));
  });

  it('does not take what no gap names, fault or not', () => {
    expect(account(recording([5]), [killed]).wrong).toEqual(['missing without a reason: 5 s (picture)']);
  });

  it('does not take a gap without a fault, nor one that is too long for it', () => {
    expect(account(recording([4, 5], { gaps: [gap] }), []).wrong[0]).toContain('without a fault');
    const short = { ...killed, most: 1 };
    expect(account(recording([4, 5], { gaps: [gap] }), [short]).wrong[0]).toContain('may cost 1 s');
    const late = { ...killed, from: 8, to: 12 };
    expect(account(recording([4, 5], { gaps: [gap] }), [late]).wrong[0]).toContain('without a fault');
  });

  it('takes it when who sends was away', () => {
    const away: Excuse = { kind: 'absence', from: 6.5, to: 7.4, most: 0, reason: 'guest away' };
    const result = account(recording([6, 7]), [away]);
    expect(result.lost).toEqual(new Map([['guest away', 2]]));
    expect(result.wrong).toEqual([]);
  });

  it('misses sound as it misses pictures, and sees what is there twice', () => {
    expect(account(recording([], { silences: [{ from: 3.2, to: 3.9 }] }), []).wrong).toEqual([
      'missing without a reason: 3 s (sound)',
    ]);
    expect(account(recording([], { doubled: [7] }), []).wrong).toEqual(['shown twice: at 7.0 s']);
  });

  it('takes it that an ingress is sent again from its last keyframe, after a fault alone', () => {
    const twice = recording([], { doubled: [9.5], replayed: true });
    expect(account(twice, [killed]).wrong).toEqual([]);
    expect(account(twice, []).wrong).toEqual(['shown twice: at 9.5 s']);
    expect(account({ ...twice, replayed: false }, [killed]).wrong).toEqual(['shown twice: at 9.5 s']);
  });
});

describe('chance', () => {
  it('is the same for the same seed, and another for another', () => {
    const draws = (seed: number) => {
      const chance = new Chance(seed);
      return [chance.next(), chance.pick([1, 2, 3, 4, 5, 6, 7, 8]), ...chance.shuffled([1, 2, 3, 4, 5])];
    };
    expect(draws(7)).toEqual(draws(7));
    expect(draws(7)).not.toEqual(draws(8));
    expect(draws(7).slice(2).sort()).toEqual([1, 2, 3, 4, 5]);
  });
});
