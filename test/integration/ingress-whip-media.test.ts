/** Real publishers of WHIP ingresses: Chromium, GStreamer and aiortc, into a real SFU. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { IngressState_Status as Status } from '@livekit/protocol';
import type { IngressInfo } from '@livekit/protocol';
import { observer } from 'mediasoup';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startTestPublisher } from '../../src/demo/publisher.ts';
import type { TestPublisherOptions } from '../../src/demo/publisher.ts';
import type { PublishOptions } from '../page/api.ts';
import { launchChromium } from '../support/chromium.ts';
import type { TestBrowser } from '../support/chromium.ts';
import { GRACE_MS, is, startIngressWhip } from '../support/ingress-whip.ts';
import type { WhipServer } from '../support/ingress-whip.ts';
import { EventLog, silentLogger, sleep, until } from '../support/sfu.ts';

const AIORTC = fileURLToPath(new URL('../support/whip-sender.py', import.meta.url));

/** Of publishers whose picture is not looked at. */
const SMALL = { width: 320, height: 180, fps: 15 } as const;

let server: WhipServer;
let browser: TestBrowser;

/** All that are open in mediasoup. */
const transports = new Set<unknown>();
observer.on('newworker', (worker) => {
  worker.observer.on('newrouter', (router) => {
    router.observer.on('newtransport', (transport) => {
      transports.add(transport);
      transport.observer.once('close', () => transports.delete(transport));
    });
  });
});

beforeAll(async () => {
  server = await startIngressWhip();
  browser = await launchChromium();
});
afterAll(async () => {
  await browser.close();
  await server.close();
});

async function chromium(options: PublishOptions): Promise<Page> {
  const page = await browser.newPage();
  await page.goto(`${server.url}/page`);
  await page.waitForFunction(() => 'sluice' in globalThis);
  await page.evaluate((given) => sluice.publish(given), options);
  return page;
}

const gstreamer = (
  ingress: IngressInfo,
  options: Partial<TestPublisherOptions> & { where?: 'path' | 'bearer' } = {},
) => {
  const { where = 'path', ...settings } = options;
  return startTestPublisher({
    whipUrl: where === 'path' ? `${server.url}/whip/${ingress.streamKey}` : `${server.url}/whip`,
    token: where === 'path' ? 'not-needed' : ingress.streamKey,
    color: 'red',
    logger: silentLogger,
    ...SMALL,
    ...settings,
  });
};

const participant = ({ roomName }: IngressInfo) => server.sfu.room(roomName)?.participants.get('obs');

const measured =
  (width: number) => (state: { video?: { width: number; framerate: number }; audio?: object }) =>
    state.video?.width === width && state.video.framerate > 0 && state.audio !== undefined;

describe('straight into the room', () => {
  test('Chromium, VP8 in three layers, the key as Bearer: what comes in is measured', async () => {
    const ingress = await server.create();
    const { ingressId, roomName, streamKey } = ingress;
    const page = await chromium({
      token: streamKey,
      codec: 'VP8',
      simulcast: true,
      width: 960,
      height: 540,
      marked: 'green',
      fps: 12,
    });
    const first = await server.until('media', ingressId, is(Status.ENDPOINT_PUBLISHING));
    expect(first.roomId).toBe(server.sfu.room(roomName)?.sid);
    expect(first.tracks.map(({ mimeType }) => mimeType).sort()).toEqual(['audio/opus', 'video/VP8']);
    const state = await server.until('the picture to be measured', ingressId, measured(960), 30_000);
    expect(state.error).toBe('video: copied (VP8 in 3 layers); audio: copied (Opus)');
    expect(state.video).toMatchObject({ mimeType: 'video/VP8', width: 960, height: 540 });
    const { layers } = await page.evaluate(() => sluice.sent());
    expect(layers.map(({ height }) => height)).toEqual([540, 270, 135]);
    // A browser that is short of time encodes less than is drawn: what it sends is what is to be measured.
    const encoded = async () => ({
      at: performance.now(),
      frames: (await page.evaluate(() => sluice.sent())).layers[0]!.encoded,
    });
    const differences: number[] = [];
    do {
      const before = await encoded();
      await sleep(3000);
      const after = await encoded();
      const fps = ((after.frames - before.frames) / (after.at - before.at)) * 1000;
      const { video } = await server.state(ingressId);
      differences.push(Math.abs((video?.framerate ?? 0) / fps - 1));
    } while (differences.at(-1)! >= 0.1 && differences.length < 10);
    expect(Math.min(...differences), `of frame rates: ${differences.join()}`).toBeLessThan(0.1);
    expect(state.video!.averageBitrate).toBeGreaterThan(100_000);
    expect(state.audio).toMatchObject({ mimeType: 'audio/opus', sampleRate: 48_000 });
    expect(state.audio!.averageBitrate).toBeGreaterThan(5000);
    expect(server.jobs, 'no worker is needed').toEqual([]);
    await page.evaluate(() => sluice.stop('publisher'));
    await server.until('the end', ingressId, is(Status.ENDPOINT_INACTIVE), 2000);
    expect(participant(ingress)).toBeUndefined();
    await page.close();
  });
});

