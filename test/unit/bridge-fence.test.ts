import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Fence } from '../../src/bridge/fence.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

describe('the fence', () => {
  it('lets only the highest attempt in', () => {
    const fence = new Fence();
    expect(fence.admit('r', 'EG_1', 2)).toBe(true);
    expect(fence.admit('r', 'EG_1', 1)).toBe(false);
    expect(fence.admit('r', 'EG_1', 2)).toBe(true);
    expect(fence.admit('r', 'EG_1', 3)).toBe(true);
    expect(fence.admit('r', 'EG_1', 2)).toBe(false);
  });

  it('keeps a lost attempt out, and only the one that was lost', () => {
    const fence = new Fence();
    fence.admit('r', 'EG_1', 1);
    fence.admit('r', 'EG_1', 2);
    fence.lose('r', 'EG_1', 1);
    expect(fence.admit('r', 'EG_1', 2)).toBe(true);
    fence.lose('r', 'EG_1', 2);
    expect(fence.admit('r', 'EG_1', 2)).toBe(false);
    expect(fence.admit('r', 'EG_1', 3)).toBe(true);
  });

  it('does not mix up names', () => {
    const fence = new Fence();
    fence.admit('a","b', 'c', 5);
    expect(fence.admit('a', 'b","c', 1)).toBe(true);
  });

  it('forgets after a day', () => {
    const fence = new Fence();
    fence.admit('r', 'EG_1', 5);
    vi.advanceTimersByTime(23 * 3600_000);
    fence.admit('r', 'EG_2', 1);
    expect(fence.admit('r', 'EG_1', 4)).toBe(false);
    vi.advanceTimersByTime(2 * 3600_000);
    fence.admit('r', 'EG_3', 1);
    expect(fence.admit('r', 'EG_1', 4)).toBe(true);
    expect(fence.admit('r', 'EG_2', 0)).toBe(false);
  });
});
