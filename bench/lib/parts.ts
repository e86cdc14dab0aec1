/** CPU time of Sluice, part by part. */
import { spent, usage } from './processes.ts';
import type { Usage } from './processes.ts';
import type { Parts } from './room.ts';

export const PARTS = ['pipeline', 'worker (Node)', 'server (Node)', 'mediasoup', 'Redis'] as const;
export type Part = (typeof PARTS)[number];

export interface Reading {
  at: number;
  usage: Record<'server' | 'worker' | 'redis', Usage>;
}

/** CPU time of every process of Sluice up to now. */
export function read({ serverPid, workerPid, redisPid }: Parts): Reading {
  return {
    at: performance.now(),
    usage: { server: usage([serverPid]), worker: usage([workerPid]), redis: usage([redisPid]) },
  };
}

/** CPU seconds of each part between two readings, and the time between them in seconds. */
export function between(
  before: Reading,
  after: Reading,
): { seconds: number; cpu: Record<Part | 'ended', number> } {
  const server = spent(before.usage.server, after.usage.server).byName;
  const worker = spent(before.usage.worker, after.usage.worker).byName;
  const of = (map: Map<string, number>, name: string) =>
    [...map].reduce((sum, [key, value]) => (key.startsWith(name) ? sum + value : sum), 0);
  const all = (map: Map<string, number>) => of(map, '');
  const mediasoup = of(server, 'mediasoup');
  const [pipeline, ended] = [of(worker, 'gjs'), of(worker, 'ended') + of(worker, 'ff')];
  return {
    seconds: (after.at - before.at) / 1000,
    cpu: {
      pipeline,
      'worker (Node)': all(worker) - pipeline - ended,
      'server (Node)': all(server) - mediasoup,
      mediasoup,
      Redis: spent(before.usage.redis, after.usage.redis).total,
      ended,
    },
  };
}
