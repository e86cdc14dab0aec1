/** More jobs than a worker has room for, and a disk that fills up: a real server whose worker has a tenth of a core. */
import { execFile } from 'node:child_process';
import { mkdtemp, rm, statfs } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import {
  EgressStatus,
  EncodedFileOutput,
  EncodedFileType,
  EncodingOptions,
  IngressInput,
  IngressState_Status,
} from '@livekit/protocol';
import type { EgressInfo } from 'livekit-server-sdk';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ffprobe, ffprobeFrames } from '../../src/demo/content/ffprobe.ts';
import type { TestPublisher } from '../../src/demo/publisher.ts';
import { publish } from '../support/callers.ts';
import { ingressClient, waitForIngress } from '../support/ingress.ts';
import { API_KEY, API_SECRET, Sluice } from '../support/sluice.ts';
import { startWebhookServer } from '../support/webhook-receiver.ts';
import type { WebhookServer } from '../support/webhook-receiver.ts';

const MiB = 2 ** 20;
const ROOM = 'crowded';
/** Cores for jobs: one small composite counts 0.08. */
const CAPACITY = 0.1;
const DEADLINE_SECONDS = 6;
/** Recordings end when less than this has gone from the disk since the start. */
const SPARE_BYTES = 400 * MiB;

const freeOf = async (path: string) => {
  const { bavail, bsize } = await statfs(path);
  return bavail * bsize;
};

/** A folder on a disk nobody else fills, if there is one. */
async function quietFolder(): Promise<string> {
  const shared = '/dev/shm';
  const roomy = await freeOf(shared).then(
    (free) => free > 4 * SPARE_BYTES,
    () => false,
  );
  return mkdtemp(join(roomy ? shared : tmpdir(), 'sluice-admission-'));
}

