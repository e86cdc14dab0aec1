/** What is changed about an egress while it runs and when it ends, by an attempt with a pipeline that only seems to be. */
import { setTimeout as sleep } from 'node:timers/promises';
import { EgressStatus } from '@livekit/protocol';
import { describe, expect, it } from 'vitest';
import { SupersededError } from '../../src/egress/log/writer.ts';
import { added, startAttempt, STREAM } from '../support/attempt-rig.ts';
import { withFolder } from '../support/log-fixtures.ts';
import { until } from '../support/takeover.ts';

const OTHER = 'rtmp://127.0.0.1:1/live/b';
const segments = (outputId: string) => added(outputId, 'segments', { filenamePrefix: outputId });
const refused = () =>
  added('EO_refused', 'file', {
    filepath: 'a',
    s3: { bucket: 'bkt', endpoint: 'http://127.0.0.1:9' },
  });

/** Names that are looked up until they are let go on. */
function heldClaims() {
  const { promise, resolve } = Promise.withResolvers<'ours'>();
  let asked = 0;
  const claim = () => {
    asked++;
    return promise;
  };
  return {
    claims: { claim },
    asked: () => until('a name asked for', () => asked > 0),
    letGo: () => resolve('ours'),
  };
}

describe('an output that is added', () => {
  it('takes nothing back that was wanted while it was opened, and is in force not before', () =>
    withFolder(async (dir) => {
      const names = heldClaims();
      const rig = startAttempt({
        dir,
        claims: names.claims,
        desired: { streamUrls: [STREAM] },
      });
      await rig.active();
      rig.change({ outputs: [segments('EO_1')] });
      await names.asked();
      rig.change({ streamUrls: [STREAM, OTHER] });
      await until('the other stream', () => rig.saved.info.streamResults.length === 2);
      await sleep(20);
      expect(rig.saved.appliedRevision).toBe(1);
      names.letGo();
      await rig.applied(3);
      expect(rig.saved.info.streamResults.map(({ endedAt }) => endedAt)).toEqual([0n, 0n]);
      rig.running.stop('enough');
      expect(await rig.outcome).toBe('ended');
    }));

  it('is left out where it cannot be opened; others are opened all the same, in every attempt', () =>
    withFolder(async (dir) => {
      const first = startAttempt({ dir });
      await first.active();
      first.change({ outputs: [refused()] });
      await first.applied(2);
      expect(first.saved.info.details).toContain('an output was not added: an endpoint of its own');
      const outputs = [refused(), segments('EO_2')];
      first.change({ outputs });
      await first.applied(3);
      expect(first.saved.info.segmentResults).toHaveLength(1);
      first.running.handOver();
      expect(await first.outcome).toBe('handed-over');
      const next = startAttempt({
        dir,
        attempt: 2,
        epochMs: Date.now(),
        desired: { outputs },
      });
      await next.active();
      expect(next.saved.info.segmentResults).toHaveLength(1);
      next.running.stop('enough');
      expect(await next.outcome).toBe('ended');
      expect([...first.storages, ...next.storages].map(({ closed }) => closed)).toEqual([true, true]);
    }));

  it('is closed, and in the record, where the egress ends while it is opened; what comes later is too late', () =>
    withFolder(async (dir) => {
      const names = heldClaims();
      const rig = startAttempt({ dir, claims: names.claims });
      await rig.active();
      rig.change({ outputs: [segments('EO_1')] });
      await names.asked();
      rig.running.stop('enough');
      rig.change({ paused: true });
      await sleep(20);
      names.letGo();
      expect(await rig.outcome).toBe('ended');
      expect(rig.storages.map(({ closed }) => closed)).toEqual([true]);
      const { status, details } = rig.saved.info;
      expect(status).toBe(EgressStatus.EGRESS_COMPLETE);
      expect(details).toContain('output EO_1 is left out: nothing was recorded');
      expect(details).not.toContain('paused since');
    }));

  it('is there where its egress was given it before a worker had begun', () =>
    withFolder(async (dir) => {
      const rig = startAttempt({ dir });
      rig.change({ outputs: [segments('EO_1')] });
      await rig.applied(2);
      expect(rig.saved.info.segmentResults).toHaveLength(1);
      rig.running.stop('enough');
      await rig.outcome;
    }));

  it('outlives a pipeline that dies just then', () =>
    withFolder(async (dir) => {
      const request = { fileOutputs: [{ filepath: 'a.mp4' }] };
      const openTap = () => {
        queueMicrotask(() => rig.runs[0]!.onDied('crashed'));
        return Promise.reject(new Error('openTap: the process is gone: crashed'));
      };
      const rig = startAttempt({ dir, request, pipeline: { openTap } });
      await rig.active();
      rig.change({
        outputs: [added('EO_1', 'stream', { urls: [STREAM] })],
        streamUrls: [STREAM],
      });
      await rig.applied(2);
      expect(rig.saved.info.streamResults).toHaveLength(1);
      await until('another pipeline', () => rig.runs.length === 2);
      expect(rig.runs[1]!.plan.outputs.map(({ type }) => type)).toEqual(['file', 'stream']);
      rig.running.handOver();
      expect(await rig.outcome).toBe('handed-over');
      expect(rig.runs).toHaveLength(2);
    }));
});

describe('the end of an attempt', () => {
  it('lets go of everything, whatever of it fails', () =>
    withFolder(async (dir) => {
      const page = {
        close: () => Promise.reject(new Error('the browser does not end')),
      };
      const rig = startAttempt({
        dir,
        page,
        desired: { outputs: [segments('EO_1')] },
      });
      await rig.active();
      rig.running.handOver();
      expect(await rig.outcome).toBe('handed-over');
      expect(rig.storages.map(({ closed }) => closed)).toEqual([true]);
      const ends = startAttempt({ dir, attempt: 2, epochMs: Date.now(), page });
      await ends.active();
      ends.running.stop('enough');
      expect(await ends.outcome).toBe('ended');
      expect(ends.saved.info.status).toBe(EgressStatus.EGRESS_COMPLETE);
    }));

  it('is no hand-over where a newer one has the log', () =>
    withFolder(async (dir) => {
      const stop = () => Promise.reject(new SupersededError(1, 2));
      const rig = startAttempt({ dir, pipeline: { stop } });
      await rig.active();
      rig.running.handOver();
      expect(await rig.outcome).toBe('superseded');
    }));
});
