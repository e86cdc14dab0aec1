/** The uploads of a worker: what they need of the configuration. */
import type { Logger } from 'pino';
import type { Config } from '../config/types.ts';
import { lateWork } from '../egress/sinks/late.ts';
import { createBackupStorage } from '../storage/index.ts';
import type { Storage, StoragePlan } from '../storage/index.ts';
import type { EgressStore, RedisConnections } from '../store/index.ts';
import { Uploads } from '../uploads/index.ts';

const FIRST_RETRY_MS = 1000;
const MAX_RETRY_MS = 60_000;
const REFUSED_RETRY_MS = 5 * 60_000;
const LEASE_MS = 15_000;

/**
 * @param spoolDir holds the folders of egresses
 * @param open opens the storage an egress asked for
 * @throws Error of the file system
 */
export function startUploads({
  config,
  redis,
  store,
  spoolDir,
  open,
  logger,
}: {
  config: Pick<Config, 'storage'>;
  redis: RedisConnections;
  store: EgressStore;
  spoolDir: string;
  open: (plan: StoragePlan) => Storage;
  logger: Logger;
}): Promise<Uploads> {
  const { uploadWaitMs, uploadGiveUpMs } = config.storage;
  return Uploads.start({
    ...{ redis: redis.shared, store, spoolDir, open, logger },
    openBackup: createBackupStorage(config.storage, logger),
    work: lateWork(spoolDir, logger),
    timing: {
      wait: uploadWaitMs,
      firstRetry: FIRST_RETRY_MS,
      maxRetry: MAX_RETRY_MS,
      refusedRetry: REFUSED_RETRY_MS,
      giveUp: uploadGiveUpMs,
      lease: LEASE_MS,
    },
  });
}