describe('a worker that is full', () => {
  let folder: string;
  let sluice: Sluice;
  let webhooks: WebhookServer;
  let alice: TestPublisher;
  /** Of free disk, bytes: below it no recording may run. */
  let limit: number;
  const ids = new Map<string, string>();

  beforeAll(async () => {
    folder = await quietFolder();
    webhooks = await startWebhookServer(API_KEY, API_SECRET);
    limit = (await freeOf(folder)) - SPARE_BYTES;
    sluice = await Sluice.start({
      env: {
        SLUICE_DATA_DIR: folder,
        SLUICE_WORKER_CPU_LIMIT: String(CAPACITY / availableParallelism()),
        SLUICE_WORKER_MIN_FREE_DISK: String(limit),
        SLUICE_WORKER_STOP_FREE_DISK: String(limit),
        SLUICE_EGRESS_START_DEADLINE: String(DEADLINE_SECONDS),
        SLUICE_INGRESS_ALLOW_NETWORKS: '127.0.0.0/8',
        SLUICE_WEBHOOK_URLS: webhooks.url,
      },
    });
    alice = await publish(sluice, ROOM, 'alice', { color: 'red', fps: 10 });
  });
  afterAll(async () => {
    await alice?.stop();
    await sluice?.stop();
    await webhooks?.close();
    await rm(folder, { recursive: true, force: true });
  });

  const start = async (name: string): Promise<EgressInfo> => {
    const info = await sluice.egress.startRoomCompositeEgress(
      ROOM,
      new EncodedFileOutput({ fileType: EncodedFileType.MP4, filepath: `${name}.mp4` }),
      {
        encodingOptions: new EncodingOptions({
          ...{ width: 320, height: 180, framerate: 15, videoBitrate: 300 },
        }),
      },
    );
    ids.set(name, info.egressId);
    return info;
  };
  const until = (name: string, done: (info: EgressInfo) => boolean) =>
    sluice.waitForEgress(ids.get(name) ?? '', done, 20_000);
  const isActive = ({ status }: EgressInfo) => status === EgressStatus.EGRESS_ACTIVE;
  const isAt = (position: number) => (info: EgressInfo) =>
    info.status === EgressStatus.EGRESS_STARTING &&
    info.details === `waiting for a worker, position ${position}`;
  const hasEnded = ({ status }: EgressInfo) => status >= EgressStatus.EGRESS_COMPLETE;

  const readMetrics = async () => (await fetch(`${sluice.url}/metrics`)).text();
  /** Resolves when the worker has told the others of such a disk. */
  async function announced(done: (free: number) => boolean): Promise<void> {
    const deadline = Date.now() + 15_000;
    for (;;) {
      const free = Number(/^sluice_worker_free_disk_bytes\{.*\} (.*)$/m.exec(await readMetrics())?.[1]);
      if (done(free)) return;
      if (Date.now() > deadline) throw new Error(`the worker tells of ${free} bytes still`);
      await sleep(200);
    }
  }

  it('lets jobs wait in order, each with its position; one that is stopped never runs', async () => {
    await start('first');
    await until('first', isActive);
    for (const name of ['second', 'third', 'fourth']) await start(name);
    const positions = ['second', 'third', 'fourth'].map((name, at) => until(name, isAt(at + 1)));
    await Promise.all(positions);

    const stopped = await sluice.egress.stopEgress(ids.get('third') ?? '');
    expect(stopped.status).toBe(EgressStatus.EGRESS_ABORTED);
    expect(stopped.details).toBe('End reason: StopEgress API');
    await until('fourth', isAt(2));

    await sluice.egress.stopEgress(ids.get('first') ?? '');
    const second = await until('second', isActive);
    expect(second.details).toBe('');
    await until('fourth', isAt(1));
    expect((await until('first', hasEnded)).status).toBe(EgressStatus.EGRESS_COMPLETE);
  });

  it('lets an ingress wait as well, and gives up what has waited for too long', async () => {
    const client = ingressClient(sluice);
    const { ingressId } = await client.createIngress(IngressInput.URL_INPUT, {
      ...{ name: 'late', roomName: ROOM, participantIdentity: 'late', url: 'http://127.0.0.1:9/late.mp4' },
    });
    await waitForIngress(
      sluice,
      ingressId,
      ({ state }) =>
        state?.status === IngressState_Status.ENDPOINT_BUFFERING &&
        /^waiting for a worker, position 1$/.test(state.error),
      10_000,
    );
    const fourth = await until('fourth', hasEnded);
    expect(fourth.status).toBe(EgressStatus.EGRESS_FAILED);
    expect(fourth.errorCode).toBe(429);
    expect(fourth.error).toBe(
      `not started within ${DEADLINE_SECONDS} s (egress.start_deadline): the one connected worker has no room for it; ` +
        'add workers or end other jobs',
    );
    const { state } = await waitForIngress(
      sluice,
      ingressId,
      (info) => info.state?.status === IngressState_Status.ENDPOINT_ERROR,
      15_000,
    );
    expect(state?.error).toContain(`not started within ${DEADLINE_SECONDS} s`);
    // What ran meanwhile was not disturbed.
    expect(isActive(await until('second', () => true))).toBe(true);
    const told = webhooks.received.map(({ event }) => event);
    const ended = told.filter(({ egressInfo }) => egressInfo?.egressId === ids.get('fourth'));
    expect(ended.map(({ event }) => event)).toEqual(['egress_started', 'egress_ended']);
    expect(ended.at(-1)?.egressInfo?.status).toBe(EgressStatus.EGRESS_FAILED);
    const metrics = await readMetrics();
    expect(metrics).toContain('sluice_jobs_waiting{queue="egress"} 0');
    expect(Number(/^sluice_worker_capacity_cores\{.*\} (.*)$/m.exec(metrics)?.[1])).toBeCloseTo(CAPACITY);
    expect(Number(/^sluice_worker_committed_cores\{.*\} (.*)$/m.exec(metrics)?.[1])).toBeGreaterThan(0.07);
  });

  it('ends a recording before the disk is full, keeps its file, and takes no other until there is room', async () => {
    const filler = join(folder, 'filler');
    await promisify(execFile)('fallocate', ['-l', String(SPARE_BYTES + 50 * MiB), filler]);
    const second = await until('second', hasEnded);
    expect(second.status).toBe(EgressStatus.EGRESS_LIMIT_REACHED);
    expect(second.errorCode).toBe(413);
    expect(second.error).toMatch(/^Session limit reached: .* of disk are free.*worker\.stop_free_disk/);
    expect(second.details).toContain('End reason: Session limit reached');
    const [file] = second.fileResults;
    const { duration } = await ffprobe(file?.location ?? '');
    expect(duration).toBeGreaterThan(5);
    const frames = await ffprobeFrames(file?.location ?? '');
    expect(frames.length).toBeGreaterThan(5 * 15);
    expect(Number(file?.duration) / 1e9).toBeCloseTo(duration ?? NaN, 0);

    await announced((free) => free < limit);
    await expect(start('refused')).rejects.toMatchObject({
      code: 'resource_exhausted',
      status: 429,
      message: expect.stringMatching(
        /no worker has the disk for a new recording: .* free, .* more are needed/,
      ) as string,
    });
    await rm(filler);
    await announced((free) => free > limit + SPARE_BYTES / 2);
    await start('accepted');
    await until('accepted', isActive);
    await sluice.egress.stopEgress(ids.get('accepted') ?? '');
    await until('accepted', hasEnded);
  });
});
