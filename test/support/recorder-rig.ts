/** A recorder with the changes made to it, and a pipeline that only seems to be. */
import { appendFile } from 'node:fs/promises';
import { join } from 'node:path';
import { SegmentLogWriter } from '../../src/egress/log/writer.ts';
import type { PipelineRunOptions, RunningPipeline } from '../../src/egress/pipeline-run.ts';
import { Recorder } from '../../src/egress/recorder.ts';
import { RunningChanges } from '../../src/egress/running-changes.ts';
import type { WantedTrack } from '../../src/egress/room/selection.ts';
import type { EgressDesired } from '../../src/store/types.ts';
import { silent } from './log-fixtures.ts';

const track = { track: { trackId: 'TR_1', kind: 'audio' } } as WantedTrack;
const RUN = { plan: { outputs: [], video: null } } as unknown as PipelineRunOptions;

/** What a pipeline does in place of nothing. */
export interface RigOptions {
  pipeline?: Partial<RunningPipeline>;
  /** Whether the pipeline with this number, from 0, starts. */
  starts?: (number: number) => boolean;
}

/** An attempt with a pipeline that only remembers what it was told. */
export async function recorderAttempt(
  dir: string,
  number: number,
  desired: EgressDesired,
  { pipeline: own = {}, starts = () => true }: RigOptions = {},
) {
  const calls: string[] = [];
  const says: string[] = [];
  const runs: PipelineRunOptions[] = [];
  const fatal: unknown[] = [];
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
    kill: () => Promise.resolve(void calls.push('kill')),
    ...own,
  };
  const recorder = new Recorder(
    { program: 'composite', container: 'mpegts', copyAudio: false, reason: 'a test' },
    {
      ...{ log, logDir: dir, attempt: number, epochMs: Date.now() - 10_000, run: RUN, logger: silent },
      startPipeline: (options) => {
        calls.push(`start ${options.idle ? 'idle' : 'with all'}`);
        runs.push(options);
        if (!starts(runs.length - 1)) return Promise.reject(new Error('it does not play'));
        return Promise.resolve(pipeline);
      },
      wanted: () => [track],
      paused: desired.paused === true,
      onTap: () => undefined,
      onFatal: (error) => void fatal.push(error),
    },
  );
  await recorder.start([track]);
  const changes = new RunningChanges({
    ...{ recorder, log, initial: desired, opened: {}, limits: { usePlan: () => undefined }, logger: silent },
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
  return { calls, says, runs, fatal, recorder, changes, end };
}
