/** The worker's parts: takes jobs of egresses and ingresses, and runs them. */
import { lookup } from 'node:dns/promises';
import { mkdir, rm } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { createAccessToken } from '../auth/token.ts';
import { ParticipantInfo_Kind } from '@livekit/protocol';
import { egressCost, MOST_JOBS_PER_CORE } from '../admission/cost.ts';
import type { WorkerAdmission } from '../admission/worker-admission.ts';
import { EgressAttempt } from '../egress/attempt.ts';
import { configuredLimits, withinLimits } from '../egress/limits.ts';
import { PageRun } from '../egress/page-run.ts';
import { PipelineRun } from '../egress/pipeline-run.ts';
import { planOfRecord } from '../egress/plan/plan.ts';
import { createSinks } from '../egress/sinks/index.ts';
import { EgressWorker } from '../jobs/egress-worker.ts';
import { createAddressPolicy } from '../outbound/index.ts';
import { PipelinePool } from '../pipeline/pool.ts';
import { createStorage } from '../storage/index.ts';
import { createNameClaims } from '../store/name-claims.ts';
import type { StoragePlan } from '../storage/index.ts';
import { keepFolder } from '../uploads/index.ts';
import { jobIdOf } from '../jobs/queues.ts';
import { pageFactory } from './pages.ts';
import { copiesOf, egressAdmission, logsFolder, openAdmission } from './admission.ts';
import { startUploads } from './uploads.ts';
import { startIngressWorker } from './ingress-worker.ts';
import type { RunningWorker, Shared } from './shared.ts';

/** A worker on the bridge needs its token for one join. */
const BRIDGE_TOKEN_SECONDS = 60;
/** Running egresses are ended and their files made within this, ms. */
const CLOSE_DEADLINE_MS = 45_000;

/** @throws Error that says what could not be started; nothing is left running then. */
export async function startWorker(shared: Shared): Promise<RunningWorker> {
  const { config } = shared;
  // Sockets are bound to it, and the SFU takes no names.
  const { address: workerAddress } = await lookup(config.worker.address);
  const [key, secret] = Object.entries(config.keys)[0] ?? [];
  if (key === undefined || secret === undefined) throw new Error('no API key is configured: set keys');
  const admission = await openAdmission(shared);
  const running: RunningWorker[] = [];
  const close: RunningWorker['close'] = async (how) => {
    await Promise.all(running.map((each) => each.close(how)));
    await admission.close();
  };
  const parts = { key, secret, workerAddress, admission };
  try {
    running.push(await startEgressWorker(shared, parts));
    running.push(await startIngressWorker(shared, parts));
  } catch (error) {
    await close('finish');
    throw error;
  }
  return {
    get hasRoom() {
      return running.every((each) => each.hasRoom);
    },
    close,
  };
}

async function startEgressWorker(
  { config, logger: root, redis, store, queue }: Shared,
  {
    key,
    secret,
    workerAddress,
    admission,
  }: { key: string; secret: string; workerAddress: string; admission: WorkerAdmission },
): Promise<RunningWorker> {
  const logger = root.child({ component: 'worker' });
  const logs = logsFolder(config);
  await mkdir(logs, { recursive: true });

  const policy = createAddressPolicy({
    ...{ ...config.outbound, setting: 'outbound.allow_networks' },
    logger: logger.child({ component: 'outbound' }),
  });
  const storageLogger = logger.child({ component: 'storage' });
  const openStorage = (storage: StoragePlan) => createStorage(storage, config, storageLogger, policy);
  const uploads = await startUploads({
    ...{ config, redis, store, spoolDir: logs, open: openStorage },
    logger: logger.child({ component: 'uploads' }),
  });
  const claims = createNameClaims(redis.shared);
  const pool = PipelinePool.egress({ logger: logger.child({ component: 'pipeline' }) });
  const limits = configuredLimits(config.egress.limits);
  const openPage = pageFactory({
    ...{ config, key, secret, policy, logger: logger.child({ component: 'web' }) },
    onProcesses: ({ plan, attempt }, pids) => {
      const job = jobIdOf({ id: plan.egressId, attempt });
      for (const pid of pids) admission.runs(job, egressCost(plan), pid);
    },
  });
  const worker = new EgressWorker({
    connection: redis.shared,
    queue,
    store,
    admission: egressAdmission(admission, { config, store, queue }),
    drainMs: config.worker.drainMs,
    maxJobs: config.worker.maxJobs ?? availableParallelism() * MOST_JOBS_PER_CORE,
    logger,
    createAttempt: (record, attempt) => {
      const plan = withinLimits(planOfRecord(record), limits);
      const logDir = join(logs, record.egressId);
      const job = jobIdOf({ id: record.egressId, attempt });
      const running = new EgressAttempt(record, attempt, {
        store,
        logger,
        plan,
        planOf: (desired) => withinLimits(planOfRecord({ ...record, desired }), limits),
        workerAddress,
        portRange: config.rtc.plainPortRange,
        logDir,
        bridgeToken: () =>
          createAccessToken({
            key,
            secret,
            identity: record.egressId,
            // A later attempt shows the layout in force, as the one before it did.
            ...(record.desired.layout !== undefined && {
              metadata: JSON.stringify({ layout: record.desired.layout }),
            }),
            kind: ParticipantInfo_Kind.EGRESS,
            ttl: BRIDGE_TOKEN_SECONDS,
            job: { door: 'bridge', id: record.egressId, attempt },
            grants: {
              roomJoin: true,
              room: record.roomName,
              canPublish: false,
              canSubscribe: true,
              hidden: true,
              recorder: true,
            },
          }),
        openPage,
        startPipeline: async (options) => {
          const host = await pool.take();
          admission.runs(job, egressCost(plan, options.program.program), host.pid);
          return options.page ? PageRun.start(host, options) : PipelineRun.start(host, options);
        },
        createSinks: (context, callbacks) =>
          createSinks(context, callbacks, { storageFor: openStorage, uploads, policy, claims }),
        discardLog: () => rm(logDir, { recursive: true, force: true }),
        keepLog: (reason) =>
          keepFolder(logs, record.egressId, reason).catch((error: unknown) =>
            logger.error({ err: error, egressId: record.egressId }, 'segment log not marked to be kept'),
          ),
      });
      const copies = copiesOf(plan, config);
      admission.record(job, { folder: logDir, copies }, (reason) => running.limitReached(reason));
      return running;
    },
  });
  try {
    await worker.ready();
    await pool.warm();
  } catch (error) {
    await worker.close('finish', CLOSE_DEADLINE_MS);
    await Promise.all([pool.close(), uploads.close()]);
    throw error;
  }
  return {
    get hasRoom() {
      return worker.hasRoom;
    },
    close: async (how) => {
      uploads.hurry();
      await worker.close(how, CLOSE_DEADLINE_MS);
      await Promise.all([pool.close(), uploads.close()]);
    },
  };
}
