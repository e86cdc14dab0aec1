/**
 * A server and a worker whose Redis goes away and comes back without the locks of running jobs, and then whose SFU is
 * killed: what becomes of the egresses.
 */
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { EncodedFileOutput, EgressStatus } from 'livekit-server-sdk';
import type { EgressInfo } from 'livekit-server-sdk';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { TestPublisher } from '../../src/demo/publisher.ts';
import { analyse } from '../../src/demo/content/analyse.ts';
import type { ContentReport } from '../../src/demo/content/analyse.ts';
import { publish, trackIds } from '../support/callers.ts';
import { startRedis } from '../support/redis.ts';
import type { TestRedis } from '../support/redis.ts';
import { API_KEY, API_SECRET, Sluice } from '../support/sluice.ts';
import type { SluiceProcess } from '../support/sluice.ts';
import { gapsIn, pipelinePid, until } from '../support/takeover.ts';
import { startWebhookServer } from '../support/webhook-receiver.ts';
import type { WebhookServer } from '../support/webhook-receiver.ts';

const ROOM = 'away';
/** A second more than the API waits for Redis. */
const SILENT_MS = 6_000;
const DOWN_MS = 2_000;
/** BullMQ looks twice, five seconds apart, before it gives a job without its lock up. */
const STALLED_MS = 10_500;
/** Of the publisher. */
const FPS = 15;
/** How soon a command has to fail. */
const QUICKLY_MS = 6_000;

const ended = ({ status }: EgressInfo) => status >= EgressStatus.EGRESS_COMPLETE;

interface Refusal {
  code: unknown;
  message: string;
  afterMs: number;
}

/** How a command fails. */
async function refusalOf(command: () => Promise<unknown>): Promise<Refusal> {
  const began = performance.now();
  try {
    await command();
  } catch (error) {
    const afterMs = performance.now() - began;
    const { code, message } = error as { code?: unknown; message: string };
    return { code, message, afterMs };
  }
  throw new Error('the command was carried out, without Redis');
}

