import type { Logger } from 'pino';
import type { Config } from '../config/index.ts';
import { checkedAgents, proxyAgents } from '../outbound/index.ts';
import type { AddressPolicy, CheckedAgents } from '../outbound/index.ts';
import { LocalStorage } from './local.ts';
import { S3Storage } from './s3.ts';
import { bucketOf, configuredS3, proxyUrl, requestedS3 } from './s3-settings.ts';
import type { S3Settings, Storage, StoragePlan } from './types.ts';

export { StorageError } from './types.ts';
export type { PutOptions, S3Settings, Storage, StoragePlan, StoredObject } from './types.ts';

/** What is needed of the configuration. */
export interface StorageConfig {
  storage: Pick<Config['storage'], 'type' | 'local' | 's3'> & Partial<Pick<Config['storage'], 'stsEndpoint'>>;
}

/**
 * The storage an output goes to. Nothing is connected to, and no folder made, before something is put.
 * @param policy what an endpoint that a request named may lead to.
 * @throws StorageError when the plan lacks what it needs.
 */
export function createStorage(
  plan: StoragePlan,
  config: StorageConfig,
  logger: Logger,
  policy: AddressPolicy,
): Storage {
  const { storage } = config;
  if (plan.type === 's3') {
    return new S3Storage(
      requestedS3(plan.s3, storage),
      logger,
      undefined,
      agentsFor(plan.s3, config, policy),
    );
  }
  if (plan.type === 'default' && storage.type === 's3') return new S3Storage(configuredS3(storage), logger);
  return new LocalStorage(storage.local.path);
}

/** Undefined: nothing that a request named is connected to. */
function agentsFor(s3: S3Settings, config: StorageConfig, policy: AddressPolicy): CheckedAgents | undefined {
  if (s3.proxy) return proxyAgents(proxyUrl(s3.proxy), policy);
  return namesEndpoint(s3, config) ? checkedAgents(policy) : undefined;
}

/** Whether a request leads us to an endpoint that is neither AWS's nor the configuration's. */
export function namesEndpoint(
  { endpoint }: Pick<S3Settings, 'endpoint'>,
  { storage }: StorageConfig,
): boolean {
  return endpoint !== '' && endpoint !== storage.s3.endpoint;
}

/** The backup storage of the configuration; undefined when there is none. Nothing is connected to before something is put. */
export function createBackupStorage(
  { backup }: Pick<Config['storage'], 'backup'>,
  logger: Logger,
): (() => Storage) | undefined {
  if (!backup) return undefined;
  return () =>
    backup.type === 'local'
      ? new LocalStorage(backup.path)
      : new S3Storage(bucketOf(backup.s3), logger.child({ backup: true }));
}
