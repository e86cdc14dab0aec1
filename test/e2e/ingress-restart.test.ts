/** What is pulled goes on for as long as its ingress exists: over restarts of the server, and of everything. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { IngressInput } from '@livekit/protocol';
import type { IngressInfo } from 'livekit-server-sdk';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeClip } from '../support/content/clip.ts';
import { ingressClient, isPublishing, participantWith, waitForIngress } from '../support/ingress.ts';
import { startRedis } from '../support/redis.ts';
import { Sluice } from '../support/sluice.ts';

const ROOM = 'restart';

describe('a looped file', () => {
  let folder: string;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'sluice-restart-'));
    await makeClip(join(folder, 'loop.mp4'), { seconds: 3 });
  });

  afterAll(async () => {
    await rm(folder, { recursive: true, force: true });
  });

  const pull = (sluice: Sluice): Promise<IngressInfo> =>
    ingressClient(sluice).createIngress(IngressInput.URL_INPUT, {
      ...{ name: 'loop', roomName: ROOM, participantIdentity: 'loop' },
      url: `file://${join(folder, 'loop.mp4')}#loop`,
    });

  it('is in the room again when the server has been restarted', async () => {
    const redis = await startRedis();
    const sluice = await Sluice.start({
      ...{ mode: 'split', redisUrl: redis.url, env: { SLUICE_INGRESS_FILE_ROOTS: folder } },
    });
    try {
      await sluice.addWorker();
      const { ingressId } = await pull(sluice);
      await participantWith(sluice, ROOM, 'loop', 2);
      expect(await sluice.main.stop()).toBe(0);
      await sluice.restartMain();
      await participantWith(sluice, ROOM, 'loop', 2, 30_000);
      await waitForIngress(sluice, ingressId, isPublishing);
    } finally {
      await sluice.stop();
      await redis.stop();
    }
  }, 90_000);

  it('is in the room again when everything has been restarted', async () => {
    const sluice = await Sluice.start({ env: { SLUICE_INGRESS_FILE_ROOTS: folder } });
    try {
      const { ingressId } = await pull(sluice);
      await participantWith(sluice, ROOM, 'loop', 2);
      expect(await sluice.main.stop()).toBe(0);
      await sluice.restartMain();
      await participantWith(sluice, ROOM, 'loop', 2, 30_000);
      await waitForIngress(sluice, ingressId, isPublishing);
    } finally {
      await sluice.stop();
    }
  }, 90_000);
});