describe('egresses', () => {
  let redis: TestRedis;
  let webhooks: WebhookServer;
  let sluice: Sluice;
  let worker: SluiceProcess;
  let alice: TestPublisher;
  let refusals: Refusal[] = [];
  let lost = -1;
  let pids: { before: number; after: number };
  let workerLog = '';
  let recorded: EgressInfo;
  let unrecorded: EgressInfo;
  let late: EgressInfo[] = [];
  let report: ContentReport;
  let expectedSeconds: number;

  beforeAll(async () => {
    [redis, webhooks] = await Promise.all([startRedis(), startWebhookServer(API_KEY, API_SECRET)]);
    sluice = await Sluice.start({
      mode: 'split',
      redisUrl: redis.url,
      // One job at a time: the second one waits.
      env: { SLUICE_WEBHOOK_URLS: webhooks.url, SLUICE_WORKER_MAX_JOBS: '1' },
    });
    worker = await sluice.addWorker();
    alice = await publish(sluice, ROOM, 'alice', { color: 'red', fps: FPS });
    const { audio, video } = await trackIds(sluice, ROOM, 'alice');
    const file = (filepath: string) => ({ file: new EncodedFileOutput({ filepath }) });
    const { egressId } = await sluice.egress.startTrackCompositeEgress(ROOM, file('away/alice'), {
      ...(audio && { audioTrackId: audio }),
      ...(video && { videoTrackId: video }),
    });
    await sluice.waitForEgress(egressId, ({ status }) => status === EgressStatus.EGRESS_ACTIVE);
    const waiting = await sluice.egress.startRoomCompositeEgress(ROOM, file('away/room'), { layout: 'grid' });
    const before = await pipelinePid(sluice, egressId);

    // Redis falls silent, is killed, and comes back after the locks have run out.
    redis.pause();
    const silent = sleep(SILENT_MS);
    refusals = await Promise.all([
      refusalOf(() => sluice.egress.listEgress({ egressId })),
      refusalOf(() => sluice.egress.stopEgress(egressId)),
      refusalOf(() => sluice.egress.startRoomCompositeEgress(ROOM, file('away/late'), { layout: 'grid' })),
    ]);
    await silent;
    await redis.restart({ downMs: DOWN_MS });
    const client = new Redis(redis.url);
    lost = await client.del(`sluice:egress:${egressId}-1:lock`);
    await client.quit();
    await sleep(STALLED_MS);
    pids = { before, after: await pipelinePid(sluice, egressId) };
    late = (await sluice.egress.listEgress({ roomName: ROOM })).filter(
      ({ egressId: id }) => id !== egressId && id !== waiting.egressId,
    );

    // The SFU's node is gone at once.
    const [running] = await sluice.egress.listEgress({ egressId });
    expectedSeconds = (Date.now() - Number(running!.startedAt) / 1e6) / 1000;
    sluice.main.child.kill('SIGKILL');
    await once(sluice.main.child, 'exit');
    for (const id of [egressId, waiting.egressId]) {
      await until(`${id} to end`, () =>
        worker.output.split('\n').some((line) => line.includes(id) && line.includes('"msg":"job done"')),
      );
    }
    workerLog = worker.output;
    await sluice.restartMain();
    recorded = await sluice.waitForEgress(egressId, ended);
    unrecorded = await sluice.waitForEgress(waiting.egressId, ended);
    report = await analyse(recorded.fileResults[0]!.location, {
      tiles: [{ name: 'alice', color: 'red', fps: FPS, from: 1.5 }],
    });
    await until('the ends to be told', () =>
      [egressId, waiting.egressId].every((id) => told(id).at(-1)?.event === 'egress_ended'),
    );
  }, 120_000);

  afterAll(async () => {
    await alice?.stop();
    await sluice?.stop();
    await webhooks?.close();
    await redis?.stop();
  });

  const told = (id: string) =>
    webhooks.received.map(({ event }) => event).filter(({ egressInfo }) => egressInfo?.egressId === id);

  it('are refused by name while Redis is away, and soon', () => {
    for (const { code, message, afterMs } of refusals) {
      expect(code).toBe('unavailable');
      expect(message).toContain('did not answer in time; try again');
      expect(afterMs).toBeLessThan(QUICKLY_MS);
    }
    // What was refused is not carried out later.
    for (const info of late) expect(info.status, info.toJsonString()).toBe(EgressStatus.EGRESS_ABORTED);
  });

  it('go on in the same attempt and process when Redis has lost their locks', () => {
    expect(lost).toBe(1);
    expect(pids.after).toBe(pids.before);
    expect(workerLog).not.toContain('"attempt":2');
    expect(sluice.main.output + workerLog).not.toContain('goes on in a new attempt');
  });

  it('are COMPLETE with what they have when the SFU dies, every second of it', async () => {
    expect(recorded.status, recorded.error).toBe(EgressStatus.EGRESS_COMPLETE);
    expect(recorded.details).toContain('Connection to the room lost');
    expect(gapsIn(recorded.details)).toEqual([]);
    expect(Math.abs(report.duration - expectedSeconds)).toBeLessThan(1.5);
    expect(report.decodeErrors).toEqual([]);
    const [tile] = report.tiles;
    expect(tile!.inOrder).toBe(true);
    expect(tile!.missing.length / FPS).toBeLessThan(0.03 * report.duration);
    const { location, size } = recorded.fileResults[0]!;
    const bytes = await readFile(location);
    expect(bytes.length).toBe(Number(size));
  });

  it('are FAILED, with the reason, when the SFU was gone before anything was recorded', () => {
    expect(unrecorded.status, unrecorded.toJsonString()).toBe(EgressStatus.EGRESS_FAILED);
    expect(unrecorded.error).toContain('the room cannot be joined: the bridge is closed');
    expect(unrecorded.fileResults[0]?.location).toBe('');
  });

  it('are told of completely and in order, each change once', () => {
    const seen = webhooks.received.map(({ event }) => event.id);
    expect(new Set(seen).size).toBe(seen.length);
    for (const { egressId } of [recorded, unrecorded]) {
      const events = told(egressId);
      expect(events[0]?.event).toBe('egress_started');
      expect(events.filter(({ event }) => event === 'egress_ended')).toHaveLength(1);
      const updated = events.map(({ egressInfo }) => egressInfo!.updatedAt);
      expect(updated.every((at, index) => index === 0 || at >= updated[index - 1]!)).toBe(true);
    }
  });
});
