/** Uploads of made-up egresses against real storages, here or in a process of their own that can be killed. */
import { randomBytes } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { EgressInfo, EgressStatus, FileInfo, RoomCompositeEgressRequest } from '@livekit/protocol';
import { pino } from 'pino';
import { lateWork } from '../../src/egress/sinks/late.ts';
import { createAddressPolicy } from '../../src/outbound/index.ts';
import { LocalStorage } from '../../src/storage/local.ts';
import { createStorage } from '../../src/storage/index.ts';
import type { S3Settings, StorageConfig, StoragePlan } from '../../src/storage/index.ts';
import { connectRedis, createEgressStore } from '../../src/store/index.ts';
import type { EgressStore, RedisConnections } from '../../src/store/index.ts';
import { Uploads } from '../../src/uploads/index.ts';
import type { FileUpload, UploadTiming } from '../../src/uploads/index.ts';

export interface UploadRigOptions {
  redisUrl: string;
  spoolDir: string;
  /** Of the service's own storage. */
  s3: Pick<S3Settings, 'bucket' | 'region' | 'endpoint' | 'accessKey' | 'secret'>;
  /** Folder of the backup storage. */
  backup?: string;
  timing?: Partial<UploadTiming>;
}

const logger = pino({ level: process.env.UPLOADS_LOG ?? 'silent' });
/** The tests' storages are on this machine. */
export const localPolicy = createAddressPolicy({
  allowNetworks: ['127.0.0.1/32'],
  setting: 'outbound.allow_networks',
  logger,
});

/** One process's uploads, with its connections. */
export class UploadRig {
  readonly uploads: Uploads;
  readonly store: EgressStore;
  readonly redis: RedisConnections;

  private constructor(uploads: Uploads, store: EgressStore, redis: RedisConnections) {
    this.uploads = uploads;
    this.store = store;
    this.redis = redis;
  }

  static async start({ redisUrl, spoolDir, s3, backup, timing }: UploadRigOptions): Promise<UploadRig> {
    const redis = connectRedis({ url: redisUrl, logger });
    await redis.ready();
    const store = createEgressStore(redis, logger);
    const config: StorageConfig = {
      storage: {
        type: 's3',
        local: { path: join(spoolDir, '..', 'local') },
        s3: { ...s3, sessionToken: '', forcePathStyle: true },
      },
    };
    const uploads = await Uploads.start({
      ...{ redis: redis.shared, store, spoolDir, logger, work: lateWork(spoolDir, logger) },
      open: (plan: StoragePlan) => createStorage(plan, config, logger, localPolicy),
      openBackup: backup === undefined ? undefined : () => new LocalStorage(backup),
      timing: {
        wait: 400,
        firstRetry: 100,
        maxRetry: 400,
        refusedRetry: 400,
        giveUp: 3_600_000,
        lease: 1500,
        ...timing,
      },
    });
    return new UploadRig(uploads, store, redis);
  }

  async close(): Promise<void> {
    await this.uploads.close();
    await this.store.close();
    await this.redis.close();
  }
}

export interface Recording {
  upload: FileUpload;
  plan: StoragePlan;
  folder: string;
  path: string;
  content: Buffer;
}

/** An egress that has made a file of random bytes, and is about to put it into `bucket` (undefined: the service's own). */
export async function makeRecording(
  { store }: Pick<UploadRig, 'store'>,
  spoolDir: string,
  { egressId, bytes, s3 }: { egressId: string; bytes: number; s3?: S3Settings },
): Promise<Recording> {
  const output = s3
    ? { case: 's3' as const, value: { ...s3, metadata: {}, tagging: '', contentDisposition: '' } }
    : { case: undefined };
  const request = new RoomCompositeEgressRequest({
    roomName: 'demo',
    layout: 'grid',
    fileOutputs: [{ filepath: 'call.mp4', output }],
  });
  await store.create({
    ...{ egressId, roomName: 'demo', requestType: 'RoomCompositeEgressRequest', trackKind: undefined },
    ...{ requestJson: request.toJsonString(), createdAtMs: Date.now(), bridgeUrl: 'ws://127.0.0.1:1/bridge' },
    info: new EgressInfo({
      ...{ egressId, roomName: 'demo', status: EgressStatus.EGRESS_ENDING },
      fileResults: [new FileInfo({ filename: `${egressId}/call.mp4` })],
    }),
    desired: { revision: 0, streamUrls: [] },
  });
  await store.begin(egressId, 1);
  const folder = join(spoolDir, egressId);
  mkdirSync(folder, { recursive: true });
  const content = randomBytes(bytes);
  const path = join(folder, 'output-1.mp4');
  writeFileSync(path, content);
  const plan: StoragePlan = s3 ? { type: 's3', s3 } : { type: 'default' };
  const upload: FileUpload = {
    ...{ kind: 'file', egressId, output: 0, storage: 0, own: !s3, file: 'output-1.mp4', bytes },
    ...{ key: `${egressId}/call.mp4`, contentType: 'video/mp4' },
  };
  return { upload, plan, folder, path, content };
}

/** What the egress's attempt does once it knows what became of the upload. */
export async function endEgress(
  { store }: Pick<UploadRig, 'store'>,
  egressId: string,
  status: EgressStatus,
  change: (info: EgressInfo) => void,
): Promise<void> {
  const record = await store.get(egressId);
  if (!record) throw new Error(`there is no ${egressId}`);
  record.info.status = status;
  record.info.endedAt = BigInt(Date.now()) * 1_000_000n;
  change(record.info);
  if (!(await store.saveInfo(egressId, 1, record.info, 0))) throw new Error('not saved');
}
