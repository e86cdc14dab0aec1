import { describe, expect, it } from 'vitest';
import { account } from '../chaos/account.ts';
import type { Excuse, Observed } from '../chaos/account.ts';
import { Chance } from '../chaos/chance.ts';
import type { Fault } from '../chaos/fault.ts';
import { faults } from '../chaos/faults.ts';
import { chaosOptions } from '../chaos/options.ts';
import { storm } from '../chaos/storm.ts';

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

describe('a storm', () => {
  it('in full has room for its longest fault, or is refused', () => {
    expect(() => chaosOptions(['--full', '--minutes', '10'])).toThrow('--minutes 12 or more');
    const { minutes, full } = chaosOptions(['--full', '--minutes', '12']);
    const longest = Math.max(...faults(minutes, full).map(({ lasts }) => lasts ?? 0));
    expect(longest).toBe(600);
    expect(minutes * 60).toBeGreaterThan(longest);
    expect(chaosOptions(['--minutes', '5'])).toMatchObject({ minutes: 5, full: undefined });
  });

  it('draws nothing while no fault may begin: how long that is, is no matter of the seed', async () => {
    const chance = new Chance(7);
    const tooLong = faults(12, true).filter(({ lasts }) => lasts !== undefined);
    expect(tooLong).toHaveLength(1);
    const quiet = { chance, ms: 150, say: () => undefined };
    expect(await storm({} as never, tooLong, quiet)).toEqual({ happened: [], failures: [] });
    const once = new Chance(7);
    once.shuffled(tooLong);
    expect(chance.next()).toBe(once.next());
  });

  it('begins with what lasts long: at its end there is no time for it', async () => {
    const fault = (name: string, lasts?: number): Fault => ({
      ...{ name, targets: ['storage'], costs: [], settle: 0, cause: async () => name },
      ...(lasts !== undefined && { lasts }),
    });
    const all = [fault('a'), fault('b'), fault('long', 0.1), fault('c')];
    // A seed that draws `long` last, and a short wait.
    const options = { chance: new Chance(156), ms: 120, say: () => undefined };
    const { happened } = await storm({} as never, all, options);
    expect(happened[0]?.what).toBe('long');
  });
});
