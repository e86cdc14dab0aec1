/**
 * What a template costs that a browser draws, against our own layout of the same grid: both recorded by Sluice, with
 * sound, one after the other. Counted are the whole worker and, beyond what they use anyway, server and SFU.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { EncodedFileOutput } from 'livekit-server-sdk';
import { analyse } from '../src/demo/content/analyse.ts';
import { startWebPages } from '../test/support/web-pages.ts';
import { report, spread, median } from './lib/numbers.ts';
import { Owner } from './lib/owner.ts';
import { between, PARTS, read } from './lib/parts.ts';
import { memory, named, processTree } from './lib/processes.ts';
import { COLORS, finish, publishAll, ROOM, startParts, untilActive } from './lib/room.ts';

const PEOPLE = 4;
const IDLE_MS = 6000;
const ROUND_MS = 6000;
const ROUNDS = 3;
/** From ACTIVE until what it costs is steady. */
const SETTLE_MS = 4000;
/** Quarters of 1280×720. */
const QUARTER = { width: 640, height: 360 };

export async function main(): Promise<void> {
  await Owner.run(async (owner) => {
    const pages = owner.own(await startWebPages(), (each) => each.close());
    const parts = await startParts(owner);
    const { sluice, workerPid } = parts;
    await publishAll(owner, sluice, PEOPLE);
    await sleep(2000);
    const idle0 = read(parts);
    await sleep(IDLE_MS);
    const idle = between(idle0, read(parts));

    const measure = async (name: string, customBaseUrl?: string) => {
      const began = performance.now();
      const { egressId } = await sluice.egress.startRoomCompositeEgress(
        ROOM,
        { file: new EncodedFileOutput({ filepath: `bench/${name}` }) },
        { layout: 'grid', ...(customBaseUrl !== undefined && { customBaseUrl }) },
      );
      await untilActive(sluice, egressId);
      const startSeconds = (performance.now() - began) / 1000;
      await sleep(SETTLE_MS);
      const cores: number[] = [];
      for (let round = 0; round < ROUNDS; round++) {
        const before = read(parts);
        await sleep(ROUND_MS);
        const { seconds, cpu } = between(before, read(parts));
        cores.push(PARTS.reduce((sum, part) => sum + cpu[part] / seconds - idle.cpu[part] / idle.seconds, 0));
      }
      // Node and the pipeline that is kept ready are there without any egress.
      const pids = processTree(workerPid).filter((pid) => pid !== workerPid);
      const { pss } = memory(pids);
      const browser = memory(named(workerPid, 'chrom')).pss + memory(named(workerPid, 'Xvfb')).pss;
      const { fileResults } = await finish(sluice, egressId);
      const tiles = COLORS.slice(0, PEOPLE).map((color, index) => ({
        ...{ name: color, color, from: SETTLE_MS / 1000 },
        region: { ...QUARTER, x: (index % 2) * QUARTER.width, y: Math.floor(index / 2) * QUARTER.height },
      }));
      const seen = await analyse(fileResults[0]?.location ?? '', { tiles });
      return { cores, pss, browser, startSeconds, shares: seen.tiles.map(({ share }) => share) };
    };

    const ours = await measure('layout');
    const theirs = await measure('template', `${pages.url}/template?slots=${PEOPLE}`);
    const rows = ([name, result]: [string, typeof ours]) => [
      name,
      spread(result.cores),
      result.pss.toFixed(0),
      result.browser.toFixed(0),
      result.startSeconds.toFixed(2),
      Math.min(...result.shares).toFixed(2),
    ];
    report('2x2 grid at 1280x720, 30 fps, with sound', [
      ['', 'cores', 'PSS, MB', 'of it browser', 'start, s', 'least share of frames'],
      rows(['layout "grid"', ours]),
      rows(['template in Chromium', theirs]),
      ['ratio', (median(theirs.cores) / median(ours.cores)).toFixed(2), (theirs.pss / ours.pss).toFixed(2)],
    ]);
  });
}
