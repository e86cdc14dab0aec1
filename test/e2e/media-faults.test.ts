/** Publishers behind a bad network and one whose picture changes its size all the time, in finished files. */
import { setTimeout as sleep } from 'node:timers/promises';
import { EncodedFileOutput, EncodingOptions, EgressStatus } from 'livekit-server-sdk';
import type { EgressInfo } from 'livekit-server-sdk';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { analyse } from '../../src/demo/content/analyse.ts';
import type { ColorName, ContentReport, TileReport } from '../../src/demo/content/analyse.ts';
import { startTestPublisher } from '../../src/demo/publisher.ts';
import type { TestPublisher } from '../../src/demo/publisher.ts';
import { gridRegion, quiet, trackIds } from '../support/callers.ts';
import type { NetworkFaults } from '../support/network.ts';
import { Sluice } from '../support/sluice.ts';
import { WhipPath } from '../support/whip-path.ts';

const ROOM = 'media-faults';
const SECONDS = 10;
/** Of a recording, left out: lip sync settles within its first Sender Reports. */
const FROM = 3;
const NETWORKS = {
  red: { loss: 0.02, delayMs: 10 },
  green: {
    bursts: { loss: 0.1, everyMs: 3000, forMs: 1000 },
    reorder: { share: 0.03, byMs: 15 },
    delayMs: 10,
  },
} satisfies Partial<Record<ColorName, NetworkFaults>>;
const CANVAS = { width: 480, height: 270 };
const SIZES = [
  [480, 270],
  [320, 180],
  [640, 360],
  [384, 216],
] as const;

const file = (filepath: string) => ({ file: new EncodedFileOutput({ filepath }) });

describe('publishers at their worst', () => {
  let sluice: Sluice;
  const paths: WhipPath[] = [];
  const publishers: TestPublisher[] = [];
  const infos: EgressInfo[] = [];
  const copies: ContentReport[] = [];
  let room: ContentReport;

  beforeAll(async () => {
    sluice = await Sluice.start();
    for (const color of ['red', 'green', 'blue'] as const) {
      const faults: NetworkFaults = color === 'blue' ? {} : NETWORKS[color];
      const path = await WhipPath.start(sluice.url, faults);
      paths.push(path);
      publishers.push(
        await startTestPublisher({
          whipUrl: path.whipUrl,
          token: await sluice.token(color, { room: ROOM, canPublish: true }),
          logger: quiet,
          color,
          ...{ width: 480, height: 270 },
        }),
      );
    }
    const started = [
      await sluice.egress.startRoomCompositeEgress(ROOM, file('faults/room'), {
        layout: 'grid',
        encodingOptions: new EncodingOptions({ ...CANVAS, videoBitrate: 600 }),
      }),
    ];
    for (const color of ['red', 'green', 'blue']) {
      const { audio = '', video = '' } = await trackIds(sluice, ROOM, color);
      const tracks = { audioTrackId: audio, videoTrackId: video };
      started.push(await sluice.egress.startTrackCompositeEgress(ROOM, file(`faults/${color}`), tracks));
    }
    for (const { egressId } of started)
      await sluice.waitForEgress(egressId, ({ status }) => status === EgressStatus.EGRESS_ACTIVE);
    for (let second = 0; second < SECONDS; second += 2) {
      const [width, height] = SIZES[(second / 2) % SIZES.length]!;
      publishers[2]!.setResolution(width, height);
      await sleep(2000);
    }
    await Promise.all(started.map(({ egressId }) => sluice.egress.stopEgress(egressId)));
    for (const { egressId } of started) {
      const over = ({ status }: EgressInfo) => status >= EgressStatus.EGRESS_COMPLETE;
      const info = await sluice.waitForEgress(egressId, over);
      if (!info.fileResults[0]?.location) throw new Error(`${info.toJsonString()}\n${sluice.tail()}`);
      infos.push(info);
    }
    const tile = (index: number, whole = false) => ({
      name: ['red', 'green', 'blue'][index]!,
      color: (['red', 'green', 'blue'] as const)[index]!,
      from: FROM,
      ...(!whole && { region: gridRegion(index, 3, CANVAS) }),
    });
    const seen = await Promise.all(
      infos.map(({ fileResults }, index) =>
        analyse(fileResults[0]!.location, {
          tiles: index === 0 ? [0, 1, 2].map((each) => tile(each)) : [tile(index - 1, true)],
        }),
      ),
    );
    room = seen[0]!;
    copies.push(...seen.slice(1));
  }, 120_000);

  afterAll(async () => {
    await Promise.all(publishers.map((publisher) => publisher.stop()));
    for (const path of paths) await path.close();
    await sluice?.stop();
  });

  function expectGood(tile: TileReport, least: number, gapMs: number): void {
    const { share, longestGapMs, inOrder, avOffset, beepShare } = tile;
    const shown = JSON.stringify({ ...tile, frames: [], missing: tile.missing.length });
    expect(share, shown).toBeGreaterThanOrEqual(least);
    expect(inOrder, shown).toBe(true);
    expect(longestGapMs, shown).toBeLessThan(gapMs);
    expect(avOffset.p95, shown).toBeLessThanOrEqual(100);
    expect(beepShare, shown).toBe(1);
  }

  it('loses packets', () => {
    expect(paths[0]!.network.counts.lost).toBeGreaterThan(20);
    expect(paths[1]!.network.counts.lost).toBeGreaterThan(20);
    expect(paths[1]!.network.counts.reordered).toBeGreaterThan(20);
  });

  it.each([
    [0, 'red', '2 % of all packets', 0.97, 500],
    [1, 'green', '10 % in bursts, and some overtaken', 0.9, 1500],
    [2, 'blue', 'a size changed every 2 s', 0.97, 500],
  ])('%i: %s with %s is recorded whole', (index, _, __, least, gapMs) => {
    const copied = copies[index]!;
    for (const report of [copied, room]) {
      expect(report.decodeErrors).toEqual([]);
      expect(report.video!.monotonic).toBe(true);
      expect(report.audio!.gaps).toEqual([]);
      expect(report.video!.maxGapMs).toBeLessThan(gapMs);
    }
    const info = infos[index + 1]!;
    expect(Math.abs(copied.duration - Number(info.endedAt - info.startedAt) / 1e9)).toBeLessThan(0.7);
    expectGood(copied.tiles[0]!, least, gapMs);
    expectGood(room.tiles[index]!, least, gapMs);
  });
});
