/**
 * LL-HLS in a browser: hls.js in low-latency mode plays a composite less than three seconds behind the publisher, goes on
 * when the egress's worker is killed, and the playlist obeys RFC 8216bis all along.
 */
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { EgressStatus } from 'livekit-server-sdk';
import type { EgressInfo } from 'livekit-server-sdk';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ffprobePackets } from '../../src/demo/content/ffprobe.ts';
import type { TestPublisher } from '../../src/demo/publisher.ts';
import { publish } from '../support/callers.ts';
import { launchChromium } from '../support/chromium.ts';
import type { TestBrowser } from '../support/chromium.ts';
import { assertPlaylist } from '../support/hls-rules.ts';
import { assertFollows, assertLowLatency } from '../support/ll-hls-rules.ts';
import type { ReadLowLatency } from '../support/ll-hls-rules.ts';
import { lowLatencyState, playLowLatency, shownPictures } from '../support/ll-player.ts';
import type { LowLatencyState } from '../support/ll-player.ts';
import { startRedis } from '../support/redis.ts';
import type { TestRedis } from '../support/redis.ts';
import { startWithOptions } from '../support/sluice-egress.ts';
import { Sluice } from '../support/sluice.ts';

const ROOM = 'll';
const MOST_LATENCY_MS = 3000;
/** Finer time is not asked about. */
const FPS = 15;
const SIZE = { width: 320, height: 180 };

