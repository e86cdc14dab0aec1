/** All that chaos happens to: a Sluice with workers, those who send, those who receive, and what is recorded. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { EgressStatus, IngressInput } from '@livekit/protocol';
import type { EgressInfo, IngressInfo } from 'livekit-server-sdk';
import { processTree } from '../../bench/lib/processes.ts';
import type { ColorName } from '../../pipelines/publisher/signal.ts';
import { startTestPublisher } from '../../src/demo/publisher.ts';
import type { TestPublisher } from '../../src/demo/publisher.ts';
import { isEnded } from '../../src/egress/ended.ts';
import { quiet } from '../support/callers.ts';
import { makeClip } from '../support/content/clip.ts';
import {
  COPYABLE_ENCODING,
  ingressClient,
  participantWith,
  publishUrl,
  pushRtmp,
} from '../support/ingress.ts';
import type { Sender } from '../support/ingress.ts';
import { startRedis } from '../support/redis.ts';
import type { TestRedis } from '../support/redis.ts';
import { startNginxRtmp } from '../support/rtmp.ts';
import type { NginxRtmp } from '../support/rtmp.ts';
import { Sluice } from '../support/sluice.ts';
import type { SluiceProcess } from '../support/sluice.ts';
import { startSwift } from '../support/swift.ts';
import type { Swift } from '../support/swift.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';
import { WhipPath } from '../support/whip-path.ts';
import { RECORDINGS, startRecording } from './recordings.ts';
import type { RecordingName } from './recordings.ts';
import { TcpRelay } from './tcp-relay.ts';
import { Witness } from './witness.ts';

export const PICTURE = { width: 320, height: 180, fps: 10 };
/** Seconds of the clips that senders repeat. */
export const CLIP_SECONDS = 40;
export const BUCKET = 'chaos';
export const STREAM_KEY = 'chaos';
const WORKERS = 2;

/** Who publishes over WHIP, and where. */
export const PUBLISHERS = {
  alice: { room: 'studio', color: 'red' },
  carol: { room: 'studio', color: 'green' },
  guest: { room: 'guests', color: 'blue' },
} as const satisfies Record<string, { room: string; color: ColorName }>;
export type PublisherName = keyof typeof PUBLISHERS;

/** Frame 0 at `startedAtMs`. */
export type Life = Pick<TestPublisher, 'startedAtMs'>;

export class Rig {
  readonly sluice: Sluice;
  readonly redis: TestRedis;
  readonly nginx: NginxRtmp;
  readonly rtmpWire: TcpRelay;
  readonly swift: Swift;
  /** In front of it. */
  readonly s3Wire: TcpProxy;
  readonly path: WhipPath;
  /** Those who run now. */
  readonly workers: SluiceProcess[] = [];
  readonly egressIds = new Map<RecordingName, string>();
  readonly witness: Witness;
  readonly lives = new Map<PublisherName, Life[]>();
  readonly #publishers = new Map<PublisherName, TestPublisher>();
  readonly #folder: string;
  readonly #ends: (() => Promise<unknown>)[];
  #encoder: IngressInfo | undefined;
  #sender: Sender | undefined;

  private constructor(
    parts: Pick<Rig, 'sluice' | 'redis' | 'nginx' | 'rtmpWire' | 'swift' | 's3Wire' | 'path'>,
    folder: string,
    ends: (() => Promise<unknown>)[],
  ) {
    this.sluice = parts.sluice;
    this.redis = parts.redis;
    this.nginx = parts.nginx;
    this.rtmpWire = parts.rtmpWire;
    this.swift = parts.swift;
    this.s3Wire = parts.s3Wire;
    this.path = parts.path;
    this.#folder = folder;
    this.#ends = ends;
    this.witness = new Witness({
      publishers: () => this.#publishers,
      pids: () => this.#pids(),
      least: PICTURE.fps / 5,
    });
    ends.push(async () => this.witness.stop());
  }

  /** Everything runs and is recorded when it answers; on failure nothing is left. */
  static async start(seed: number): Promise<Rig> {
    const ends: (() => Promise<unknown>)[] = [];
    try {
      const folder = await mkdtemp(join(tmpdir(), 'sluice-chaos-'));
      ends.push(() => rm(folder, { recursive: true, force: true }));
      const redis = await startRedis();
      ends.push(() => redis.stop());
      const nginx = await startNginxRtmp();
      ends.push(() => nginx.close());
      const rtmpWire = await TcpRelay.start(nginx.port);
      ends.push(() => rtmpWire.close());
      const swift = await startSwift();
      ends.push(() => swift.stop());
      await swift.createBucket(BUCKET);
      const s3Wire = await TcpProxy.start(swift.endpoint);
      ends.push(() => s3Wire.stop());
      const sluice = await Sluice.start({
        ...{ mode: 'split', redisUrl: redis.url },
        env: {
          SLUICE_INGRESS_FILE_ROOTS: folder,
          SLUICE_LOG_LEVEL: 'info',
          SLUICE_STORAGE_UPLOAD_WAIT: '2',
          SLUICE_WORKER_MAX_JOBS: '20',
          SLUICE_WORKER_MAX_INGRESS_JOBS: '10',
        },
      });
      ends.push(async () => {
        const running = sluice.processes.filter((each) => each.running);
        await sluice.stop();
        const bad = running.filter(({ child }) => child.exitCode !== 0);
        for (const { name, child } of bad)
          throw new Error(`sluice ${name} exited with ${String(child.exitCode ?? child.signalCode)}`);
      });
      const path = await WhipPath.start(sluice.url, {}, seed);
      ends.push(() => path.close());
      const rig = new Rig({ sluice, redis, nginx, rtmpWire, swift, s3Wire, path }, folder, ends);
      await rig.#populate();
      await rig.#record();
      return rig;
    } catch (error) {
      await closeAll(ends);
      throw error;
    }
  }

