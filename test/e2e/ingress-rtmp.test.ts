/** OBS pushes into a room: what the room gets, and what happens when the sender dies, comes back or is refused. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { IngressInput, ParticipantInfo_Kind } from '@livekit/protocol';
import type { IngressClient, IngressInfo } from 'livekit-server-sdk';
import type { ParticipantInfo } from '@livekit/protocol';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ContentReport } from '../../src/demo/content/analyse.ts';
import { makeClip } from '../support/content/clip.ts';
import {
  COPYABLE_ENCODING,
  OBS_ENCODING,
  ingressClient,
  isInactive,
  isPublishing,
  participantGone,
  participantWith,
  publishUrl,
  pushRtmp,
  recordParticipant,
  waitForIngress,
} from '../support/ingress.ts';
import type { Sender } from '../support/ingress.ts';
import { API_KEY, API_SECRET, Sluice } from '../support/sluice.ts';
import { startWebhookServer } from '../support/webhook-receiver.ts';
import type { WebhookServer } from '../support/webhook-receiver.ts';

const ROOM = 'studio';
const OBS_TILE = { name: 'obs', color: 'red', from: 0.5 } as const;
const PLAIN = { width: 320, height: 180 };

describe('RTMP push', () => {
  let folder: string;
  let sluice: Sluice;
  let client: IngressClient;
  let webhooks: WebhookServer;
  const senders: Sender[] = [];
  const push = (info: IngressInfo, clip: string): Sender => {
    const sender = pushRtmp(publishUrl(info), join(folder, clip));
    senders.push(sender);
    return sender;
  };

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'sluice-ingress-'));
    await Promise.all([
      makeClip(join(folder, 'obs.flv'), {
        ...{ seconds: 24, color: 'red', width: 960, height: 540, fps: 30, encode: OBS_ENCODING },
      }),
      // What happens to senders does not depend on their size.
      makeClip(join(folder, 'small.flv'), {
        ...{ seconds: 24, color: 'red', width: 640, height: 360, fps: 30, encode: OBS_ENCODING },
      }),
      makeClip(join(folder, 'plain.flv'), {
        ...{ seconds: 16, color: 'green', ...PLAIN, fps: 30, encode: COPYABLE_ENCODING },
      }),
    ]);
    webhooks = await startWebhookServer(API_KEY, API_SECRET);
    sluice = await Sluice.start({ env: { SLUICE_WEBHOOK_URLS: webhooks.url, SLUICE_INGRESS_GRACE: '5' } });
    client = ingressClient(sluice);
  }, 60_000);

  afterAll(async () => {
    for (const sender of senders) await sender.kill();
    await sluice?.stop();
    await webhooks?.close();
    await rm(folder, { recursive: true, force: true });
  });

  const create = (identity: string) =>
    client.createIngress(IngressInput.RTMP_INPUT, {
      name: `${identity}'s encoder`,
      roomName: ROOM,
      participantIdentity: identity,
      participantName: `The ${identity}`,
      participantMetadata: '{"from":"encoder"}',
    });

  let copying: Promise<{ live: IngressInfo; recording: ContentReport }> | undefined;
  /** Another push, recorded while tests of the first wait. */
  const copied = () => (copying ??= copy());

  async function copy(): Promise<{ live: IngressInfo; recording: ContentReport }> {
    const info = await create('plain');
    push(info, 'plain.flv');
    const live = await waitForIngress(sluice, info.ingressId, isPublishing);
    await participantWith(sluice, ROOM, 'plain', 2);
    await sleep(2000);
    const tile = { name: 'plain', color: 'green', from: 0.5 } as const;
    const recording = await recordParticipant(sluice, ROOM, 'plain', 5, tile);
    await client.deleteIngress(info.ingressId);
    return { live, recording };
  }

  describe("with OBS's default settings", () => {
    let info: IngressInfo;
    let live: IngressInfo;
    let participant: ParticipantInfo;
    let recording: ContentReport;
    let sender: Sender;

    beforeAll(async () => {
      info = await create('obs');
      sender = push(info, 'obs.flv');
      await waitForIngress(sluice, info.ingressId, isPublishing);
      participant = await participantWith(sluice, ROOM, 'obs', 2);
      // What came while the pipeline started is sent at once; a recorder that is there by then sees it faster.
      await sleep(2000);
      recording = await recordParticipant(sluice, ROOM, 'obs', 10, OBS_TILE);
      live = await waitForIngress(sluice, info.ingressId, isPublishing);
    }, 60_000);

    afterAll(async () => {
      await client.deleteIngress(info.ingressId);
    });

    it('is a participant of kind INGRESS, as it was asked for', () => {
      expect(participant.kind).toBe(ParticipantInfo_Kind.INGRESS);
      expect(participant.name).toBe('The obs');
      expect(participant.metadata).toBe('{"from":"encoder"}');
    });

    it('is seen and heard in the room: every frame in order, in sync', () => {
      const [tile] = recording.tiles;
      expect(tile?.share).toBeGreaterThanOrEqual(0.97);
      expect(tile?.inOrder).toBe(true);
      expect(tile?.color.closest).toBe('red');
      expect(tile?.beepShare).toBeGreaterThanOrEqual(0.9);
      expect(tile?.avOffset.p95).toBeLessThanOrEqual(80);
      expect(recording.video?.width).toBe(960);
      // At its beginning it may still be shown what came before it.
      const times = tile!.frames.map(({ time }) => time).filter((time) => time > recording.duration - 3);
      const fps = (times.length - 1) / (times.at(-1)! - times[0]!);
      expect(fps).toBeGreaterThan(29);
      expect(fps).toBeLessThan(31);
      expect(recording.decodeErrors).toEqual([]);
    });

    it('is published in three layers', () => {
      const video = participant.tracks.find(({ width }) => width > 0);
      const sizes = video?.codecs[0]?.layers.map(({ width, height }) => `${width}x${height}`);
      expect(sizes?.sort()).toEqual(['240x135', '480x270', '960x540']);
    });

    it('measures what comes in, and says what is done with it and why', () => {
      const { state } = live;
      expect(state?.video).toMatchObject({ mimeType: 'video/h264', width: 960, height: 540 });
      expect(state?.video?.framerate).toBeGreaterThan(28);
      expect(state?.video?.framerate).toBeLessThan(32);
      expect(state?.video?.averageBitrate).toBeGreaterThan(50_000);
      expect(state?.audio).toMatchObject({ mimeType: 'audio/aac', channels: 2, sampleRate: 48_000 });
      expect(state?.error).toMatch(/B-frames/);
      expect(state?.roomId).toMatch(/^RM_/);
      expect(state?.tracks).toHaveLength(2);
    });

    it('refuses a second publisher on the key, and the first never notices', async () => {
      const second = push(info, 'plain.flv');
      expect(await second.ended()).not.toBe(0);
      expect(second.said).not.toBe('');
      const [now] = await client.listIngress({ ingressId: info.ingressId });
      expect(now?.state?.resourceId).toBe(live.state?.resourceId);
      expect(sender.running).toBe(true);
    });
  });

  describe('whose sender or network fails', () => {
    const FRAIL = 'frail';
    let info: IngressInfo;
    let live: IngressInfo;
    let participant: ParticipantInfo;
    let sender: Sender;

    beforeAll(async () => {
      info = await create(FRAIL);
      sender = push(info, 'small.flv');
      live = await waitForIngress(sluice, info.ingressId, isPublishing);
      participant = await participantWith(sluice, ROOM, FRAIL, 2);
    }, 60_000);

    it('goes on in the same participant when the network stalls for five seconds', async () => {
      copied().catch(() => undefined);
      sender.child.kill('SIGSTOP');
      await sleep(5000);
      sender.child.kill('SIGCONT');
      // FFmpeg sends what it is behind with at once.
      await sleep(2000);
      const { tiles } = await recordParticipant(sluice, ROOM, FRAIL, 4, OBS_TILE);
      expect(tiles[0]?.share).toBeGreaterThanOrEqual(0.97);
      const now = await sluice.rooms.getParticipant(ROOM, FRAIL);
      expect(now.sid).toBe(participant.sid);
      expect(now.tracks.map(({ sid }) => sid)).toEqual(participant.tracks.map(({ sid }) => sid));
    }, 60_000);

    it('goes on in the same participant when the sender dies and comes back', async () => {
      await sender.kill();
      await sleep(2000);
      sender = push(info, 'small.flv');
      await sleep(1500);
      const again = await recordParticipant(sluice, ROOM, FRAIL, 5, OBS_TILE);
      const now = await sluice.rooms.getParticipant(ROOM, FRAIL);
      expect(now.sid).toBe(participant.sid);
      const [state] = await client.listIngress({ ingressId: info.ingressId });
      expect(state?.state?.resourceId).toBe(live.state?.resourceId);
      expect(again.tiles[0]?.share).toBeGreaterThanOrEqual(0.97);
      expect(again.tiles[0]?.avOffset.p95).toBeLessThanOrEqual(80);
    }, 60_000);

    it('leaves the room when it does not come back, and says so', async () => {
      await sender.kill();
      await waitForIngress(sluice, info.ingressId, isInactive);
      await expect(sluice.rooms.getParticipant(ROOM, FRAIL)).rejects.toThrow();
      const events = () =>
        webhooks.received.flatMap(({ event }) =>
          event.ingressInfo?.ingressId === info.ingressId ? event.event : [],
        );
      // Sent when the ingress says so already.
      await expect.poll(events, { timeout: 5000 }).toEqual(['ingress_started', 'ingress_ended']);
      const left = () =>
        webhooks.received.filter(
          ({ event }) => event.event === 'participant_left' && event.participant?.identity === FRAIL,
        );
      // Of another sender than the ingress's own events.
      await expect.poll(left, { timeout: 5000 }).toHaveLength(1);
    }, 40_000);

    it('can be used again', async () => {
      sender = push(info, 'small.flv');
      const now = await waitForIngress(sluice, info.ingressId, isPublishing);
      expect(now.state?.resourceId).not.toBe(live.state?.resourceId);
      await client.deleteIngress(info.ingressId);
      expect(await sender.ended()).not.toBe(0);
      await participantGone(sluice, ROOM, FRAIL);
    }, 40_000);
  });

  it('copies a picture a browser can show', async () => {
    const { live, recording } = await copied();
    const { tiles, video } = recording;
    expect(live.state?.error).toMatch(/video: copied/);
    expect(tiles[0]?.share).toBeGreaterThanOrEqual(0.97);
    expect(tiles[0]?.avOffset.p95).toBeLessThanOrEqual(80);
    expect(video).toMatchObject(PLAIN);
  }, 60_000);

  it('refuses a key it does not know, and one that is disabled, before any media', async () => {
    const info = await create('nobody');
    const wrong = pushRtmp(`${info.url}/not-a-key`, join(folder, 'plain.flv'));
    senders.push(wrong);
    expect(await wrong.ended()).not.toBe(0);
    await client.updateIngress(info.ingressId, { name: 'off', enabled: false });
    const disabled = push(info, 'plain.flv');
    expect(await disabled.ended()).not.toBe(0);
    await expect(sluice.rooms.getParticipant(ROOM, 'nobody')).rejects.toThrow();
    expect(sluice.tail(1_000_000)).not.toContain(info.streamKey);
  }, 40_000);
});
