/** What the jobs of a worker ask its admission: their costs, read out of what is stored of them. */
import { join } from 'node:path';
import { EgressStatus } from '@livekit/protocol';
import { egressCost, ingressCost } from '../admission/cost.ts';
import { copiesAtEnd, expectedBytes } from '../admission/disk.ts';
import { WorkerAdmission } from '../admission/worker-admission.ts';
import type { AdmissionRequest } from '../admission/worker-admission.ts';
import type { Config } from '../config/types.ts';
import type { EgressPlan } from '../egress/plan/types.ts';
import { isEnded } from '../egress/ended.ts';
import { planOfRecord } from '../egress/plan/plan.ts';
import type { JobAdmission } from '../jobs/admission-gate.ts';
import { jobIdOf } from '../jobs/queues.ts';
import type { AttemptId } from '../jobs/queues.ts';
import type { EgressStore, IngressStore } from '../store/index.ts';
import type { Shared } from './shared.ts';

/** Folder of the segment logs. */
export function logsFolder(config: Pick<Config, 'dataDir'>): string {
  return join(config.dataDir, 'egress');
}

/** How often an egress's log is written again at its end, where its files go by the configuration. */
export function copiesOf(plan: Pick<EgressPlan, 'outputs'>, { storage }: Pick<Config, 'storage'>): number {
  return copiesAtEnd(plan, storage.type === 'local');
}

/** Bytes a worker is to have for it. */
export function bytesOf(plan: EgressPlan, config: Pick<Config, 'storage'>): number {
  return expectedBytes(plan, copiesOf(plan, config));
}

export async function openAdmission({ config, redis, logger }: Shared): Promise<WorkerAdmission> {
  const { worker, storage } = config;
  const local = storage.type === 'local' ? [storage.local.path] : [];
  const admission = await WorkerAdmission.open({
    redis: redis.shared,
    cpuLimit: worker.cpuLimit,
    folders: [logsFolder(config), ...local],
    minFreeDisk: worker.minFreeDisk,
    stopFreeDisk: worker.stopFreeDisk,
    logger: logger.child({ component: 'admission' }),
  });
  logger.info({ cores: admission.cpu.capacity }, 'worker takes jobs');
  return admission;
}

/** @param requestOf what the job asks for; undefined when there is nothing to run, which costs nothing */
function jobAdmission(
  admission: WorkerAdmission,
  next: () => Promise<AttemptId | undefined>,
  requestOf: (id: AttemptId) => Promise<AdmissionRequest | undefined>,
): JobAdmission {
  return {
    admit: async (id) => {
      const request = await requestOf(id);
      if (!request) return () => undefined;
      const job = jobIdOf(id);
      return admission.admit(job, request) ? () => admission.release(job) : undefined;
    },
    fits: async (id) => {
      const request = await requestOf(id);
      return request === undefined || admission.refusal(request) === undefined;
    },
    next,
    onRoom: (listener) => admission.onRoom(listener),
  };
}

export function egressAdmission(
  admission: WorkerAdmission,
  { config, store, queue }: { config: Config; store: EgressStore; queue: Pick<Shared['queue'], 'next'> },
): JobAdmission {
  return jobAdmission(
    admission,
    () => queue.next(),
    async ({ id, attempt }) => {
      const record = await store.get(id);
      if (!record || isEnded(record.info.status) || record.attempt > attempt) return undefined;
      // All that is left is to finish what was recorded: that is not to wait for anybody.
      if (record.desired.stop !== undefined || record.info.status === EgressStatus.EGRESS_ENDING)
        return undefined;
      let plan: EgressPlan;
      try {
        plan = planOfRecord(record);
      } catch {
        // It cannot be run; who takes it says so.
        return undefined;
      }
      // What has begun already goes on where there is any room for it: it is to end in order at least.
      const begun = record.epochMs !== undefined;
      return { cost: egressCost(plan), bytes: begun ? undefined : bytesOf(plan, config) };
    },
  );
}

export function ingressAdmission(
  admission: WorkerAdmission,
  { store, queue }: { store: IngressStore; queue: Pick<Shared['ingressQueue'], 'next'> },
): JobAdmission {
  return jobAdmission(
    admission,
    () => queue.next(),
    async ({ id, attempt }) => {
      const record = await store.get(id);
      if (record?.session?.attempt !== attempt) return undefined;
      return { cost: ingressCost(record.info), bytes: undefined };
    },
  );
}
