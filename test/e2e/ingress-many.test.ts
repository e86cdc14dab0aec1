/** Twenty encoders at once, copied. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { IngressInput } from '@livekit/protocol';
import type { IngressInfo } from 'livekit-server-sdk';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeClip } from '../support/content/clip.ts';
import {
  COPYABLE_ENCODING,
  ingressClient,
  isInactive,
  isPublishing,
  publishUrl,
  pushRtmp,
  recordParticipant,
  waitForIngress,
} from '../support/ingress.ts';
import type { Sender } from '../support/ingress.ts';
import { Sluice } from '../support/sluice.ts';

const COUNT = 20;
const ROOM = 'many';
/** What copying costs is measured by bench/ingress-cpu.ts: here all are to get through. */
const FPS = 15;
const ENCODING = [...COPYABLE_ENCODING, '-b:v', '400k', '-b:a', '64k'];

describe(`${COUNT} RTMP publishers on copy`, () => {
  let folder: string;
  let sluice: Sluice;
  let ingresses: IngressInfo[];
  let senders: Sender[] = [];

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'sluice-many-'));
    await makeClip(join(folder, 'clip.flv'), {
      ...{ seconds: 40, color: 'green', width: 320, height: 180, fps: FPS, encode: ENCODING },
    });
    sluice = await Sluice.start({
      env: { SLUICE_WORKER_MAX_INGRESS_JOBS: String(COUNT), SLUICE_INGRESS_GRACE: '1' },
    });
    const client = ingressClient(sluice);
    ingresses = await Promise.all(
      Array.from({ length: COUNT }, (_, each) =>
        client.createIngress(IngressInput.RTMP_INPUT, {
          ...{ name: `${each}`, roomName: ROOM, participantIdentity: `encoder-${each}` },
        }),
      ),
    );
    senders = ingresses.map((each) => pushRtmp(publishUrl(each), join(folder, 'clip.flv')));
  }, 60_000);

  afterAll(async () => {
    for (const sender of senders) await sender.kill();
    await sluice?.stop();
    await rm(folder, { recursive: true, force: true });
  });

  it('are all in the room, and lose no picture', async () => {
    for (const { ingressId } of ingresses) await waitForIngress(sluice, ingressId, isPublishing, 30_000);
    await sleep(2000);
    const watched = [0, COUNT >> 1, COUNT - 1];
    const reports = await Promise.all(
      watched.map((each) =>
        recordParticipant(sluice, ROOM, `encoder-${each}`, 5, {
          ...{ name: `${each}`, color: 'green', from: 0.5, fps: FPS },
        }),
      ),
    );
    for (const { tiles } of reports) {
      expect(tiles[0]?.share).toBeGreaterThanOrEqual(0.97);
      expect(tiles[0]?.avOffset.p95).toBeLessThanOrEqual(80);
    }
    expect(senders.filter((each) => each.running)).toHaveLength(COUNT);
  }, 120_000);

  it('leave nothing behind when they go', async () => {
    for (const sender of senders) await sender.kill();
    for (const { ingressId } of ingresses) await waitForIngress(sluice, ingressId, isInactive);
    expect(await sluice.rooms.listParticipants(ROOM).catch(() => [])).toEqual([]);
  }, 60_000);
});