describe.concurrent('straight into the room, beside each other', () => {
  test('GStreamer, H.264, the key in the path: size, frame rate and bitrate are true', async () => {
    const ingress = await server.create();
    const publisher = await gstreamer(ingress, { width: 640, height: 360, fps: 30, videoBitrate: 800 });
    try {
      await server.until('the measures', ingress.ingressId, measured(640), 30_000);
      // The first look counts over its own two seconds, in which the encoder begins.
      await sleep(5500);
      const { video, audio, error, status } = await server.state(ingress.ingressId);
      expect([status, error]).toEqual([
        Status.ENDPOINT_PUBLISHING,
        expect.stringContaining('video: copied (H.264)'),
      ]);
      expect(video).toMatchObject({ mimeType: 'video/H264', width: 640, height: 360 });
      expect(video!.framerate).toBeGreaterThan(27);
      expect(video!.framerate).toBeLessThan(33);
      const stats = await [...participant(ingress)!.tracks.values()]
        .find(({ kind }) => kind === 'video')!
        .producer.getStats();
      const now = stats.reduce((sum, { bitrate }) => sum + bitrate, 0);
      expect(video!.averageBitrate / now).toBeGreaterThan(0.6);
      expect(video!.averageBitrate / now).toBeLessThan(1.6);
      expect(audio).toMatchObject({ mimeType: 'audio/opus', sampleRate: 48_000 });
      await expect(gstreamer(ingress, { where: 'bearer' }), 'a second one').rejects.toThrow('409');
      expect((await server.state(ingress.ingressId)).status).toBe(Status.ENDPOINT_PUBLISHING);
    } finally {
      await publisher.stop();
    }
    await server.until('the end', ingress.ingressId, is(Status.ENDPOINT_INACTIVE), 2000);
  });

  test('aiortc, with nothing but the key in the path', async () => {
    const ingress = await server.create();
    const child = spawn('/usr/bin/python3', [AIORTC, `${server.url}/whip/${ingress.streamKey}`], {
      stdio: ['pipe', 'inherit', 'inherit'],
    });
    const exited = once(child, 'exit');
    try {
      const state = await server.until('the measures', ingress.ingressId, measured(640), 30_000);
      expect(state.video).toMatchObject({ width: 640, height: 480 });
      expect(state.audio).toMatchObject({ mimeType: 'audio/opus', channels: 2 });
    } finally {
      child.stdin.end();
    }
    expect(await exited).toEqual([0, null]);
    await server.until('the end', ingress.ingressId, is(Status.ENDPOINT_INACTIVE), 2000);
  });
});

