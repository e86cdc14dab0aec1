/** Real Chromium publishes over WHIP, is recorded and broadcast, and plays the room and the broadcast. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  EgressStatus,
  EncodedFileOutput,
  EncodedFileType,
  EncodingOptions,
  SegmentedFileOutput,
} from 'livekit-server-sdk';
import type { EgressInfo } from 'livekit-server-sdk';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { TestPublisher } from '../../src/demo/publisher.ts';
import type { Played, PublishOptions, Sent } from '../page/api.ts';
import { gridRegion, publish, trackIds } from '../support/callers.ts';
import { launchChromium } from '../support/chromium.ts';
import type { TestBrowser } from '../support/chromium.ts';
import { analyse } from '../../src/demo/content/analyse.ts';
import type { ContentReport } from '../../src/demo/content/analyse.ts';
import { hlsPlayback, playHls } from '../support/hls-player.ts';
import type { HlsPlayback } from '../support/hls-player.ts';
import { Sluice } from '../support/sluice.ts';
import { openTestPage } from '../support/test-page.ts';

const ROOM = 'browsers';
/** How long the four are recorded with nothing else going on. */
const SECONDS = 6;
/** The smallest size in which Chromium still sends three layers, and the canvas that its top layer fits. */
const TOP = { width: 960, height: 540 };
const CANVAS = TOP;
/** Of a picture among four. */
const QUARTER = { width: 480, height: 270 };
const PEOPLE = [
  { name: 'simulcast', color: 'red' },
  { name: 'h264', color: 'green' },
  { name: 'blue', color: 'blue' },
  { name: 'yellow', color: 'yellow' },
] as const;
const BROWSERS = [0, 1];
const FPS = 30;

