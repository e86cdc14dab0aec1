/** A WHIP encoder with a stream key: straight into the room, and through the pipeline; watched by a browser. */
import { IngressInput, ParticipantInfo_Kind } from '@livekit/protocol';
import type { IngressClient, IngressInfo } from 'livekit-server-sdk';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startTestPublisher } from '../../src/demo/publisher.ts';
import type { TestPublisher } from '../../src/demo/publisher.ts';
import { quiet } from '../support/callers.ts';
import { launchChromium } from '../support/chromium.ts';
import type { TestBrowser } from '../support/chromium.ts';
import {
  ingressClient,
  isPublishing,
  participantGone,
  participantWith,
  recordParticipant,
  waitForIngress,
} from '../support/ingress.ts';
import { Sluice } from '../support/sluice.ts';
import { openTestPage } from '../support/test-page.ts';

const ROOM = 'whip';
const FPS = 15;
const TILE = { name: 'whip', color: 'red', from: 0.5, fps: FPS } as const;

describe('WHIP push', () => {
  let sluice: Sluice;
  let client: IngressClient;
  const publishers: TestPublisher[] = [];
  const browsers: TestBrowser[] = [];

  beforeAll(async () => {
    sluice = await Sluice.start({ env: { SLUICE_INGRESS_GRACE: '3' } });
    client = ingressClient(sluice);
  });

  afterAll(async () => {
    for (const publisher of publishers) await publisher.stop();
    for (const browser of browsers) await browser.close();
    await sluice?.stop();
  });

  const create = (identity: string, enableTranscoding: boolean): Promise<IngressInfo> =>
    client.createIngress(IngressInput.WHIP_INPUT, {
      ...{ name: identity, roomName: ROOM, participantIdentity: identity, enableTranscoding },
    });

  const send = async ({ url, streamKey }: IngressInfo, height: number): Promise<TestPublisher> => {
    const width = (height * 16) / 9;
    const publisher = await startTestPublisher({
      ...{ whipUrl: url, token: streamKey, logger: quiet, color: 'red', width, height, fps: FPS },
    });
    publishers.push(publisher);
    return publisher;
  };

  it('goes into the room as it is, and is gone when it says goodbye', async () => {
    const info = await create('direct', false);
    const publisher = await send(info, 180);
    const live = await waitForIngress(sluice, info.ingressId, isPublishing);
    expect(live.state?.error).toMatch(/video: copied/);
    const participant = await participantWith(sluice, ROOM, 'direct', 2);
    expect(participant.kind).toBe(ParticipantInfo_Kind.INGRESS);
    const { tiles } = await recordParticipant(sluice, ROOM, 'direct', 4, TILE);
    expect(tiles[0]?.share).toBeGreaterThanOrEqual(0.97);
    expect(tiles[0]?.avOffset.p95).toBeLessThanOrEqual(80);
    await publisher.stop();
    await participantGone(sluice, ROOM, 'direct');
    await client.deleteIngress(info.ingressId);
  });

  describe('with transcoding', () => {
    let info: IngressInfo;

    beforeAll(async () => {
      info = await create('encoded', true);
      await send(info, 360);
      await waitForIngress(sluice, info.ingressId, isPublishing);
    }, 60_000);

    it('is decoded and encoded into layers, frame by frame and in sync', async () => {
      const { tracks } = await participantWith(sluice, ROOM, 'encoded', 2);
      // Its size is not known when it is published: as many layers as there could be.
      const sizes = tracks.flatMap(({ codecs }) => codecs[0]?.layers ?? []).map(({ height }) => height);
      expect(sizes.sort((a, b) => a - b)).toEqual([180, 360, 720]);
      const { tiles } = await recordParticipant(sluice, ROOM, 'encoded', 5, TILE);
      expect(tiles[0]?.share).toBeGreaterThanOrEqual(0.97);
      expect(tiles[0]?.avOffset.p95).toBeLessThanOrEqual(80);
    }, 60_000);

    it('shows only the participant it was asked for', async () => {
      const rooms = await sluice.rooms.listRooms();
      expect(rooms.map(({ name }) => name)).toEqual([ROOM]);
      const participants = await sluice.rooms.listParticipants(ROOM);
      expect(participants.map(({ identity }) => identity)).toEqual(['encoded']);
    });

    it('is seen and heard by a browser that joins late', async () => {
      const browser = await launchChromium();
      browsers.push(browser);
      const page = await openTestPage(await browser.newPage(), sluice.url);
      await page.setViewportSize({ width: 320, height: 180 });
      const token = await sluice.token('viewer', { room: ROOM, canSubscribe: true });
      await page.evaluate((options) => globalThis.sluice.watch(options), { token, slots: 1 });
      await expect
        .poll(
          async () => {
            const [played] = await page.evaluate(() => globalThis.sluice.played());
            return (played?.frames ?? 0) > 2 * FPS && (played?.energy ?? 0) > 0 && (played?.width ?? 0) > 0;
          },
          { timeout: 15_000 },
        )
        .toBe(true);
    }, 60_000);
  });
});
