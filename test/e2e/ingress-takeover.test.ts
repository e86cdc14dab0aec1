/** A server and two workers: the worker of an ingress is killed, or told to go, and another goes on. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { IngressInput } from '@livekit/protocol';
import type { ParticipantInfo } from '@livekit/protocol';
import type { IngressInfo } from 'livekit-server-sdk';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeClip } from '../support/content/clip.ts';
import {
  OBS_ENCODING,
  ingressClient,
  isPublishing,
  participantWith,
  publishUrl,
  pushRtmp,
  recordParticipant,
  waitForIngress,
} from '../support/ingress.ts';
import type { Sender } from '../support/ingress.ts';
import { startRedis } from '../support/redis.ts';
import type { TestRedis } from '../support/redis.ts';
import { API_KEY, API_SECRET, Sluice } from '../support/sluice.ts';
import type { SluiceProcess } from '../support/sluice.ts';
import { startWebhookServer } from '../support/webhook-receiver.ts';
import type { WebhookServer } from '../support/webhook-receiver.ts';

const ROOM = 'takeover';
const TILE = { name: 'obs', color: 'blue', from: 0.5 } as const;

describe('an ingress that outlives its workers', () => {
  let folder: string;
  let redis: TestRedis;
  let webhooks: WebhookServer;
  let sluice: Sluice;
  let sender: Sender;
  let info: IngressInfo;
  let before: ParticipantInfo;
  let worker: SluiceProcess;
  let resourceId = '';

  /** Ms from now until the participant has two tracks that are none of `old`. */
  async function untilBack(old: ParticipantInfo): Promise<number> {
    const from = Date.now();
    const gone = new Set(old.tracks.map(({ sid }) => sid));
    while (Date.now() - from < 20_000) {
      const now = await sluice.rooms.getParticipant(ROOM, 'obs').catch(() => undefined);
      if (now?.tracks.length === 2 && now.tracks.every(({ sid }) => !gone.has(sid))) return Date.now() - from;
      await sleep(50);
    }
    throw new Error(`the tracks did not come back\n${sluice.tail()}`);
  }

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'sluice-takeover-'));
    await makeClip(join(folder, 'obs.flv'), {
      ...{ seconds: 45, color: 'blue', width: 320, height: 180, fps: 30, encode: OBS_ENCODING },
    });
    redis = await startRedis();
    webhooks = await startWebhookServer(API_KEY, API_SECRET);
    sluice = await Sluice.start({
      ...{ mode: 'split', redisUrl: redis.url, env: { SLUICE_WEBHOOK_URLS: webhooks.url } },
    });
    worker = await sluice.addWorker();
    info = await ingressClient(sluice).createIngress(IngressInput.RTMP_INPUT, {
      ...{ name: 'obs', roomName: ROOM, participantIdentity: 'obs' },
    });
    sender = pushRtmp(publishUrl(info), join(folder, 'obs.flv'));
    const live = await waitForIngress(sluice, info.ingressId, isPublishing);
    resourceId = live.state?.resourceId ?? '';
    before = await participantWith(sluice, ROOM, 'obs', 2);
  }, 90_000);

  afterAll(async () => {
    await sender?.kill();
    await sluice?.stop();
    await webhooks?.close();
    await redis?.stop();
    await rm(folder, { recursive: true, force: true });
  });

  it('goes on in another worker when its own is killed: the same participant, the sender never notices', async () => {
    const next = await sluice.addWorker();
    worker.child.kill('SIGKILL');
    await worker.ended();
    const away = await untilBack(before);
    expect(away).toBeLessThan(5000);
    worker = next;
    const now = await participantWith(sluice, ROOM, 'obs', 2);
    expect(now.sid).toBe(before.sid);
    expect(sender.running).toBe(true);
    await sleep(2000);
    const { tiles } = await recordParticipant(sluice, ROOM, 'obs', 5, TILE);
    expect(tiles[0]?.share).toBeGreaterThanOrEqual(0.97);
    expect(tiles[0]?.avOffset.p95).toBeLessThanOrEqual(80);
    before = now;
  }, 60_000);

  it('is handed over when its worker is told to go', async () => {
    await sluice.addWorker();
    const stopped = worker.stop();
    const away = await untilBack(before);
    expect(away).toBeLessThan(3000);
    expect(await stopped).toBe(0);
    const now = await participantWith(sluice, ROOM, 'obs', 2);
    expect(now.sid).toBe(before.sid);
    expect(sender.running).toBe(true);
  }, 60_000);

  it('was one session and one participant all the time', async () => {
    const now = await waitForIngress(sluice, info.ingressId, isPublishing);
    expect(now.state?.resourceId).toBe(resourceId);
    const names = webhooks.received
      .filter(
        ({ event }) =>
          event.ingressInfo?.ingressId === info.ingressId ||
          (event.participant?.identity === 'obs' && event.event.startsWith('participant_')),
      )
      .map(({ event }) => event.event)
      .sort();
    expect(names).toEqual(['ingress_started', 'participant_joined']);
  });
});
