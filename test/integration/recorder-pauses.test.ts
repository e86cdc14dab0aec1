/** A pause outlives the worker it began in: what the next attempt's pipeline takes, and what its log tells. */
import { describe, expect, it } from 'vitest';
import { readLog } from '../../src/egress/log/reader.ts';
import { pausesOf } from '../../src/egress/log/pauses.ts';
import type { EgressDesired } from '../../src/store/types.ts';
import { withFolder } from '../support/log-fixtures.ts';
import { recorderAttempt as attempt } from '../support/recorder-rig.ts';

const marker = { markerId: 'MK_1', atMs: Date.now() - 5000, label: 'here' };

describe('an egress that is paused when its worker is lost', () => {
  it('is still paused in the next attempt, until it is resumed; its markers are set once', () =>
    withFolder(async (dir) => {
      const desired: EgressDesired = { revision: 1, streamUrls: [] };
      const first = await attempt(dir, 1, desired);
      first.changes.apply({ ...desired, revision: 2, paused: true, markers: [marker] });
      await first.changes.settled();
      expect(first.calls).toEqual(['start with all', 'sync 1', 'sync 0']);
      expect(first.fatal).toEqual([]);
      expect(first.says).toEqual(['runs', 'paused', 'applied 2']);
      await first.end();

      const second = await attempt(dir, 2, { ...desired, revision: 2, paused: true, markers: [marker] });
      expect(second.calls).toEqual(['start idle']);
      second.changes.apply({ ...desired, revision: 3, paused: false, markers: [marker] });
      await second.changes.settled();
      expect(second.calls).toEqual(['start idle', 'sync 1', 'cut']);
      expect(second.says).toEqual(['paused', 'runs', 'applied 3']);
      await second.end();

      const { events } = await readLog(dir);
      expect(events.filter(({ name }) => name === 'marker')).toHaveLength(1);
      const pauses = pausesOf(events);
      expect(pauses).toHaveLength(1);
      expect(pauses[0]!.endNs).toBeLessThan(Infinity);
    }));

  it('hides what has no tracks to let go of, and shows it again', () =>
    withFolder(async (dir) => {
      const desired: EgressDesired = { revision: 1, streamUrls: [] };
      const hidden: boolean[] = [];
      const hide = async (now: boolean) => void hidden.push(now);
      const only = await attempt(dir, 1, desired, { pipeline: { hide } });
      only.changes.apply({ ...desired, revision: 2, paused: true });
      only.changes.apply({ ...desired, revision: 3, paused: false });
      await only.changes.settled();
      expect(hidden).toEqual([true, false]);
      await only.end();
    }));

  it('goes on where it was resumed while nobody had it', () =>
    withFolder(async (dir) => {
      const desired: EgressDesired = { revision: 1, streamUrls: [], paused: true };
      const first = await attempt(dir, 1, desired);
      expect(first.calls).toEqual(['start idle']);
      await first.end();
      const second = await attempt(dir, 2, { ...desired, revision: 2, paused: false });
      expect(second.calls).toEqual(['start with all', 'sync 1']);
      await second.end();
      const [pause, ...more] = pausesOf((await readLog(dir)).events);
      expect(more).toEqual([]);
      expect(pause!.endNs).toBeLessThan(Infinity);
    }));
});
