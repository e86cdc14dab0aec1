/** Takes ingress jobs from the queue. */
import { IngressState, IngressState_Status } from '@livekit/protocol';
import type { Logger } from 'pino';
import { withoutWaiting } from '../admission/waiting-text.ts';
import type { IngressRecord, IngressSession, IngressStore } from '../store/ingress-types.ts';
import type { JobAdmission } from './admission-gate.ts';
import { AttemptWorker } from './attempt-worker.ts';
import type { RunningAttempt } from './attempt-worker.ts';
import { INGRESS_QUEUE } from './queues.ts';
import type { AttemptId, IngressJob, IngressQueue, QueueConnection } from './queues.ts';
import { ingressLease } from './vouching.ts';

export interface IngressWorkerOptions {
  connection: QueueConnection;
  queue: IngressQueue;
  store: IngressStore;
  /** Jobs run at once. */
  maxJobs: number;
  admission?: JobAdmission;
  /** How long a worker that is to go waits for another one to go on with what it runs, ms. Default 0. */
  drainMs?: number;
  /**
   * @param session the record's, whose attempt this is
   * @throws Error when it cannot be run; the session then ends as ERROR with its message
   */
  createAttempt: (record: IngressRecord, session: IngressSession) => RunningAttempt;
  logger: Logger;
}

export class IngressWorker extends AttemptWorker<IngressJob> {
  constructor(options: IngressWorkerOptions) {
    const { connection, maxJobs, admission, drainMs = 0, logger, store, queue } = options;
    super({
      connection,
      queueName: INGRESS_QUEUE,
      maxJobs,
      admission,
      idOf: ({ ingressId, attempt }) => ({ id: ingressId, attempt }),
      leaseOf: ingressLease,
      drainMs,
      take: (id, log) => take(id, log, options),
      goOn: async ({ id, attempt }) => {
        const next = await store.raiseAttempt(id, attempt);
        if (next === undefined) return undefined;
        await queue.add(id, next, { first: true });
        return { id, attempt: next };
      },
      loggerOf: ({ id, attempt }) => logger.child({ ingressId: id, attempt }),
      logger,
    });
  }
}

async function take(
  { id, attempt }: AttemptId,
  log: Logger,
  { store, createAttempt }: IngressWorkerOptions,
): Promise<RunningAttempt | 'refused' | 'ended'> {
  const record = (await store.begin(id, attempt)) ? await store.get(id) : undefined;
  if (record?.session?.attempt !== attempt) {
    log.info('job refused: the session has ended or a newer attempt exists');
    return 'refused';
  }
  const { state: stored } = record.info;
  if (stored) stored.error = withoutWaiting(stored.error);
  log.info({ room: record.info.roomName }, 'job taken');
  try {
    return createAttempt(record, record.session);
  } catch (error) {
    log.error({ err: error }, 'job cannot be run');
    const state = record.info.state?.clone() ?? new IngressState();
    state.status = IngressState_Status.ENDPOINT_ERROR;
    state.error = error instanceof Error ? error.message : String(error);
    await store.endSession(id, attempt, state);
    return 'ended';
  }
}
