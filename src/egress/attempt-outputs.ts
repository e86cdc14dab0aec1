/** The log of an attempt, with what earlier ones have left in it, and what is made of it. */
import type { BridgeJoinResult } from '../bridge/protocol.ts';
import type { AttemptContext } from './attempt-types.ts';
import { keptSeconds } from './kept.ts';
import { endLeftover } from './leftover.ts';
import { attemptDir } from './log/files.ts';
import { SegmentLogWriter } from './log/writer.ts';
import type { Program } from './program.ts';
import type { WantedTrack } from './room/selection.ts';
import type { Sinks } from './sinks/index.ts';

export interface AttemptOutputs {
  /** Wall clock of egress-clock zero, ms. */
  epochMs: number;
  log: SegmentLogWriter;
  sinks: Sinks;
}

interface RecordedSource {
  program: Program;
  /** Wall clock of egress-clock zero, ms. */
  epochMs: number;
  /** Tracks at the start; none when an earlier attempt's work is only brought to its end. */
  tracks: readonly WantedTrack[];
  room: BridgeJoinResult['room'];
}

/**
 * @param parts gets each as soon as it is open: what follows may fail
 * @throws LogError, SupersededError, StorageError
 */
export async function openOutputs(
  { deps, record, attempt, status, logger, end }: AttemptContext,
  parts: Partial<AttemptOutputs>,
  { program, epochMs, tracks, room }: RecordedSource,
): Promise<AttemptOutputs> {
  const { logDir, plan } = deps;
  parts.epochMs = epochMs;
  const { egressId } = record;
  const { container } = program;
  const log = await SegmentLogWriter.open({
    ...{ dir: logDir, egressId, attempt, epochMs, container, keepS: keptSeconds(plan), logger },
  });
  parts.log = log;
  for (const left of log.leftovers) endLeftover(left.pid, attemptDir(logDir, left.attempt), logger);
  const assertCurrent = async () => {
    await log.assertCurrent();
    await status.assertCurrent();
  };
  const sinks = await deps.createSinks(
    {
      ...{ plan, program, record, attempt, logDir, earlier: log.earlier, status, epochMs, tracks, room },
      ...{ assertCurrent, logger },
    },
    {
      onFailure: (error) => end({ type: 'fail', error }),
      onNothingLeft: () => end({ type: 'finish', reason: 'All streams have ended' }),
    },
  );
  parts.sinks = sinks;
  log.onChunk((chunk) => sinks.onChunk(chunk));
  return { epochMs, log, sinks };
}
