/** A running Sluice, server and worker apart so that each is counted, and the people in its room. */
import { EgressStatus } from '@livekit/protocol';
import type { EgressInfo } from 'livekit-server-sdk';
import type { ColorName } from '../../pipelines/publisher/signal.ts';
import { startTestPublisher } from '../../src/demo/publisher.ts';
import type { TestPublisher, TestPublisherOptions } from '../../src/demo/publisher.ts';
import { quiet } from '../../test/support/callers.ts';
import { startRedis } from '../../test/support/redis.ts';
import { Sluice } from '../../test/support/sluice.ts';
import type { SluiceProcess } from '../../test/support/sluice.ts';
import type { Owner } from './owner.ts';
import { named } from './processes.ts';

export const ROOM = 'bench';
export const COLORS: readonly ColorName[] = ['red', 'green', 'blue', 'yellow'];

export interface Parts {
  sluice: Sluice;
  worker: SluiceProcess;
  /** Node and below it the SFU's mediasoup worker. */
  serverPid: number;
  /** Node and below it the pipelines and FFmpeg. */
  workerPid: number;
  redisPid: number;
}

/**
 * Starts Redis, server and worker as processes of their own; log level `info`, as in use.
 * @param more of the environment, for all of them
 */
export async function startParts(owner: Owner, more: Record<string, string> = {}): Promise<Parts> {
  const redis = owner.own(await startRedis(), (each) => each.stop());
  const [redisPid] = named(process.pid, 'redis-server');
  const env = { SLUICE_LOG_LEVEL: 'info', ...more };
  const sluice = owner.own(await Sluice.start({ mode: 'split', redisUrl: redis.url, env }), (each) =>
    each.stop(),
  );
  const worker = await sluice.addWorker();
  const { pid: serverPid } = sluice.main.child;
  const { pid: workerPid } = worker.child;
  if (serverPid === undefined || workerPid === undefined || redisPid === undefined)
    throw new Error('a process of Sluice is not there');
  return { sluice, worker, serverPid, workerPid, redisPid };
}

/** Publishes `count` test participants, one after the other. */
export async function publishAll(
  owner: Owner,
  sluice: Sluice,
  count: number,
  options: Partial<TestPublisherOptions> = {},
): Promise<TestPublisher[]> {
  const publishers: TestPublisher[] = [];
  for (const color of COLORS.slice(0, count)) {
    const publisher = await startTestPublisher({
      whipUrl: `${sluice.url}/whip`,
      token: await sluice.token(color, { room: ROOM, canPublish: true }),
      logger: quiet,
      color,
      ...options,
    });
    publishers.push(owner.own(publisher, (each) => each.stop()));
  }
  return publishers;
}

export async function untilActive(sluice: Sluice, egressId: string): Promise<EgressInfo> {
  const info = await sluice.waitForEgress(egressId, ({ status }) => status !== EgressStatus.EGRESS_STARTING);
  if (info.status !== EgressStatus.EGRESS_ACTIVE)
    throw new Error(`the egress did not become active: ${info.error}\n${sluice.tail()}`);
  return info;
}

/** Stops an egress and answers its info once its file is there. @throws when it did not complete */
export async function finish(sluice: Sluice, egressId: string): Promise<EgressInfo> {
  await sluice.egress.stopEgress(egressId);
  const info = await sluice.waitForEgress(
    egressId,
    ({ status }) => status >= EgressStatus.EGRESS_COMPLETE,
    60_000,
  );
  if (info.status !== EgressStatus.EGRESS_COMPLETE)
    throw new Error(`the egress did not complete: ${info.error}\n${sluice.tail()}`);
  return info;
}
