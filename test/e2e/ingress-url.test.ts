/** What is pulled: files, HLS, cameras and SRT come into a room, and come back when they broke off. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { IngressInput, IngressState_Status } from '@livekit/protocol';
import type { IngressClient, IngressInfo } from 'livekit-server-sdk';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeClip } from '../support/content/clip.ts';
import {
  COPYABLE_ENCODING,
  OBS_ENCODING,
  Sender,
  ingressClient,
  isPublishing,
  participantWith,
  recordParticipant,
  waitForIngress,
} from '../support/ingress.ts';
import { freePort } from '../support/ports.ts';
import { startRtspCamera } from '../support/rtsp-camera.ts';
import { Sluice } from '../support/sluice.ts';

const ROOM = 'pulled';

describe('URL pull', () => {
  let folder: string;
  let sluice: Sluice;
  let client: IngressClient;
  const senders: Sender[] = [];

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'sluice-pull-'));
    const clip = { width: 320, height: 180, fps: 30 };
    await Promise.all([
      makeClip(join(folder, 'film.mp4'), { ...clip, seconds: 12, color: 'yellow', encode: OBS_ENCODING }),
      makeClip(join(folder, 'live.ts'), { ...clip, seconds: 25, color: 'green', encode: COPYABLE_ENCODING }),
    ]);
    sluice = await Sluice.start({
      env: { SLUICE_INGRESS_ALLOW_NETWORKS: '127.0.0.0/8', SLUICE_INGRESS_FILE_ROOTS: folder },
    });
    client = ingressClient(sluice);
  }, 60_000);

  afterAll(async () => {
    for (const sender of senders) await sender.kill();
    await sluice?.stop();
    await rm(folder, { recursive: true, force: true });
  });

  const pull = (identity: string, url: string): Promise<IngressInfo> =>
    client.createIngress(IngressInput.URL_INPUT, {
      ...{ name: identity, roomName: ROOM, participantIdentity: identity, url },
    });

  it('plays a file once at its own pace, and is COMPLETE', async () => {
    const info = await pull('film', `file://${join(folder, 'film.mp4')}`);
    await waitForIngress(sluice, info.ingressId, isPublishing);
    const from = Date.now();
    await participantWith(sluice, ROOM, 'film', 2);
    const { tiles } = await recordParticipant(sluice, ROOM, 'film', 5, {
      ...{ name: 'film', color: 'yellow', from: 0.5 },
    });
    expect(tiles[0]?.share).toBeGreaterThanOrEqual(0.97);
    expect(tiles[0]?.avOffset.p95).toBeLessThanOrEqual(80);
    const { state } = await waitForIngress(
      sluice,
      info.ingressId,
      (each) => each.state?.status === IngressState_Status.ENDPOINT_COMPLETE,
    );
    expect((Date.now() - from) / 1000).toBeGreaterThan(10);
    expect((Date.now() - from) / 1000).toBeLessThan(16);
    expect(state?.endedAt).toBeGreaterThan(0n);
    await expect(sluice.rooms.getParticipant(ROOM, 'film')).rejects.toThrow();
  }, 60_000);

  it('pulls a camera again that was rebooted, in the same participant', async () => {
    const camera = await startRtspCamera({ user: 'admin', password: 'camera-pass-1' });
    const info = await pull('camera', camera.url);
    try {
      expect(info.url).not.toContain('camera-pass-1');
      await waitForIngress(sluice, info.ingressId, isPublishing);
      const before = await participantWith(sluice, ROOM, 'camera', 1);
      await camera.stop();
      await waitForIngress(sluice, info.ingressId, (each) => !isPublishing(each));
      await camera.restart();
      const now = await waitForIngress(sluice, info.ingressId, isPublishing);
      const after = await participantWith(sluice, ROOM, 'camera', 1);
      expect(after.sid).toBe(before.sid);
      expect(now.state?.video?.width).toBeGreaterThan(0);
    } finally {
      await camera.stop();
      await client.deleteIngress(info.ingressId);
    }
    expect(sluice.tail(1_000_000)).not.toContain('camera-pass-1');
  }, 60_000);

  it('listens for an SRT caller with a passphrase', async () => {
    const port = await freePort();
    const passphrase = 'a-long-passphrase';
    const info = await pull('srt', `srt://127.0.0.1:${port}?mode=listener&passphrase=${passphrase}`);
    expect(info.url).not.toContain(passphrase);
    await sleep(1500);
    senders.push(
      new Sender('ffmpeg', [
        ...['-v', 'error', '-nostdin', '-re', '-i', join(folder, 'live.ts'), '-c', 'copy', '-f', 'mpegts'],
        `srt://127.0.0.1:${port}?passphrase=${passphrase}`,
      ]),
    );
    await waitForIngress(sluice, info.ingressId, isPublishing);
    await participantWith(sluice, ROOM, 'srt', 2);
    const { tiles } = await recordParticipant(sluice, ROOM, 'srt', 5, {
      ...{ name: 'srt', color: 'green', from: 0.5 },
    });
    expect(tiles[0]?.share).toBeGreaterThanOrEqual(0.97);
    expect(tiles[0]?.avOffset.p95).toBeLessThanOrEqual(80);
    await client.deleteIngress(info.ingressId);
  }, 60_000);

  it('refuses what may not be reached, and says which setting would allow it', async () => {
    await expect(pull('metadata', 'http://169.254.169.254/latest/meta-data')).rejects.toThrow(
      /ingress\.allow_networks/,
    );
    await expect(pull('secrets', 'file:///etc/passwd')).rejects.toThrow(/ingress\.file_roots/);
    await expect(pull('gopher', 'gopher://127.0.0.1/')).rejects.toThrow(/gopher/);
  });
});
