/** The server's sweep for egresses and ingresses nobody runs, and its word for those in its rooms. */
import { ParticipantInfo_Kind } from '@livekit/protocol';
import type { Logger } from 'pino';
import type { Bridge } from '../bridge/server.ts';
import type { EgressRecovery, IngressRecovery } from '../jobs/recovery.ts';
import { Sweep } from '../jobs/sweep.ts';
import { egressLease, ingressLease } from '../jobs/vouching.ts';
import type { Shared } from './shared.ts';

const REASON = 'nobody ran it';

export interface SweepParts {
  recovery: Pick<EgressRecovery, 'requeue'>;
  ingressRecovery: Pick<IngressRecovery, 'requeue'>;
  bridge: Pick<Bridge, 'seats'>;
  logger: Logger;
}

/** Runs until it is closed. */
export function sweepOf(
  {
    redis,
    store,
    queue,
    ingressStore,
    ingressQueue,
  }: Pick<Shared, 'redis' | 'store' | 'queue' | 'ingressStore' | 'ingressQueue'>,
  { recovery, ingressRecovery, bridge, logger }: SweepParts,
): Sweep {
  return new Sweep({
    redis: redis.shared,
    kinds: [
      {
        unfinished: async () =>
          (await store.unfinished()).map(({ egressId, attempt }) => ({ id: egressId, attempt })),
        waits: (id) => queue.waits(id),
        lease: egressLease,
        requeue: ({ id, attempt }) => recovery.requeue(id, attempt, REASON),
      },
      {
        unfinished: async () =>
          (await ingressStore.live()).flatMap(({ ingressId, session }) =>
            // A direct session has no worker.
            session && session.source.type !== 'direct' ? { id: ingressId, attempt: session.attempt } : [],
          ),
        waits: (id) => ingressQueue.waits(id),
        lease: ingressLease,
        requeue: ({ attempt }) => ingressRecovery.requeue(attempt, REASON),
      },
    ],
    seats: () =>
      bridge
        .seats()
        .map(({ identity, attempt, kind }) =>
          kind === ParticipantInfo_Kind.INGRESS
            ? ingressLease({ attempt })
            : egressLease({ id: identity, attempt }),
        ),
    logger,
  });
}
