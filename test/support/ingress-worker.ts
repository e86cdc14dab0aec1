/** A worker process whose every source is a clip of FFmpeg's: `ingress-worker.ts <redis url>`. It says `ready`. */
import { IngressAttempt } from '../../src/ingress/attempt.ts';
import { IngressWorker } from '../../src/jobs/ingress-worker.ts';
import { ingressQueue } from '../../src/jobs/queues.ts';
import { connectRedis, createIngressStore } from '../../src/store/index.ts';
import { ClipInput } from './clip-input.ts';
import { attemptDeps } from './ingress-session.ts';
import { silentLogger } from './sfu.ts';

const [url = ''] = process.argv.slice(2);
const redis = connectRedis({ url, logger: silentLogger });
const store = createIngressStore(redis, silentLogger);
const queue = ingressQueue(redis.shared, silentLogger);
const worker = new IngressWorker({
  connection: redis.shared,
  queue,
  store,
  maxJobs: 1,
  createAttempt: (record, session) =>
    new IngressAttempt(record, session, attemptDeps(store, new ClipInput())),
  logger: silentLogger,
});
await worker.ready();
process.stdout.write('ready\n');
process.once('SIGTERM', () => {
  void worker
    .close('hand-over', 10_000)
    .then(() => Promise.all([queue.close(), store.close()]))
    .then(() => redis.close());
});
