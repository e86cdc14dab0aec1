/**
 * A process that takes egress jobs from the Redis of its first argument and never gets into their rooms. It writes a line
 * for each job it takes, and one when the store lets it write no more.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { pino } from 'pino';
import { EgressWorker } from '../../src/jobs/egress-worker.ts';
import { egressQueue } from '../../src/jobs/queues.ts';
import { connectRedis, createEgressStore } from '../../src/store/index.ts';

const [url = ''] = process.argv.slice(2);
const logger = pino({ level: 'silent' });
const redis = connectRedis({ url, logger });
const store = createEgressStore(redis, logger);
const worker = new EgressWorker({
  connection: redis.shared,
  queue: egressQueue(redis.shared, logger),
  store,
  maxJobs: 10,
  createAttempt: (record, attempt) => ({
    run: async () => {
      const { egressId, info } = record;
      process.stdout.write(`took ${egressId} ${attempt}\n`);
      while (await store.saveInfo(egressId, attempt, info, 0)) await sleep(100);
      process.stdout.write(`fenced ${egressId} ${attempt}\n`);
      return 'superseded';
    },
    stop: () => undefined,
    handOver: () => undefined,
  }),
  logger,
});
await worker.ready();
process.stdout.write('ready\n');