describe.concurrent('a publisher that is lost', () => {
  test('and returns within the grace goes on in the same participant and session', async () => {
    const ingress = await server.create();
    const { ingressId } = ingress;
    const events = new EventLog(server.sfu);
    const first = await gstreamer(ingress);
    await server.until('media', ingressId, is(Status.ENDPOINT_PUBLISHING));
    const before = await server.state(ingressId);
    const sid = participant(ingress)?.sid;
    await first.kill();
    const waiting = await server.until('the loss', ingressId, is(Status.ENDPOINT_BUFFERING));
    expect(waiting.error).toContain('may return within 3 s');
    expect([participant(ingress)?.sid, participant(ingress)?.tracks.size]).toEqual([sid, 0]);
    // Not long, as it takes long to start on a busy machine.
    await sleep(500);
    const second = await gstreamer(ingress, { where: 'bearer' });
    try {
      const after = await server.until('media again', ingressId, is(Status.ENDPOINT_PUBLISHING));
      expect([participant(ingress)?.sid, after.resourceId]).toEqual([sid, before.resourceId]);
      expect(after.startedAt).toBe(before.startedAt);
      expect(participant(ingress)?.tracks.size).toBe(2);
      await sleep(GRACE_MS);
      expect((await server.state(ingressId)).status, 'the grace is over').toBe(Status.ENDPOINT_PUBLISHING);
    } finally {
      await second.stop();
    }
    await server.until('the end', ingressId, is(Status.ENDPOINT_INACTIVE), 2000);
    const comings = events.events.flatMap((event) =>
      'participant' in event && event.participant.sid === sid ? [event.type] : [],
    );
    expect(comings).toEqual(['participant_joined', 'participant_left']);
  });

  test('and whose return comes before the loss is noticed takes over from the dead connection', async () => {
    const patient = await startIngressWhip(30_000);
    try {
      const ingress = await patient.create();
      const room = () => patient.sfu.room(ingress.roomName);
      const whipUrl = `${patient.url}/whip/${ingress.streamKey}`;
      const start = () =>
        startTestPublisher({ whipUrl, token: 'not-needed', color: 'blue', logger: silentLogger, ...SMALL });
      const first = await start();
      const before = await patient.until('media', ingress.ingressId, is(Status.ENDPOINT_PUBLISHING));
      const sid = room()?.participants.get('obs')?.sid;
      await first.kill();
      await expect(start(), 'at once').rejects.toThrow('409');
      await sleep(4500);
      const second = await start();
      const after = await patient.until('media', ingress.ingressId, is(Status.ENDPOINT_PUBLISHING));
      expect([room()?.participants.get('obs')?.sid, after.resourceId]).toEqual([sid, before.resourceId]);
      expect(room()?.participants.get('obs')?.tracks.size, 'the old tracks are gone').toBe(2);
      await second.stop();
      await patient.until('the end', ingress.ingressId, is(Status.ENDPOINT_INACTIVE), 2000);
    } finally {
      await patient.close();
    }
  });

  test('for good: when the grace is over the participant is gone', async () => {
    const ingress = await server.create();
    const publisher = await gstreamer(ingress);
    await server.until('media', ingress.ingressId, is(Status.ENDPOINT_PUBLISHING));
    await publisher.kill();
    const state = await server.until('the end', ingress.ingressId, is(Status.ENDPOINT_INACTIVE));
    expect(state.error).toBe("the publisher's connection was lost, and it did not return within 3 s");
    expect(participant(ingress)).toBeUndefined();
    expect(await server.session(ingress.ingressId)).toBeUndefined();
    const again = await gstreamer(ingress);
    const next = await server.until('a new session', ingress.ingressId, is(Status.ENDPOINT_PUBLISHING));
    expect(next.resourceId).not.toBe(state.resourceId);
    await server.store.delete(ingress.ingressId);
    await until('the participant to go', () => participant(ingress) === undefined);
    await again.stop();
  });

  test('with transcoding a job is queued once, and the media waits in its own room', async () => {
    const ingress = await server.create({ enableTranscoding: true });
    const { ingressId } = ingress;
    const first = await gstreamer(ingress);
    const session = await server.session(ingressId);
    expect(server.jobs).toEqual([{ ingressId, attempt: session?.attempt }]);
    const room = server.sfu.internalRoom(`ingress/${session?.resourceId}`);
    expect(room?.participants.get('obs')?.tracks.size).toBe(2);
    await first.kill();
    await until('the loss', () => room?.participants.get('obs')?.tracks.size === 0);
    const second = await gstreamer(ingress);
    expect(room?.participants.get('obs')?.tracks.size).toBe(2);
    expect(server.jobs).toHaveLength(1);
    await server.store.raiseAttempt(ingressId, session!.attempt);
    await second.stop();
    await server.until('the end, whatever the attempt', ingressId, is(Status.ENDPOINT_INACTIVE));
    expect(room?.closed).toBe(true);
  });
});

test('nothing is left, and no key was logged', async () => {
  for (const room of server.sfu.rooms()) server.sfu.deleteRoom(room.name);
  await until('every transport to close', () => transports.size === 0);
  for (const { streamKey } of await server.store.list()) expect(server.logged()).not.toContain(streamKey);
  expect(server.logged()).toContain('ingress session ended');
});
