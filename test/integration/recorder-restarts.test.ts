/** Pipelines that die, and do not start, while something is changed about what they record. */
import { describe, expect, it } from 'vitest';
import type { Program } from '../../src/egress/program.ts';
import type { EgressPlan } from '../../src/egress/plan/types.ts';
import { withFolder } from '../support/log-fixtures.ts';
import { recorderAttempt } from '../support/recorder-rig.ts';
import { until } from '../support/takeover.ts';

const COMPOSITE: Program = { program: 'composite', container: 'mpegts', copyAudio: false, reason: 'a test' };
const STREAM: EgressPlan['outputs'][number] = { type: 'stream', protocol: 'rtmp', urls: [] };

describe('a recorder', () => {
  it('starts nothing for a pipeline that died when another one runs', () =>
    withFolder(async (dir) => {
      const tap = Promise.withResolvers<undefined>();
      const openTap = async () => {
        await tap.promise;
      };
      const rig = await recorderAttempt(dir, 1, { revision: 1, streamUrls: [] }, { pipeline: { openTap } });
      const first = rig.runs[0]!;
      const tapped = rig.recorder.usePlan({ ...first.plan, outputs: [STREAM] });
      const changed = rig.recorder.change(COMPOSITE);
      first.onDied('crashed');
      tap.resolve(undefined);
      await Promise.all([tapped, changed]);
      // Behind whatever was to be done.
      await rig.recorder.usePlan(first.plan);
      expect(rig.calls).toEqual(['start with all', 'sync 1', 'start with all', 'sync 1']);
      await rig.end();
    }));

  it('starts another program again that did not start, and one that takes no tap, once', () =>
    withFolder(async (dir) => {
      let taps = 0;
      const pipeline = {
        openTap: () => {
          taps++;
          return Promise.reject(new Error('no answer within 10000 ms'));
        },
      };
      const starts = (number: number) => number !== 1;
      const rig = await recorderAttempt(dir, 1, { revision: 1, streamUrls: [] }, { pipeline, starts });
      await rig.recorder.change(COMPOSITE);
      await until('a third pipeline', () => rig.runs.length === 3);
      await rig.recorder.usePlan({ ...rig.runs[2]!.plan, outputs: [STREAM] });
      rig.runs[2]!.onDied('gone as well');
      await until('a fourth one', () => rig.runs.length === 4);
      await rig.end();
      expect(rig.runs).toHaveLength(4);
      expect([taps, rig.runs[3]!.plan.outputs]).toEqual([1, [STREAM]]);
      expect(rig.fatal).toEqual([]);
    }));
});