describe('a room of two browsers and two others', () => {
  let sluice: Sluice;
  /** One a publisher: a browser gives the pages it does not show less of the processor. */
  let browsers: TestBrowser[] = [];
  let folder: string;
  let pages: Page[] = [];
  const others: TestPublisher[] = [];
  let ended: EgressInfo;
  /** When StartEgress was called, and how long ACTIVE took; ms. */
  let askedAtMs = 0;
  let active = 0;
  let recording: ContentReport;
  let layers: (number | null)[];
  let layerAlone: number | null | undefined;
  let layerOfFour: number | null | undefined;
  /** Of the browsers, at both ends of the recorded stretch. */
  const before: Sent[] = [];
  const after: Sent[] = [];
  let watched: [Played[], Played[]];
  let broadcast: [HlsPlayback, HlsPlayback];
  let screenshot: ContentReport;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'sluice-browser-'));
    sluice = await Sluice.start();
    browsers = [await launchChromium(), await launchChromium()];
    const simulcast = await publishFromPage(0, 'simulcast', {
      marked: 'red',
      codec: 'VP8',
      simulcast: true,
      ...TOP,
    });
    const { video = '' } = await trackIds(sluice, ROOM, 'simulcast');

    const egressId = await startEgress();
    await until('the top layer for one tile', () => layersOf(video).at(-1) === 2);
    await sleep(1000);
    layerAlone = layersOf(video).at(-1);

    const h264 = await publishFromPage(1, 'h264', { marked: 'green', codec: 'H264', ...QUARTER });
    for (const color of ['blue', 'yellow'] as const)
      others.push(await publish(sluice, ROOM, color, { color }));
    pages = [simulcast, h264];
    await until('the middle layer for a quarter', () => layersOf(video).at(-1) === 1);
    layerOfFour = layersOf(video).at(-1);
    // Nobody receives it any more, and it costs the browser more than all the rest.
    await simulcast.evaluate(() => globalThis.sluice.endTopLayer());
    await until('all of them in the picture', () => connected() === 2 * PEOPLE.length);
    // Until the SFU says when things were captured, their arrival counts, and busy browsers send sound late.
    await sleep(3000);

    const [{ startedAt } = { startedAt: 0n }] = await sluice.egress.listEgress({ egressId });
    const recorded = () => Date.now() / 1000 - Number(startedAt) / 1e9;
    // What is drawn on the way there is in the picture a little later.
    const from = recorded() - 1;
    before.push(...(await sent()));
    await sleep(SECONDS * 1000);
    after.push(...(await sent()));
    await sleep(1000);
    const to = recorded();

    watched = await watch();
    broadcast = await playBroadcast(egressId);
    await sluice.egress.stopEgress(egressId);
    ended = await sluice.waitForEgress(egressId, ({ status }) => status >= EgressStatus.EGRESS_COMPLETE);
    layers = layersOf(video);

    const file = ended.fileResults[0];
    if (!file) throw new Error(`no file: ${ended.toJsonString()}\n${sluice.tail()}`);
    const tiles = PEOPLE.map((each, index) => ({
      ...each,
      region: gridRegion(index, 4, CANVAS),
    }));
    recording = await analyse(file.location, { tiles: tiles.map((tile) => ({ ...tile, from, to })) });
    screenshot = await analyse(join(folder, 'broadcast.png'), {
      tiles: tiles.map((tile) => ({ ...tile, to: 1 })),
    });
  }, 150_000);

  afterAll(async () => {
    for (const browser of browsers) await browser.close();
    for (const other of others) await other.stop();
    await sluice?.stop();
    await rm(folder, { recursive: true, force: true });
  });

  async function publishFromPage(
    index: number,
    identity: string,
    options: Omit<PublishOptions, 'token'>,
  ): Promise<Page> {
    const page = await openTestPage(await browsers[index]!.newPage(identity), sluice.url);
    const token = await sluice.token(identity, { room: ROOM, canPublish: true });
    await page.evaluate((given) => globalThis.sluice.publish(given), { token, ...options });
    await until(`${identity} to publish`, async () => {
      const tracks = await trackIds(sluice, ROOM, identity).catch(() => undefined);
      return tracks?.audio !== undefined && tracks.video !== undefined;
    });
    return page;
  }

  async function startEgress(): Promise<string> {
    askedAtMs = Date.now();
    const asked = performance.now();
    const { egressId } = await sluice.egress.startRoomCompositeEgress(
      ROOM,
      {
        file: new EncodedFileOutput({ filepath: 'browser/call', fileType: EncodedFileType.MP4 }),
        segments: new SegmentedFileOutput({
          filenamePrefix: 'browser/hls/call',
          playlistName: 'call.m3u8',
          segmentDuration: 2,
        }),
      },
      { layout: 'grid', encodingOptions: new EncodingOptions({ ...CANVAS, videoBitrate: 2000 }) },
    );
    await sluice.waitForEgress(egressId, ({ status }) => status === EgressStatus.EGRESS_ACTIVE);
    active = performance.now() - asked;
    return egressId;
  }

  /** Simulcast layers of a track that the egress has received, in order, as the log has them. */
  function layersOf(trackId: string): (number | null)[] {
    return lines('layer received')
      .filter((line) => line.trackId === trackId)
      .map(({ spatialLayer }) => spatialLayer ?? null);
  }

  const connected = () => lines('track connected').length;

  function lines(msg: string): { trackId?: string; spatialLayer?: number | null }[] {
    return sluice.main.output
      .split('\n')
      .filter((line) => line.includes(`"msg":"${msg}"`))
      .map((line) => JSON.parse(line) as { trackId?: string; spatialLayer?: number | null });
  }

  const sent = () => Promise.all(pages.map((page) => page.evaluate(() => globalThis.sluice.sent())));

  /** What a WHEP viewer has played, some seconds apart. */
  async function watch(): Promise<[Played[], Played[]]> {
    const page = await openTestPage(await browsers[1]!.newPage('viewer'), sluice.url);
    await page.setViewportSize({ width: 320, height: 180 });
    const token = await sluice.token('viewer', { room: ROOM, canPublish: false });
    await page.evaluate((bearer) => globalThis.sluice.watch({ token: bearer, slots: 4 }), token);
    const played = () => page.evaluate(() => globalThis.sluice.played());
    await until('everybody to be seen', async () => (await played()).every(({ width }) => width > 0));
    const first = await played();
    let second = first;
    await until('everybody to play', async () => {
      second = await played();
      return second.every((each, index) => each.frames > first[index]!.frames + FPS);
    });
    await page.evaluate(() => globalThis.sluice.stop('viewer'));
    await page.close();
    return [first, second];
  }

  /** What hls.js has played of the live broadcast, some seconds apart; leaves a screenshot. */
  async function playBroadcast(egressId: string): Promise<[HlsPlayback, HlsPlayback]> {
    const [live] = await sluice.egress.listEgress({ egressId });
    const page = await browsers[1]!.newPage('hls.js');
    await playHls(page, sluice.url, `${sluice.url}/files/${live?.segmentResults[0]?.playlistName}`, CANVAS);
    await until('the broadcast to play', async () => (await hlsPlayback(page)).currentTime > 0.5);
    const first = await hlsPlayback(page);
    await until(
      'the broadcast to play on',
      async () => (await hlsPlayback(page)).currentTime > first.currentTime + 2.5,
    );
    await page.screenshot({ path: join(folder, 'broadcast.png') });
    const keep = process.env.SLUICE_TEST_SCREENSHOTS;
    if (keep !== undefined) await page.screenshot({ path: join(keep, 'broadcast.png') });
    const second = await hlsPlayback(page);
    await page.close();
    return [first, second];
  }

  async function until(what: string, done: () => boolean | Promise<boolean>): Promise<void> {
    const deadline = Date.now() + 20_000;
    while (!(await done())) {
      if (Date.now() > deadline)
        throw new Error(
          `timed out waiting for ${what}\n${JSON.stringify(lines('layer received'))}\n${sluice.tail()}`,
        );
      await sleep(100);
    }
  }

  it('is recorded in one piece', () => {
    expect(ended.status, `${ended.error}\n${sluice.tail()}`).toBe(EgressStatus.EGRESS_COMPLETE);
    expect(recording.video).toMatchObject({ codec: 'h264', ...CANVAS, monotonic: true });
    expect(recording.video?.maxGapMs, ended.details).toBeLessThan(200);
    expect(recording.decodeErrors).toEqual([]);
    const seconds = Number(ended.endedAt - ended.startedAt) / 1e9;
    expect(Math.abs(recording.duration - seconds)).toBeLessThan(0.5);
    // Only to be seen here: bench/ measures it.
    const firstFrameAtMs = Number(ended.startedAt) / 1e6 + (recording.video?.firstTime ?? NaN) * 1000;
    process.stdout.write(
      `StartEgress to ACTIVE ${active.toFixed(0)} ms, to the first frame ${(firstFrameAtMs - askedAtMs).toFixed(0)} ms\n`,
    );
  });

  it.each(BROWSERS)('has the frames that browser %i encoded, in order', (index) => {
    const tile = recording.tiles[index]!;
    const { drawn: first } = before[index]!;
    const { drawn: last } = after[index]!;
    const counters = new Set(tile.frames.flatMap(({ counter }) => counter ?? []));
    const seen = [...counters].filter((counter) => counter >= first && counter < last).length;
    // Of simulcast, the layer that is recorded.
    const encoded = encodedAt(QUARTER.height, after[index]!) - encodedAt(QUARTER.height, before[index]!);
    process.stdout.write(
      `${tile.name}: drew ${last - first}, encoded ${encoded}, recorded ${seen}; ` +
        `A/V p50 ${tile.avOffsetByCounter.p50.toFixed(0)} p95 ${tile.avOffsetByCounter.p95.toFixed(0)} ms (flash: ${tile.avOffset.p95.toFixed(0)} ms)\n`,
    );
    expect(last - first).toBeGreaterThan(SECONDS * FPS * 0.95);
    // A browser leaves frames out when the machine is busy; what it encodes must arrive.
    expect(encoded).toBeGreaterThan((last - first) * 0.5);
    expect(seen / encoded).toBeGreaterThanOrEqual(0.97);
    expect(tile.inOrder).toBe(true);
    expect(tile.longestGapMs).toBeLessThan(200);
  });

  it.each([0, 1, 2, 3])('shows the colour and sounds the beep of participant %i', (index) => {
    const tile = recording.tiles[index]!;
    expect(tile.color.closest).toBe(PEOPLE[index]!.color);
    expect(tile.color.share).toBeGreaterThan(0.97);
    expect(tile.beepShare).toBe(1);
    expect(tile.flashes.length).toBeGreaterThanOrEqual(SECONDS - 1);
    // A browser may leave out the very frame in which the flash begins: frame counters tell all the same. What a
    // busy machine makes it late by is in its own stream already: of ten flashes the worst says more of that than of us.
    const browser = index in BROWSERS;
    const offset = browser ? tile.avOffsetByCounter : tile.avOffset;
    expect(offset.count).toBeGreaterThanOrEqual(SECONDS - 1);
    expect(browser ? offset.p50 : offset.p95).toBeLessThanOrEqual(browser ? 120 : 80);
  });

  it('receives the simulcast layer that fits the tile', () => {
    expect(layerAlone, 'of 960 × 540').toBe(2);
    expect(layerOfFour, 'of 480 × 270').toBe(1);
    expect(layers.slice(layers.indexOf(2)), 'and changes once').toEqual([2, 1]);
  });

  it('plays in a WHEP viewer', () => {
    const [first, second] = watched;
    expect(second).toHaveLength(4);
    second.forEach((played, index) => {
      expect(played.frames - first[index]!.frames, `slot ${index}`).toBeGreaterThan(30);
      expect(played.energy).toBeGreaterThan(first[index]!.energy);
    });
    // Of the simulcast one, the layer for which the viewer has bandwidth.
    const widths = second.map(({ width }) => width);
    expect(widths.filter((width) => width === 320)).toHaveLength(2);
    expect(widths).toContain(QUARTER.width);
  });

  it('plays in hls.js while it is live', () => {
    const [first, second] = broadcast;
    expect(second).toMatchObject({ ...CANVAS, fatal: [] });
    expect(second.currentTime - first.currentTime).toBeGreaterThan(2);
    expect(second.frames - first.frames).toBeGreaterThan(45);
    expect(second.audioBytes).toBeGreaterThan(first.audioBytes);
  });

  it('looks right in hls.js', () => {
    expect(screenshot.video).toMatchObject(CANVAS);
    screenshot.tiles.forEach(({ color, first }, index) => {
      expect(color.closest).toBe(PEOPLE[index]!.color);
      // Of 441. A picture shown with another matrix than it was made with is 15 to 25 away.
      expect(color.distance, color.closest).toBeLessThan(10);
      expect(first, 'a readable frame counter').not.toBeNull();
    });
  });
});

/** Frames encoded so far of the layer that is `height` high. */
function encodedAt(height: number, { layers }: Sent): number {
  const layer = layers.find((each) => each.height === height);
  if (!layer) throw new Error(`no layer of ${height} lines: ${JSON.stringify(layers)}`);
  return layer.encoded;
}
