/** What one test of uploads has to itself, beside others that use the same store and Redis. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { EgressStatus } from '@livekit/protocol';
import type { EgressInfo } from '@livekit/protocol';
import type { TestContext } from 'vitest';
import { uploadNote } from '../../src/egress/sinks/late.ts';
import { keys } from '../../src/store/keys.ts';
import type { TestRedis } from './redis.ts';
import type { Swift } from './swift.ts';
import { until } from './takeover.ts';
import { TcpProxy } from './tcp-proxy.ts';
import { UploadRig, endEgress, makeRecording } from './uploads.ts';
import type { Recording, UploadRigOptions } from './uploads.ts';

interface Surroundings {
  redis: TestRedis;
  swift: Swift;
  bucket: string;
}

let count = 0;
let databases = 0;

export const newEgressId = (): string => `EG_${++count}`;

/** A test's own spool, way to the store and database of Redis, and the one process that uses them. */
export class UploadScene {
  readonly folder = mkdtempSync(join(tmpdir(), 'sluice-uploads-'));
  readonly spoolDir = join(this.folder, 'egress');
  readonly proxy: TcpProxy;
  readonly options: UploadRigOptions;
  #rig: UploadRig | undefined;

  static async set(
    { onTestFinished }: Pick<TestContext, 'onTestFinished'>,
    around: Surroundings,
  ): Promise<UploadScene> {
    const scene = new UploadScene(await TcpProxy.start(around.swift.endpoint), around);
    onTestFinished(async () => {
      await scene.#rig?.close();
      await scene.proxy.stop();
      rmSync(scene.folder, { recursive: true, force: true });
    });
    return scene;
  }

  private constructor(proxy: TcpProxy, { redis, swift, bucket }: Surroundings) {
    this.proxy = proxy;
    const { region, accessKey, secret } = swift;
    const s3 = { bucket, region, accessKey, secret, endpoint: proxy.url };
    this.options = { redisUrl: `${redis.url}/${databases++}`, spoolDir: this.spoolDir, s3 };
  }

  get rig(): UploadRig {
    if (!this.#rig) throw new Error('it has not started');
    return this.#rig;
  }

  async start(change: Partial<UploadRigOptions> = {}): Promise<void> {
    this.#rig = await UploadRig.start({ ...this.options, ...change });
  }

  async restart(change: Partial<UploadRigOptions> = {}): Promise<void> {
    await this.rig.close();
    await this.start(change);
  }

  recording(bytes: number, s3?: Parameters<typeof makeRecording>[2]['s3']): Promise<Recording> {
    const egressId = newEgressId();
    return makeRecording(this.rig, this.spoolDir, { egressId, bytes, ...(s3 && { s3 }) });
  }

  async infoOf({ upload }: Recording): Promise<EgressInfo> {
    return (await this.rig.store.get(upload.egressId))!.info;
  }

  async webhooksOf({ upload }: Recording): Promise<string[]> {
    return (await this.rig.redis.shared.lrange(keys.outbox, 0, -1))
      .map((entry) => JSON.parse(entry) as { egressId: string; event: string })
      .flatMap(({ egressId, event }) => (egressId === upload.egressId ? [event] : []));
  }

  /** Ends the egress as its attempt does when its upload is still to come. */
  async endPending({ upload, folder: logDir, path }: Recording): Promise<void> {
    await endEgress(this.rig, upload.egressId, EgressStatus.EGRESS_COMPLETE, (info) => {
      info.details = `End reason: StopEgress API; ${uploadNote(upload, logDir, 'pending')}`;
      info.fileResults[0]!.location = path;
    });
  }

  async settled({ upload }: Recording): Promise<void> {
    await until(
      'the upload is settled',
      async () => (await this.rig.redis.shared.exists(keys.uploads(upload.egressId))) === 0,
    );
  }
}
