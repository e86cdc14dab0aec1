/** How an attempt ends: in order, handed over, or given up to a newer one; and how it lets go of what it has opened. */
import type { BridgeClient } from '../bridge/client.ts';
import { StorageError } from '../storage/types.ts';
import { openOutputs } from './attempt-outputs.ts';
import type { AttemptOutputs } from './attempt-outputs.ts';
import type { AttemptContext, AttemptOutcome, Cause } from './attempt-types.ts';
import { EgressAborted } from './errors.ts';
import { streamsOnly } from './kept.ts';
import type { LimitWatch } from './limit-watch.ts';
import { pausesOf } from './log/pauses.ts';
import { readLog } from './log/reader.ts';
import type { SegmentLog } from './log/reader.ts';
import { SupersededError } from './log/writer.ts';
import type { EgressPlan } from './plan/types.ts';
import type { Program } from './program.ts';
import type { Recorder } from './recorder.ts';
import type { RunningChanges } from './running-changes.ts';
import { Superseded } from './status.ts';
import type { WebSource } from '../web-source/index.ts';

/** What an attempt has opened so far. */
export interface AttemptParts extends Partial<AttemptOutputs> {
  /** Stops looking whether a newer attempt is there. */
  unwatchFence?: () => void;
  bridge?: BridgeClient;
  page?: WebSource;
  limits?: LimitWatch;
  recorder?: Recorder;
  changes?: RunningChanges;
}

/** How things stand when an attempt ends. */
interface AttemptEnd {
  cause: Cause;
  /** Wall clock of the last media, ms. */
  endedAtMs: number;
  /** Whether `details` may say that it is paused. */
  paused: boolean;
}

const SUPERSEDED = 'superseded: a newer attempt goes on';

/** Whether a newer attempt exists, as far as can be known soon: while Redis is away nobody else can have begun. */
export async function isFenced({ status }: Pick<AttemptContext, 'status'>): Promise<boolean> {
  try {
    await status.assertCurrent();
    return false;
  } catch (error) {
    if (error instanceof Superseded) return true;
    throw error;
  }
}

/** Ends what is recorded, makes the outputs of it and says so; what goes wrong is in the info. */
export async function conclude(
  context: AttemptContext,
  parts: AttemptParts,
  { cause, endedAtMs, paused }: AttemptEnd,
): Promise<AttemptOutcome> {
  const { deps, status, logger } = context;
  if (cause.type === 'superseded' || (cause.type === 'fail' && cause.error instanceof Superseded)) {
    logger.warn(SUPERSEDED);
    return 'superseded';
  }
  if (cause.type === 'hand-over') return handOver(context, parts);
  if (cause.type === 'finish') status.ending(cause.reason);
  if (cause.type === 'limit') status.limitReached(cause.reason);
  const stopped = stopRecording(parts);
  // An output that is being opened is the egress's: it ends with the others.
  await parts.changes?.settled();
  if (paused) status.paused(undefined);
  let failure = cause.type === 'fail' ? cause.error : undefined;
  let pending = false;
  try {
    await stopped;
    // It has shown all that is recorded; whether it goes in order is nothing to the outputs.
    await parts.page?.close().catch((error: unknown) => logger.warn({ err: error }, 'page not closed'));
    const outputs = await outputsOf(context, parts);
    if (outputs) {
      const { log, sinks, epochMs } = outputs;
      await sinks.endLive();
      await log.end((endedAtMs - epochMs) * 1e6);
      const whole = await readLog(deps.logDir);
      assertNotAllPaused(whole, deps.plan);
      pending = (await sinks.finish(whole)) === 'pending';
    } else {
      failure ??= new EgressAborted('the egress ended before it began to record');
    }
  } catch (error) {
    failure ??= error;
  }
  // What fails may fail because another attempt has finished, and taken the log away.
  const fenced = failure instanceof SupersededError || failure instanceof Superseded;
  if (failure && (fenced || (await isFenced(context)))) {
    logger.warn({ err: failure }, SUPERSEDED);
    return 'superseded';
  }
  if (!failure) status.complete(endedAtMs);
  else {
    // What a storage refuses is tried again, and goes when it is stored; what else went wrong is for somebody to see.
    if (!(failure instanceof StorageError)) {
      await deps.keepLog(failure instanceof Error ? failure.message : 'unknown failure');
    }
    status.fail(failure);
  }
  // Not before the end is on record: a worker that dies in between leaves the next one everything.
  if (!(await status.saved())) {
    logger.warn(SUPERSEDED);
    return 'superseded';
  }
  if (!failure && !pending) {
    const kept = (error: unknown) => logger.error({ err: error }, 'segment log not removed');
    await deps.discardLog().catch(kept);
  }
  return 'ended';
}

/** Flushes what was received into the log; whoever waits for it hears of what went wrong. */
function stopRecording({ recorder }: AttemptParts): Promise<void> {
  const stopped = recorder?.stop() ?? Promise.resolve();
  stopped.catch(() => undefined);
  return stopped;
}

async function handOver({ logger }: AttemptContext, parts: AttemptParts): Promise<AttemptOutcome> {
  const stopped = stopRecording(parts);
  await parts.changes?.settled();
  // Together: connections of streams take a moment to end, and the next attempt waits for both.
  const results = await Promise.allSettled([stopped, parts.sinks?.close()]);
  delete parts.sinks;
  const failures = results.flatMap((each) => (each.status === 'rejected' ? [each.reason as unknown] : []));
  for (const error of failures) logger.warn({ err: error }, 'not handed over in order');
  return failures.some((error) => error instanceof SupersededError) ? 'superseded' : 'handed-over';
}

/**
 * What the end is made of. When only an earlier attempt has recorded (the egress was ending, or its room is gone), the
 * log is taken up here; undefined when nobody has.
 */
async function outputsOf(context: AttemptContext, parts: AttemptParts): Promise<AttemptOutputs | undefined> {
  const { log, sinks, epochMs: known } = parts;
  if (log && sinks && known !== undefined) return { log, sinks, epochMs: known };
  const { epochMs, roomName, info } = context.record;
  if (epochMs === undefined) return undefined;
  const { container } = await readLog(context.deps.logDir);
  const reason = 'recorded by an earlier attempt';
  const program: Program = { program: 'passthrough', container, copyAudio: false, reason };
  const room = { roomId: info.roomId, name: roomName, metadata: '' };
  return openOutputs(context, parts, { program, epochMs, tracks: [], room });
}

/** @throws EgressAborted when nothing was recorded because nothing was to be */
function assertNotAllPaused({ chunks, events }: SegmentLog, plan: EgressPlan): void {
  if (chunks.length > 0 || streamsOnly(plan) || pausesOf(events).length === 0) return;
  throw new EgressAborted('the egress ended without having recorded anything: it was paused all the time');
}

/** Lets go of everything in turn, whatever of it fails. */
export async function closeParts({ status, logger }: AttemptContext, parts: AttemptParts): Promise<void> {
  parts.limits?.close();
  parts.unwatchFence?.();
  const closers: readonly [part: string, close: () => Promise<unknown> | undefined][] = [
    ['recorder', () => parts.recorder?.kill()],
    ['page', () => parts.page?.close()],
    // An output that is still being opened would be in nobody's list.
    ['changes', () => parts.changes?.settled()],
    ['outputs', () => parts.sinks?.close()],
    ['log', () => parts.log?.close()],
    ['bridge', () => parts.bridge?.leave()],
    ['status', () => status.flush()],
  ];
  for (const [part, close] of closers) {
    try {
      await close();
    } catch (error) {
      logger.error({ err: error, part }, 'not closed in order');
    }
  }
}
