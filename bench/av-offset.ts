/**
 * A/V offset in recordings: flash against beep, once a second of each participant, without loss and with 2 % of the
 * packets lost between publishers and SFU. Composite of two, and one of them copied, recorded at the same time.
 *
 * `first lit frame` is what a viewer sees, and is quantised to frames; `by counter` takes the median of the frames
 * around each second, and shows the clocks.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { EncodedFileOutput } from 'livekit-server-sdk';
import { analyse } from '../src/demo/content/analyse.ts';
import type { OffsetStats, TileReport, TileSpec } from '../src/demo/content/types.ts';
import { gridRegion, trackIds } from '../test/support/callers.ts';
import { WhipPath } from '../test/support/whip-path.ts';
import { report, verdict } from './lib/numbers.ts';
import { Owner } from './lib/owner.ts';
import { COLORS, finish, publishAll, ROOM, startParts, untilActive } from './lib/room.ts';

const TARGET_MS = 40;
const SECONDS = 22;
const LOSS = 0.02;
/** Of a recording, left out: lip sync settles within its first Sender Reports. */
const FROM = 3;

export async function main(): Promise<void> {
  const rows = [
    [
      'loss',
      'recording',
      'who',
      'seconds',
      'p50, ms',
      'p95, ms',
      'by counter p50, p95',
      'frames seen',
      'target p95',
      '',
    ],
  ];
  for (const loss of [0, LOSS]) {
    const { lost, tiles } = await measure(loss);
    for (const { recording, tile } of tiles) {
      const { count, p50, p95 } = tile.avOffset;
      rows.push([
        `${(lost * 100).toFixed(1)} %`,
        recording,
        tile.name,
        String(count),
        p50.toFixed(0),
        p95.toFixed(0),
        text(tile.avOffsetByCounter),
        `${(tile.share * 100).toFixed(1)} %`,
        `≤ ${TARGET_MS}`,
        verdict(p95, TARGET_MS),
      ]);
    }
  }
  report('A/V offset (positive: the sound is late)', rows);
}

const text = ({ p50, p95 }: OffsetStats) => `${p50.toFixed(0)}, ${p95.toFixed(0)}`;

function measure(loss: number): Promise<{ lost: number; tiles: { recording: string; tile: TileReport }[] }> {
  return Owner.run(async (owner) => {
    const { sluice } = await startParts(owner);
    const path = owner.own(await WhipPath.start(sluice.url, { loss }), (each) => each.close());
    await publishAll(owner, sluice, 2, loss > 0 ? { whipUrl: path.whipUrl } : {});
    const { audio, video } = await trackIds(sluice, ROOM, COLORS[0]!);
    if (audio === undefined || video === undefined) throw new Error('the publisher has no tracks');
    const file = (filepath: string) => ({ file: new EncodedFileOutput({ filepath }) });
    const started = [
      await sluice.egress.startRoomCompositeEgress(ROOM, file('composite'), { layout: 'grid' }),
      await sluice.egress.startTrackCompositeEgress(ROOM, file('passthrough'), {
        audioTrackId: audio,
        videoTrackId: video,
      }),
    ];
    for (const { egressId } of started) await untilActive(sluice, egressId);
    await sleep((SECONDS + FROM) * 1000);
    const infos = await Promise.all(started.map(({ egressId }) => finish(sluice, egressId)));
    const [composite, copied] = infos.map((info) => info.fileResults[0]!.location);
    const spec = (index: number, region?: TileSpec['region']): TileSpec => ({
      name: COLORS[index]!,
      color: COLORS[index]!,
      from: FROM,
      ...(region && { region }),
    });
    const reports = [
      {
        recording: 'composite',
        tiles: (await analyse(composite!, { tiles: [0, 1].map((i) => spec(i, gridRegion(i, 2))) })).tiles,
      },
      { recording: 'passthrough', tiles: (await analyse(copied!, { tiles: [spec(0)] })).tiles },
    ];
    return {
      lost: path.network.lost,
      tiles: reports.flatMap(({ recording, tiles }) => tiles.map((tile) => ({ recording, tile }))),
    };
  });
}