  async addWorker(): Promise<void> {
    this.workers.push(await this.sluice.addWorker());
  }

  /** Takes a worker out of those that run; what becomes of it is the caller's. */
  take(worker: SluiceProcess): void {
    this.workers.splice(this.workers.indexOf(worker), 1);
  }

  async enter(name: PublisherName): Promise<void> {
    const { room, color } = PUBLISHERS[name];
    const publisher = await startTestPublisher({
      whipUrl: this.path.whipUrl,
      token: await this.sluice.token(name, { room, canPublish: true }),
      logger: quiet,
      color,
      ...PICTURE,
    });
    this.#publishers.set(name, publisher);
    this.lives.set(name, [...(this.lives.get(name) ?? []), publisher]);
  }

  async leave(name: PublisherName): Promise<void> {
    await this.#publishers.get(name)?.stop();
    this.#publishers.delete(name);
  }

  startSending(): void {
    if (!this.#encoder) throw new Error('there is no RTMP ingress');
    this.#sender = pushRtmp(publishUrl(this.#encoder), join(this.#folder, 'encoder.flv'), true);
  }

  async stopSending(): Promise<void> {
    await this.#sender?.kill();
  }

  /** Ends every recording. @returns their infos once they have ended, by name */
  async finish(): Promise<Map<RecordingName, EgressInfo>> {
    const infos = new Map<RecordingName, EgressInfo>();
    for (const id of this.egressIds.values()) await this.sluice.egress.stopEgress(id).catch(() => undefined);
    for (const [name, id] of this.egressIds) {
      infos.set(name, await this.sluice.waitForEgress(id, ({ status }) => isEnded(status), 60_000));
    }
    return infos;
  }

  /** Those who send leave. */
  async empty(): Promise<void> {
    await this.stopSending();
    for (const name of this.#publishers.keys()) await this.leave(name);
    const client = ingressClient(this.sluice);
    for (const { ingressId } of await client.listIngress({})) await client.deleteIngress(ingressId);
  }

  close(): Promise<void> {
    return closeAll(this.#ends);
  }

  async #populate(): Promise<void> {
    for (let count = 0; count < WORKERS; count++) await this.addWorker();
    // A keyframe every two seconds, as from publishers.
    const encode = [...COPYABLE_ENCODING, '-g', String(2 * PICTURE.fps), '-b:v', '300k'];
    const clip = { seconds: CLIP_SECONDS, ...PICTURE, encode };
    await makeClip(join(this.#folder, 'encoder.flv'), { ...clip, color: 'yellow' });
    await makeClip(join(this.#folder, 'film.mp4'), { ...clip, color: 'green' });
    this.#ends.push(() => this.stopSending());
    for (const name of Object.keys(PUBLISHERS) as PublisherName[]) {
      this.#ends.push(() => this.leave(name));
      await this.enter(name);
    }
    const client = ingressClient(this.sluice);
    const common = { roomName: 'outside', enableTranscoding: false };
    this.#encoder = await client.createIngress(IngressInput.RTMP_INPUT, {
      ...{ ...common, name: 'encoder', participantIdentity: 'encoder' },
    });
    await client.createIngress(IngressInput.URL_INPUT, {
      ...{ ...common, name: 'film', participantIdentity: 'film' },
      url: `file://${join(this.#folder, 'film.mp4')}#loop`,
    });
    this.startSending();
    for (const identity of ['encoder', 'film']) await participantWith(this.sluice, 'outside', identity, 2);
  }

  async #record(): Promise<void> {
    const url = `rtmp://127.0.0.1:${this.rtmpWire.port}/live/${STREAM_KEY}`;
    for (const name of RECORDINGS)
      this.egressIds.set(name, (await startRecording(this.sluice, name, url)).egressId);
    for (const id of this.egressIds.values())
      await this.sluice.waitForEgress(id, ({ status }) => status !== EgressStatus.EGRESS_STARTING);
  }

  /** Everything that has to run in time for media to get through. */
  #pids(): number[] {
    const roots = [...this.workers.map(({ child }) => child), this.sluice.main.child, this.#sender?.child];
    return [
      ...processTree(...roots.flatMap((child) => child?.pid ?? [])),
      ...[...this.#publishers.values()].map(({ pid }) => pid),
    ];
  }
}

async function closeAll(ends: (() => Promise<unknown>)[]): Promise<void> {
  const failures: unknown[] = [];
  for (const end of ends.splice(0).reverse()) await end().catch((error: unknown) => failures.push(error));
  if (failures.length > 0)
    throw new AggregateError(failures, `not ended in order: ${failures.map(String).join('; ')}`);
}
