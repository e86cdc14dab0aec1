import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { ActiveSpeakers } from '../../src/sfu/active-speakers.ts';

let changes: string[][];
let speakers: ActiveSpeakers;
beforeEach(() => {
  vi.useFakeTimers();
  changes = [];
  speakers = new ActiveSpeakers((identities) => changes.push(identities));
});
afterEach(() => {
  speakers.close();
  vi.useRealTimers();
});

const heard = (levels: Record<string, number>): void => speakers.heard(new Map(Object.entries(levels)));

describe('active speakers', () => {
  it('are told loudest first, and only when the list changes', () => {
    heard({ ann: -30, bob: -20 });
    heard({ ann: -31, bob: -19 });
    expect(changes).toEqual([['bob', 'ann']]);
    expect(speakers.current).toEqual(['bob', 'ann']);
  });

  it('change places when somebody stays louder, not by one syllable', () => {
    heard({ ann: -30, bob: -20 });
    heard({ ann: -15, bob: -20 });
    expect(changes).toHaveLength(1);
    heard({ ann: -15, bob: -20 });
    expect(changes.at(-1)).toEqual(['ann', 'bob']);
  });

  it('go a second after they were last heard, also when nothing is heard any more', () => {
    heard({ ann: -30, bob: -20 });
    vi.advanceTimersByTime(300);
    heard({ bob: -20 });
    vi.advanceTimersByTime(699);
    expect(speakers.current).toEqual(['bob', 'ann']);
    vi.advanceTimersByTime(1);
    expect(speakers.current).toEqual(['bob']);
    vi.advanceTimersByTime(300);
    expect(changes.at(-1)).toEqual([]);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('are forgotten at once when they leave', () => {
    heard({ ann: -30 });
    speakers.remove('ann');
    speakers.remove('nobody');
    expect(changes).toEqual([['ann'], []]);
  });
});
