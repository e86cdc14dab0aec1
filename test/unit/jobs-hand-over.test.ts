/** Jobs that move to other workers, a few at a time. */
import { describe, expect, it } from 'vitest';
import { setTimeout as sleep } from 'node:timers/promises';
import { handOverInTurn } from '../../src/jobs/hand-over.ts';

/** Jobs that end at once when told to, and what is told when. */
function jobs(count: number) {
  const told: string[] = [];
  const made = Array.from({ length: count }, (_, index) => {
    const { promise, resolve } = Promise.withResolvers<{ id: string; attempt: number } | undefined>();
    const id = `EG_${index}`;
    return { next: promise, handOver: () => (told.push(id), resolve({ id, attempt: 2 })) };
  });
  return { made, told };
}

describe('handing over', () => {
  it('moves the next job when one has been taken', async () => {
    const { made, told } = jobs(5);
    const taken = new Set<string>();
    const done = handOverInTurn(made, ({ id }) => Promise.resolve(taken.has(id)), 2);
    await sleep(150);
    expect(told).toEqual(['EG_0', 'EG_1']);
    taken.add('EG_1');
    await sleep(150);
    expect(told).toEqual(['EG_0', 'EG_1', 'EG_2']);
    for (const id of ['EG_0', 'EG_2', 'EG_3', 'EG_4']) taken.add(id);
    await done;
    expect(told).toHaveLength(5);
  });

  it('moves all the rest at once when nobody takes them', async () => {
    const { made, told } = jobs(5);
    const began = performance.now();
    await handOverInTurn(made, () => Promise.reject(new Error('Redis is away')), 2);
    expect(told).toHaveLength(5);
    expect(performance.now() - began).toBeLessThan(3000);
  });

  it('does not let one that never ends here keep the others', async () => {
    const { made, told } = jobs(3);
    const stuck = { next: new Promise<undefined>(() => undefined), handOver: () => void told.push('stuck') };
    const done = handOverInTurn([stuck, ...made], () => Promise.resolve(true), 1);
    await sleep(100);
    expect(told).toEqual(['stuck']);
    await done;
    expect(told).toHaveLength(4);
  });

  it('waits for nobody where a job has ended here', async () => {
    const told: number[] = [];
    const made = [0, 1, 2, 3].map((index) => ({
      next: Promise.resolve(undefined),
      handOver: () => void told.push(index),
    }));
    await handOverInTurn(made, () => Promise.resolve(false), 1);
    expect(told).toEqual([0, 1, 2, 3]);
  });
});
