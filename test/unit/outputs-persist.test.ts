/** Which failures of a storage are waited for. */
import { describe, expect, it } from 'vitest';
import { persist } from '../../src/egress/outputs/persist.ts';
import { StorageError } from '../../src/storage/types.ts';
import { silent } from '../support/log-fixtures.ts';

describe('work at a storage', () => {
  it('is given up for what is not the storage’s fault, also after a failure that was', async () => {
    const cancelled = new AbortController();
    const failures = [new StorageError('destination', 503, 'away'), new Error('superseded')];
    let tries = 0;
    const work = persist(
      { name: 'a', giveUpMs: undefined, cancelled: cancelled.signal, logger: silent },
      async () => {
        tries += 1;
        // That it is tried again does not go on for ever here.
        if (tries > failures.length) cancelled.abort(new Error('tried again'));
        throw failures[tries - 1] ?? new Error('tried again');
      },
    );
    await expect(work).rejects.toThrow('superseded');
    expect(tries).toBe(2);
  });
});
