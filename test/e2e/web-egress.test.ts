/** A web page as an egress: what is on the display and what sounds is in the recording. */
import { execFileSync } from 'node:child_process';
import { EncodedFileOutput, EncodingOptions, SegmentedFileOutput } from 'livekit-server-sdk';
import { EgressStatus } from '@livekit/protocol';
import type { EgressInfo } from 'livekit-server-sdk';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { analyse } from '../../src/demo/content/analyse.ts';
import { Sluice } from '../support/sluice.ts';
import { leftOfPages, startWebPages } from '../support/web-pages.ts';
import type { WebPages } from '../support/web-pages.ts';

/** A page is painted without a graphics card. */
const SIZE = { width: 512, height: 288 };
const ENCODING = new EncodingOptions({ ...SIZE, framerate: 30, videoBitrate: 1000 });

let sluice: Sluice;
let pages: WebPages;

beforeAll(async () => {
  pages = await startWebPages();
  sluice = await Sluice.start();
});

afterAll(async () => {
  await sluice?.stop();
  await pages?.close();
});

const ended = ({ status }: EgressInfo): boolean => status >= EgressStatus.EGRESS_COMPLETE;

describe('a page', () => {
  test('is recorded between its signals, as it is seen and heard', async () => {
    const url = `${pages.url}/marked?color=green&start=500&end=7000&key=geheim`;
    const { egressId } = await sluice.egress.startWebEgress(
      url,
      {
        file: new EncodedFileOutput({ filepath: 'page' }),
        segments: new SegmentedFileOutput({
          filenamePrefix: 'page/hls',
          playlistName: 'page',
          segmentDuration: 2,
        }),
      },
      { encodingOptions: ENCODING, awaitStartSignal: true },
    );
    const active = await sluice.waitForEgress(egressId, ({ status }) => status >= EgressStatus.EGRESS_ACTIVE);
    expect(active).toMatchObject({ status: EgressStatus.EGRESS_ACTIVE, roomName: '' });
    const shown = execFileSync('ps', ['-eo', 'args'], { encoding: 'utf8' });
    expect(shown).toMatch(/--user-data-dir=\S+\/sluice-page-/);
    expect(shown, 'the page is told by the pipe, not on a command line').not.toContain('geheim');

    const info = await sluice.waitForEgress(egressId, ended);
    expect(info).toMatchObject({
      status: EgressStatus.EGRESS_COMPLETE,
      details: expect.stringMatching(/^End reason: Source closed/) as string,
    });
    expect(sluice.main.output, 'it has the whole picture').toContain('a page of 512x288');
    expect(leftOfPages(sluice.processes)).toEqual([]);
    expect(Number(info.segmentResults[0]?.segmentCount)).toBeGreaterThanOrEqual(3);
    const report = await analyse(info.fileResults[0]?.location ?? '', {
      tiles: [{ name: 'page', color: 'green', from: 1 }],
    });
    const [tile] = report.tiles;
    expect(report.decodeErrors).toEqual([]);
    expect(report.duration).toBeGreaterThan(5);
    expect(report.duration).toBeLessThan(8.5);
    expect(report.video).toMatchObject({ ...SIZE, monotonic: true });
    expect(tile!.color).toMatchObject({ closest: 'green' });
    expect(tile!.color.distance).toBeLessThan(12);
    expect(tile!.unreadable).toBe(0);
    expect(tile!.beepShare).toBeGreaterThanOrEqual(0.75);
    expect(tile!.avOffsetByCounter.p95).toBeLessThanOrEqual(80);
  });
});