describe('LL-HLS', () => {
  let redis: TestRedis;
  let sluice: Sluice;
  let publisher: TestPublisher;
  let browser: TestBrowser;
  let url: string;
  let ended: EgressInfo;
  let latencies: number[];
  let latenciesAfter: number[];
  let playing: LowLatencyState;
  let playingAfter: LowLatencyState;
  let versions: ReadLowLatency[];
  let waits: number[];
  let final: string;

  /** Of the pictures shown since it was asked last, ms from when they were taken. */
  const shown = async (page: Page): Promise<number[]> =>
    (await shownPictures(page)).flatMap(({ counter, atMs }) =>
      counter === null ? [] : [atMs - (publisher.startedAtMs + (counter * 1000) / publisher.fps)],
    );

  /** Follows the playlist as a player does, each version waited for, until `over`. */
  async function follow(over: () => boolean): Promise<void> {
    let query = '';
    while (!over()) {
      const askedAt = performance.now();
      const response = await fetch(url + query);
      expect(response.status, query).toBe(200);
      expect(response.headers.get('access-control-allow-origin')).toBe('*');
      waits.push(performance.now() - askedAt);
      const version = assertLowLatency(await response.text());
      const before = versions.at(-1);
      if (before) assertFollows(before, version);
      versions.push(version);
      if (version.ended) return;
      query = `?_HLS_msn=${version.mediaSequence + version.segments.length}&_HLS_part=${version.open.length}`;
    }
  }

  async function until(what: string, done: () => boolean | Promise<boolean>): Promise<void> {
    const deadline = Date.now() + 30_000;
    while (!(await done())) {
      if (Date.now() > deadline) throw new Error(`timed out waiting for ${what}\n${sluice.tail()}`);
      await sleep(100);
    }
  }

  beforeAll(async () => {
    redis = await startRedis();
    [sluice, browser] = await Promise.all([
      Sluice.start({ mode: 'split', redisUrl: redis.url }),
      launchChromium(),
    ]);
    const worker = await sluice.addWorker();
    publisher = await publish(sluice, ROOM, 'alice', { color: 'red', fps: FPS });
    const egressId = await startWithOptions(sluice, ROOM, {
      room_composite: {
        room_name: ROOM,
        advanced: { ...SIZE, framerate: FPS, video_bitrate: 400 },
        segment_outputs: [{ filename_prefix: 'll/seg', playlist_name: 'live.m3u8', segment_duration: 2 }],
      },
      options: { hls: { low_latency: true, part_duration: 0.4 } },
    });
    url = `${sluice.url}/files/ll/live.m3u8`;
    await until('the playlist', async () => (await fetch(url)).ok);
    const page = await browser.newPage('player');
    // A browser without a graphics card paints by pixel.
    await page.setViewportSize(SIZE);
    await playLowLatency(page, sluice.url, url, 3);
    versions = [];
    waits = [];
    let over = false;
    const following = follow(() => over);
    await until('pictures', async () => (await shownPictures(page)).length > 0);
    // It begins where it happens to, and catches up.
    await until('the player to be where it wants to be', async () => {
      const { latency, targetLatency } = await lowLatencyState(page);
      return targetLatency !== null && latency < targetLatency + 0.3;
    });
    await shown(page);
    latencies = [];
    await until('four seconds of them', async () => {
      latencies.push(...(await shown(page)));
      return latencies.length >= 20;
    });
    playing = await lowLatencyState(page);

    await sluice.addWorker();
    const killedAtMs = Date.now();
    worker.child.kill('SIGKILL');
    await once(worker.child, 'exit');
    // What was taken after the kill is shown, and then as soon as before.
    latenciesAfter = [];
    await until('pictures taken after the takeover', async () => {
      const after = await shownPictures(page);
      for (const { counter, atMs } of after) {
        if (counter === null) continue;
        const takenMs = publisher.startedAtMs + (counter * 1000) / publisher.fps;
        if (takenMs > killedAtMs + 1000) latenciesAfter.push(atMs - takenMs);
      }
      return latenciesAfter.length >= 20;
    });
    playingAfter = await lowLatencyState(page);
    await sluice.egress.stopEgress(egressId);
    ended = await sluice.waitForEgress(egressId, ({ status }) => status >= EgressStatus.EGRESS_COMPLETE);
    await following;
    over = true;
    final = await (await fetch(url)).text();
    await page.close();
  }, 120_000);

  afterAll(async () => {
    await browser?.close();
    await publisher?.stop();
    await sluice?.stop();
    await redis?.stop();
  });

  it('is shown within three seconds, with sound', () => {
    const sorted = latencies.toSorted((a, b) => a - b);
    process.stdout.write(
      `glass to glass p50 ${sorted[sorted.length >> 1]?.toFixed(0)} ms, most ${sorted.at(-1)?.toFixed(0)} ms; ` +
        `hls.js ${playing.latency.toFixed(2)} s of ${playing.targetLatency?.toFixed(2)} s\n`,
    );
    expect(playing).toMatchObject({ lowLatency: true, fatal: [] });
    expect(playing.parts).toBeGreaterThan(5);
    expect(sorted[sorted.length >> 1]).toBeLessThan(MOST_LATENCY_MS);
    // The beep, and the pause between two.
    expect(playing.loudest).toBeGreaterThan(0.05);
    expect(playing.quietest).toBeLessThan(playing.loudest / 4);
    expect(Math.abs(playing.pitch - publisher.pitch)).toBeLessThan(publisher.pitch * 0.1);
  });

  it('is waited for, not asked for again and again', () => {
    // By the number of parts: a version a part, hardly one more.
    const parts = new Set(
      versions.flatMap((version) => [...version.parts.values()].flat()).map(({ uri }) => uri),
    );
    expect(versions.length).toBeLessThanOrEqual(parts.size + 3);
    const sorted = waits.toSorted((a, b) => a - b);
    expect(sorted[sorted.length >> 1]).toBeGreaterThan(150);
    expect(sorted[sorted.length >> 1]).toBeLessThan(600);
  });

  it('goes on when another worker takes over', () => {
    expect(playingAfter.fatal).toEqual([]);
    const sorted = latenciesAfter.toSorted((a, b) => a - b);
    process.stdout.write(`after the takeover p50 ${sorted[sorted.length >> 1]?.toFixed(0)} ms\n`);
    expect(ended.status, ended.error).toBe(EgressStatus.EGRESS_COMPLETE);
    expect(versions.at(-1)?.segments.some(({ discontinuity }) => discontinuity)).toBe(true);
  });

  it('ends as a playlist of whole segments that holds everything', async () => {
    const list = assertPlaylist(final);
    expect(list.ended).toBe(true);
    expect(final).not.toContain('EXT-X-PART:');
    const pictures = await ffprobePackets(`${sluice.dataDir}/recordings/ll/live.m3u8`, 'v:0');
    const seconds = list.segments.reduce((sum, { duration }) => sum + duration, 0);
    expect(Math.abs(pictures.length - seconds * FPS)).toBeLessThan(FPS);
  });
});
