/**
 * Room to a browser over LL-HLS, glass to glass: from when the publisher took a frame (its counter is in the picture)
 * to when Chromium shows it in hls.js's low-latency mode. Included: the publisher's encoder, WHIP's RTP, SFU, our
 * pipeline, parts, HTTP, hls.js's buffer (three part targets) and the decoder. One machine, so one clock. hls.js may play
 * faster until it is where it wants to be (`maxLiveSyncPlaybackRate`), as docs/api.md recommends.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { launchChromium } from '../test/support/chromium.ts';
import { trackIds } from '../test/support/callers.ts';
import { lowLatencyState, playLowLatency, shownPictures } from '../test/support/ll-player.ts';
import { startWithOptions } from '../test/support/sluice-egress.ts';
import { median, percentile, report, verdict } from './lib/numbers.ts';
import { Owner } from './lib/owner.ts';
import { COLORS, finish, publishAll, ROOM, startParts, untilActive } from './lib/room.ts';

const TARGET_MS = 3000;
const SECONDS = 20;
/** Left out while the player finds its place. */
const SETTLE_MS = 6000;

export async function main(): Promise<void> {
  await Owner.run(async (owner) => {
    const { sluice } = await startParts(owner);
    const [publisher] = await publishAll(owner, sluice, 1);
    const { audio, video } = await trackIds(sluice, ROOM, COLORS[0]!);
    if (!publisher || audio === undefined || video === undefined) throw new Error('nobody publishes');
    const browser = owner.own(await launchChromium(), (each) => each.close());
    const rows = [['egress', 'part, s', 'pictures', 'p50, ms', 'p95, ms', 'most, ms', 'target p95', '']];
    for (const [kind, part] of [
      ['composite', 0.2],
      ['composite', 0.4],
      ['passthrough', 0.4],
    ] as const) {
      const name = `ll/${kind}-${part}`;
      const segments = [{ filename_prefix: name, playlist_name: `${name}.m3u8`, segment_duration: 4 }];
      const egressId = await startWithOptions(sluice, ROOM, {
        ...(kind === 'composite'
          ? { room_composite: { room_name: ROOM, layout: 'grid', segment_outputs: segments } }
          : {
              track_composite: {
                ...{ room_name: ROOM, audio_track_id: audio, video_track_id: video },
                segment_outputs: segments,
              },
            }),
        options: { hls: { low_latency: true, part_duration: part } },
      });
      await untilActive(sluice, egressId);
      const url = `${sluice.url}/files/${name}.m3u8`;
      const deadline = Date.now() + 20_000;
      while (!(await fetch(url)).ok && Date.now() < deadline) await sleep(100);
      const page = await browser.newPage(name);
      await playLowLatency(page, sluice.url, url);
      await sleep(SETTLE_MS);
      await shownPictures(page);
      await sleep(SECONDS * 1000);
      const latencies = (await shownPictures(page)).flatMap(({ counter, atMs }) =>
        counter === null ? [] : [atMs - (publisher.startedAtMs + (counter * 1000) / publisher.fps)],
      );
      const { fatal } = await lowLatencyState(page);
      await page.close();
      await finish(sluice, egressId);
      if (latencies.length === 0 || fatal.length > 0) {
        throw new Error(`the ${kind} was not played: ${fatal.join(', ')}\n${sluice.tail()}`);
      }
      const p95 = percentile(latencies, 0.95);
      rows.push([
        ...[kind, String(part), String(latencies.length)],
        ...[median(latencies), p95, Math.max(...latencies)].map((ms) => ms.toFixed(0)),
        ...[`≤ ${TARGET_MS}`, verdict(p95, TARGET_MS)],
      ]);
    }
    report('Room to browser over LL-HLS, glass to glass', rows);
  });
}
