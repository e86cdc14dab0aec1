/** A pause outlives the worker it began in: what the next attempt's pipeline takes, and what its log tells. */
import { appendFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readLog } from '../../src/egress/log/reader.ts';
import { SegmentLogWriter } from '../../src/egress/log/writer.ts';
import { pausesOf } from '../../src/egress/log/pauses.ts';
import type { PipelineRunOptions, RunningPipeline } from '../../src/egress/pipeline-run.ts';
import { Recorder } from '../../src/egress/recorder.ts';
import { RunningChanges } from '../../src/egress/running-changes.ts';
import type { WantedTrack } from '../../src/egress/room/selection.ts';
import type { EgressDesired } from '../../src/store/types.ts';
import { silent, withFolder } from '../support/log-fixtures.ts';

const track = { track: { trackId: 'TR_1', kind: 'audio' } } as WantedTrack;
const RUN = { plan: { outputs: [], video: null } } as unknown as PipelineRunOptions;

/** An attempt with a pipeline that only remembers what it was told. */
async function attempt(dir: string, number: number, desired: EgressDesired) {
  const calls: string[] = [];
  const says: string[] = [];
  const log = await SegmentLogWriter.open({
    ...{ dir, egressId: 'EG_1', attempt: number, epochMs: Date.now() - 10_000 },
    ...{ container: 'mpegts', logger: silent },
  });
  const pipeline: RunningPipeline = {
    pid: 1,
    sync: (wanted) => void calls.push(`sync ${wanted.length}`),
    flowing: () => Promise.resolve(),
    cut: () => void calls.push('cut'),
    openTap: () => Promise.resolve(),
    stop: () => Promise.resolve(),
    kill: () => Promise.resolve(),
  };
  const recorder = new Recorder(
    { program: 'composite', container: 'mpegts', copyAudio: false, reason: 'a test' },
    {
      ...{ log, logDir: dir, attempt: number, epochMs: Date.now() - 10_000, run: RUN, logger: silent },
      startPipeline: (options) => {
        calls.push(`start ${options.idle ? 'idle' : 'with all'}`);
        return Promise.resolve(pipeline);
      },
      wanted: () => [track],
      paused: desired.paused === true,
      onTap: () => undefined,
      onFatal: (error) => {
        throw error;
      },
    },
  );
  await recorder.start([track]);
  const changes = new RunningChanges({
    ...{ recorder, log, initial: desired, opened: 0, logger: silent },
    sinks: { grow: () => Promise.resolve(), endRemoved: () => undefined },
    planOf: () => RUN.plan,
    status: {
      applied: (revision) => void says.push(`applied ${revision}`),
      paused: (sinceMs) => void says.push(sinceMs === undefined ? 'runs' : 'paused'),
      remark: () => undefined,
    },
  });
  const end = async () => {
    await recorder.stop();
    await log.close();
    // What a worker that is killed leaves behind.
    await appendFile(join(dir, `attempt-${number}`, 'index.jsonl'), '{"type":"chu');
  };
  return { calls, says, changes, end };
}

const marker = { markerId: 'MK_1', atMs: Date.now() - 5000, label: 'here' };

describe('an egress that is paused when its worker is lost', () => {
  it('is still paused in the next attempt, until it is resumed; its markers are set once', () =>
    withFolder(async (dir) => {
      const desired: EgressDesired = { revision: 1, streamUrls: [] };
      const first = await attempt(dir, 1, desired);
      first.changes.apply({ ...desired, revision: 2, paused: true, markers: [marker] });
      await first.changes.settled();
      expect(first.calls).toEqual(['start with all', 'sync 1', 'sync 0']);
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
