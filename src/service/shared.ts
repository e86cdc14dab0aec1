/** What server and worker share in a process. */
import type { Logger } from 'pino';
import type { Config } from '../config/types.ts';
import type { EgressQueue, IngressQueue } from '../jobs/queues.ts';
import type { EgressStore, IngressStore, RedisConnections } from '../store/index.ts';

export interface Shared {
  config: Config;
  logger: Logger;
  redis: RedisConnections;
  store: EgressStore;
  queue: EgressQueue;
  ingressStore: IngressStore;
  ingressQueue: IngressQueue;
}

export interface RunningWorker {
  readonly hasRoom: boolean;
  /** `finish`: what runs ends. `hand-over`: other workers go on with it. */
  close(how: 'finish' | 'hand-over'): Promise<void>;
}
