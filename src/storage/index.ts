import type { Logger } from 'pino';
import type { Config } from '../config/index.ts';
import { LocalStorage } from './local.ts';
import { S3Storage } from './s3.ts';
import { configuredS3, requestedS3 } from './s3-settings.ts';
import type { Storage, StoragePlan } from './types.ts';

export { StorageError } from './types.ts';
export type { PutOptions, S3Settings, Storage, StoragePlan, StoredObject } from './types.ts';

/**
 * The storage an output goes to. Nothing is connected to, and no folder made, before something is put.
 * @throws StorageError when the plan lacks what it needs.
 */
export function createStorage(plan: StoragePlan, config: Pick<Config, 'storage'>, logger: Logger): Storage {
  const { storage } = config;
  if (plan.type === 's3') return new S3Storage(requestedS3(plan.s3, storage), logger);
  if (plan.type === 'default' && storage.type === 's3') return new S3Storage(configuredS3(storage), logger);
  return new LocalStorage(storage.local.path);
}
