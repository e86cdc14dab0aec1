/**
 * StartEgress to ACTIVE, and to the first frame in the log: wall clock of a request's sending on one side; of
 * EgressInfo's `startedAt` and of the first recorded frame (log's first timestamp on the egress clock) on the other.
 * All on one machine, so one clock. The room is a running one; each start has ended before the next.
 *
 * The file's own `startedAt` is when its first frame was taken in, as the log says it.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { EncodedFileOutput } from 'livekit-server-sdk';
import type { EgressInfo } from 'livekit-server-sdk';
import { trackIds } from '../test/support/callers.ts';
import { median, percentile, report, verdict } from './lib/numbers.ts';
import { Owner } from './lib/owner.ts';
import { COLORS, finish, publishAll, ROOM, startParts, untilActive } from './lib/room.ts';

const STARTS = 15;
const TARGET = { active: 0.3, frame: 0.8 };
/** Long enough that a first frame is recorded, ms. */
const RECORD_MS = 1200;

export async function main(): Promise<void> {
  await Owner.run(async (owner) => {
    const { sluice } = await startParts(owner);
    await publishAll(owner, sluice, 2);
    const { audio, video } = await trackIds(sluice, ROOM, COLORS[0]!);
    if (audio === undefined || video === undefined) throw new Error('the publisher has no tracks');
    const file = (filepath: string) => ({ file: new EncodedFileOutput({ filepath }) });
    const kinds: Record<string, (name: string) => Promise<EgressInfo>> = {
      composite: (name) => sluice.egress.startRoomCompositeEgress(ROOM, file(name), { layout: 'grid' }),
      passthrough: (name) =>
        sluice.egress.startTrackCompositeEgress(ROOM, file(name), {
          audioTrackId: audio,
          videoTrackId: video,
        }),
    };
    const rows = [['egress', 'until', 'p50, s', 'p95, s', 'most, s', 'target p50', '']];
    for (const [kind, start] of Object.entries(kinds)) {
      const times = { active: [] as number[], frame: [] as number[] };
      for (let index = 0; index < STARTS; index++) {
        const sentMs = Date.now();
        const { egressId } = await start(`bench/${kind}-${index}`);
        const active = await untilActive(sluice, egressId);
        await sleep(RECORD_MS);
        const ended = await finish(sluice, egressId);
        const secondsSince = (ns: bigint) => Number(ns) / 1e9 - sentMs / 1000;
        times.active.push(secondsSince(active.startedAt));
        times.frame.push(secondsSince(ended.fileResults[0]!.startedAt));
      }
      for (const [until, values] of Object.entries(times)) {
        const target = TARGET[until as keyof typeof times];
        rows.push([
          kind,
          until === 'active' ? 'ACTIVE' : 'first frame in the log',
          ...[median(values), percentile(values, 0.95), Math.max(...values)].map((each) => each.toFixed(2)),
          `≤ ${target}`,
          verdict(median(values), target),
        ]);
      }
    }
    report(`StartEgress, ${STARTS} starts each`, rows);
  });
}
