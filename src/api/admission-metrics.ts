/** What waits for workers, and what these have room for, as numbers for `GET /metrics`. */
import type { Announcement } from '../admission/roster.ts';
import type { Metrics, Reading } from './metrics.ts';

export interface AdmissionSources {
  waiting: { egress: () => Promise<number>; ingress: () => Promise<number> };
  /** Workers that are alive. */
  workers: () => Promise<Announcement[]>;
}

export function admissionMetrics(metrics: Metrics, { waiting, workers }: AdmissionSources): void {
  metrics.gauge('sluice_jobs_waiting', 'Jobs that wait for a worker.', async () => [
    { labels: { queue: 'egress' }, value: await waiting.egress() },
    { labels: { queue: 'ingress' }, value: await waiting.ingress() },
  ]);
  const each = (value: (worker: Announcement) => number) => async (): Promise<Reading> =>
    (await workers()).map((worker) => ({ labels: { worker: worker.id }, value: value(worker) }));
  metrics.gauge(
    'sluice_worker_jobs',
    'Jobs a worker runs.',
    each(({ jobs }) => jobs),
  );
  metrics.gauge(
    'sluice_worker_capacity_cores',
    'Cores a worker has for jobs (worker.cpu_limit).',
    each(({ capacity }) => capacity),
  );
  metrics.gauge(
    'sluice_worker_committed_cores',
    'Cores that the jobs of a worker are expected or seen to use, whichever is more.',
    each(({ committed }) => committed),
  );
  metrics.gauge(
    'sluice_worker_free_disk_bytes',
    'Free space where a worker keeps recordings.',
    each(({ freeDisk }) => freeDisk),
  );
}
