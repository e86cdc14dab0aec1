import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { KeyFrameSchedule } from '../../src/sfu/key-frame-schedule.ts';

let schedule: KeyFrameSchedule;
/** Times of requests, ms from the start. */
let asked: number[];
let start: number;

beforeEach(() => {
  vi.useFakeTimers();
  start = performance.now();
  asked = [];
  schedule = new KeyFrameSchedule();
});
afterEach(() => {
  schedule.close();
  vi.useRealTimers();
});

const now = (): number => Math.round(performance.now() - start);
function want(intervalMs: number, layer: () => number | undefined = () => 0): () => void {
  return schedule.add({ intervalMs, layer, request: () => asked.push(now()) });
}

describe('a keyframe schedule', () => {
  it('asks once an interval', () => {
    want(2000);
    vi.advanceTimersByTime(7000);
    expect(asked).toEqual([2000, 4000, 6000]);
  });

  it('keeps its pace when the answers come late, in several packets', () => {
    schedule.add({
      intervalMs: 2000,
      layer: () => 0,
      request: () => {
        asked.push(now());
        for (const delay of [150, 155, 160]) setTimeout(() => schedule.keyFrame(0), delay);
      },
    });
    vi.advanceTimersByTime(7000);
    expect(asked).toEqual([2000, 4000, 6000]);
  });

  it('is one train for many, at the shortest interval', () => {
    want(2000);
    vi.advanceTimersByTime(300);
    const release = want(1000);
    vi.advanceTimersByTime(3000);
    expect(asked).toEqual([1000, 2000, 3000]);
    release();
    release();
    vi.advanceTimersByTime(2700);
    expect(asked).toEqual([1000, 2000, 3000, 5000]);
  });

  it('asks nothing of a publisher whose GOP is short, or exactly the interval', () => {
    want(2000);
    for (let i = 0; i < 20; i++) {
      vi.advanceTimersByTime(500);
      schedule.keyFrame(0);
    }
    // A little late each time, as keyframes are.
    for (let i = 0; i < 20; i++) {
      vi.advanceTimersByTime(2000 + 30 * (i % 2));
      schedule.keyFrame(0);
    }
    expect(asked).toEqual([]);
  });

  it('counts from a keyframe that came by itself', () => {
    want(2000);
    vi.advanceTimersByTime(1500);
    schedule.keyFrame(0);
    vi.advanceTimersByTime(2100);
    expect(asked).toEqual([]);
    vi.advanceTimersByTime(150);
    // 1500 + 2000, and a tenth of grace for the next one of its own.
    expect(asked).toEqual([3700]);
  });

  it('takes a keyframe more than a second after a request for one of its own', () => {
    want(2000);
    vi.advanceTimersByTime(3500);
    schedule.keyFrame(0);
    expect(asked).toEqual([2000]);
    vi.advanceTimersByTime(2100);
    expect(asked).toEqual([2000]);
  });

  it('asks nothing while nobody receives, and starts anew when somebody does', () => {
    const received: { layer?: number } = {};
    want(1000, () => received.layer);
    vi.advanceTimersByTime(5000);
    expect(asked).toEqual([]);
    received.layer = 0;
    vi.advanceTimersByTime(2500);
    expect(asked).toEqual([7000]);
  });

  it('has a pace for each simulcast layer that is received', () => {
    const layers: [number, number][] = [];
    for (const layer of [0, 2]) {
      schedule.add({ intervalMs: 1000, layer: () => layer, request: () => layers.push([now(), layer]) });
    }
    vi.advanceTimersByTime(600);
    schedule.keyFrame(2);
    vi.advanceTimersByTime(1500);
    expect(layers).toEqual([
      [1000, 0],
      [1700, 2],
      [2000, 0],
    ]);
  });

  it('does not let anybody ask for a storm', () => {
    want(1);
    vi.advanceTimersByTime(1000);
    expect(asked).toEqual([250, 500, 750, 1000]);
  });

  it('stops with its last wish', () => {
    const release = want(1000);
    vi.advanceTimersByTime(1000);
    release();
    expect(schedule.active).toBe(false);
    expect(vi.getTimerCount()).toBe(0);
    want(1000);
    schedule.close();
    expect(vi.getTimerCount()).toBe(0);
  });
});
