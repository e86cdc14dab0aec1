/**
 * StartEgress to ACTIVE, and to the first recorded frame that shows a participant: from when the request is sent to
 * EgressInfo's `startedAt`, and to the wall clock of that frame in the recording (the file's `startedAt` and the
 * frame's time in it). A composite's very first frame is black, and a copy's file may begin with sound: neither counts.
 * All on one machine, so one clock. The room is a running one; each egress has ended before the next one starts.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { EncodedFileOutput } from 'livekit-server-sdk';
import type { EgressInfo } from 'livekit-server-sdk';
import { analyse } from '../src/demo/content/analyse.ts';
import { gridRegion, trackIds } from '../test/support/callers.ts';
import { median, percentile, report, verdict } from './lib/numbers.ts';
import { Owner } from './lib/owner.ts';
import { COLORS, finish, publishAll, ROOM, startParts, untilActive } from './lib/room.ts';

const STARTS = 15;
const TARGET = { active: 0.3, frame: 0.8 };
/** Longer than a first frame takes, ms. */
const RECORD_MS = 1500;

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
        const { location, startedAt } = ended.fileResults[0]!;
        const { tiles } = await analyse(location, {
          tiles: [
            { name: kind, color: COLORS[0]!, ...(kind === 'composite' && { region: gridRegion(0, 2) }) },
          ],
        });
        const shown = tiles[0]?.frames.find(({ counter }) => counter !== null);
        if (!shown) throw new Error(`a ${kind} of ${RECORD_MS} ms shows nobody\n${sluice.tail()}`);
        times.frame.push(secondsSince(startedAt) + shown.time);
      }
      for (const [until, values] of Object.entries(times)) {
        const target = TARGET[until as keyof typeof times];
        rows.push([
          kind,
          until === 'active' ? 'ACTIVE' : 'first frame of a participant',
          ...[median(values), percentile(values, 0.95), Math.max(...values)].map((each) => each.toFixed(2)),
          `≤ ${target}`,
          verdict(median(values), target),
        ]);
      }
    }
    report(`StartEgress, ${STARTS} starts each`, rows);
  });
}
