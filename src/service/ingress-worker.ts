/** The worker's half of ingress: takes ingress jobs and runs them. */
import { availableParallelism } from 'node:os';
import { ParticipantInfo_Kind } from '@livekit/protocol';
import { ingressCost, MOST_JOBS_PER_CORE } from '../admission/cost.ts';
import type { WorkerAdmission } from '../admission/worker-admission.ts';
import { createAccessToken } from '../auth/token.ts';
import { IngressAttempt } from '../ingress/attempt.ts';
import type { BridgeSeat } from '../ingress/attempt.ts';
import { createGuard } from '../outbound/index.ts';
import { InputError } from '../ingress/inputs/types.ts';
import type { Input } from '../ingress/inputs/types.ts';
import { urlInput } from '../ingress/inputs/url/index.ts';
import { IngressPipeline, ingressPool } from '../ingress/pipeline.ts';
import { relayInput } from '../ingress/relay/index.ts';
import { IngressWorker } from '../jobs/ingress-worker.ts';
import { jobIdOf } from '../jobs/queues.ts';
import type { IngressRecord, IngressSession } from '../store/ingress-types.ts';
import { ingressAdmission } from './admission.ts';
import type { RunningWorker, Shared } from './shared.ts';

/** A token for the bridge or the relay is needed for one connection. */
const TOKEN_SECONDS = 60;
/** Nothing is to be finished: leaving the room and closing the source takes moments, ms. */
const CLOSE_DEADLINE_MS = 15_000;

export async function startIngressWorker(
  { config, logger: root, redis, ingressStore: store, ingressQueue: queue }: Shared,
  {
    key,
    secret,
    workerAddress,
    admission,
  }: { key: string; secret: string; workerAddress: string; admission: WorkerAdmission },
): Promise<RunningWorker> {
  const logger = root.child({ component: 'ingress' });
  const { allowNetworks, fileRoots } = config.ingress;
  const guard = createGuard({ allowNetworks, fileRoots, logger: logger.child({ component: 'guard' }) });
  const pool = ingressPool({ logger: logger.child({ component: 'pipeline' }) });

  const createInput = (session: IngressSession, record: IngressRecord): Input => {
    const { source } = session;
    if (source.type === 'url') return urlInput({ url: record.sourceUrl, guard, logger });
    if (source.type !== 'relay')
      throw new InputError(`a session of source ${source.type} has no bytes to read`, { retry: false });
    const token = () =>
      createAccessToken({
        ...{ key, secret, ttl: TOKEN_SECONDS, grants: {} },
        job: { door: 'relay', id: session.resourceId, attempt: session.attempt },
      });
    return relayInput({ url: source.url, token, logger });
  };
  const bridgeToken = ({ room, identity, name, metadata, role, job }: BridgeSeat) =>
    createAccessToken({
      job: { door: 'bridge', ...job },
      ...{ key, secret, identity, name, metadata, ttl: TOKEN_SECONDS },
      kind: role === 'publish' ? ParticipantInfo_Kind.INGRESS : ParticipantInfo_Kind.EGRESS,
      grants: {
        ...{ roomJoin: true, room, canPublish: role === 'publish', canSubscribe: role === 'subscribe' },
        ...(role === 'subscribe' ? { hidden: true } : {}),
      },
    });

  const worker = new IngressWorker({
    ...{ connection: redis.shared, queue, store, logger },
    drainMs: config.worker.drainMs,
    maxJobs: config.worker.maxIngressJobs ?? availableParallelism() * MOST_JOBS_PER_CORE,
    admission: ingressAdmission(admission, { store, queue }),
    createAttempt: (record, session) =>
      new IngressAttempt(record, session, {
        ...{ store, createInput, bridgeToken, workerAddress, logger },
        startPipeline: async () => {
          const host = await pool.take();
          return new IngressPipeline(host, ({ video }) => {
            const cost = ingressCost(record.info, video?.mode === 'encode' ? 'encode' : 'copy');
            admission.runs(jobIdOf({ id: record.ingressId, attempt: session.attempt }), cost, host.pid);
          });
        },
        portRange: config.rtc.plainPortRange,
      }),
  });
  const close: RunningWorker['close'] = async (how) => {
    await worker.close(how, CLOSE_DEADLINE_MS);
    await pool.close();
  };
  try {
    await worker.ready();
    await pool.warm();
  } catch (error) {
    await close('finish');
    throw error;
  }
  return {
    get hasRoom() {
      return worker.hasRoom;
    },
    close,
  };
}
