/** Takes egress jobs from the queue. */
import { EgressStatus } from '@livekit/protocol';
import type { Logger } from 'pino';
import { withoutWaiting } from '../admission/waiting-text.ts';
import { nowNs } from '../egress/status.ts';
import { isEnded } from '../egress/ended.ts';
import type { EgressRecord, EgressStore } from '../store/types.ts';
import type { JobAdmission } from './admission-gate.ts';
import { AttemptWorker } from './attempt-worker.ts';
import type { RunningAttempt } from './attempt-worker.ts';
import { EGRESS_QUEUE } from './queues.ts';
import type { AttemptId, EgressJob, EgressQueue, QueueConnection } from './queues.ts';
import { egressLease } from './vouching.ts';

export type { RunningAttempt } from './attempt-worker.ts';

export interface EgressWorkerOptions {
  connection: QueueConnection;
  queue: EgressQueue;
  store: EgressStore;
  /** Jobs run at once. */
  maxJobs: number;
  admission?: JobAdmission;
  /** How long a worker that is to go waits for another one to go on with what it runs, ms. Default 0. */
  drainMs?: number;
  /** @throws EgressError when the stored request cannot be run. */
  createAttempt: (record: EgressRecord, attempt: number) => RunningAttempt;
  logger: Logger;
}

export class EgressWorker extends AttemptWorker<EgressJob> {
  constructor(options: EgressWorkerOptions) {
    const { connection, maxJobs, admission, drainMs = 0, logger, store, queue } = options;
    super({
      connection,
      queueName: EGRESS_QUEUE,
      maxJobs,
      admission,
      idOf: ({ egressId, attempt }) => ({ id: egressId, attempt }),
      leaseOf: egressLease,
      drainMs,
      take: (id, log) => take(id, log, options),
      goOn: async ({ id, attempt }) => {
        const next = await store.raiseAttempt(id, attempt);
        if (next === undefined) return undefined;
        await queue.add(id, next, { first: true });
        return { id, attempt: next };
      },
      loggerOf: ({ id, attempt }) => logger.child({ egressId: id, attempt }),
      logger,
    });
  }
}

async function take(
  { id, attempt }: AttemptId,
  log: Logger,
  { store, createAttempt }: EgressWorkerOptions,
): Promise<RunningAttempt | 'refused' | 'ended'> {
  if (!(await store.begin(id, attempt))) {
    log.info('job refused: the egress has ended or a newer attempt exists');
    return 'refused';
  }
  const record = await store.get(id);
  if (!record || isEnded(record.info.status)) return 'refused';
  record.info.details = withoutWaiting(record.info.details);
  log.info({ room: record.roomName }, 'job taken');
  try {
    return createAttempt(record, attempt);
  } catch (error) {
    log.error({ err: error }, 'job cannot be run');
    record.info.status = EgressStatus.EGRESS_FAILED;
    record.info.error = error instanceof Error ? error.message : String(error);
    record.info.errorCode = 500;
    record.info.endedAt = record.info.updatedAt = nowNs();
    await store.saveInfo(id, attempt, record.info, record.appliedRevision);
    return 'ended';
  }
}
