/** Web pages as egresses: what is on the display and what sounds is in the recording, and nothing is left behind. */
import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { EncodedFileOutput, EncodingOptions } from 'livekit-server-sdk';
import { EgressStatus } from '@livekit/protocol';
import type { EgressInfo } from 'livekit-server-sdk';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { analyse } from '../../src/demo/content/analyse.ts';
import { Sluice } from '../support/sluice.ts';
import { startWebPages } from '../support/web-pages.ts';
import type { WebPages } from '../support/web-pages.ts';

const ENCODING = new EncodingOptions({
  ...{ width: 640, height: 360, framerate: 30, videoBitrate: 1500 },
});

let sluice: Sluice;
let pages: WebPages;

beforeAll(async () => {
  pages = await startWebPages({
    '/hangs': () => undefined,
    '/early': (_, response) =>
      response
        .writeHead(200, { 'content-type': 'text/html' })
        .end('<script>console.log("END_RECORDING")</script>'),
    '/inside': (_, response) =>
      response
        .writeHead(200, { 'content-type': 'text/html' })
        .end('<script>fetch("http://169.254.169.254/latest/").catch(() => fetch("/refused"))</script>'),
  });
  sluice = await Sluice.start({ env: { SLUICE_EGRESS_WEB_LOAD_TIMEOUT: '10' } });
});

afterAll(async () => {
  await sluice?.stop();
  await pages?.close();
});

const ended = ({ status }: EgressInfo): boolean => status >= EgressStatus.EGRESS_COMPLETE;

function fileOf(info: EgressInfo): string {
  return info.fileResults[0]?.location ?? '';
}

/** Processes whose command line or environment has a page's folder in it. */
function leftBehind(): string[] {
  const worker = sluice.main.child.pid ?? 0;
  const folders = ['/tmp', tmpdir()].flatMap((place) =>
    readdirSync(place).filter((name) => name.startsWith(`sluice-page-${worker}-`)),
  );
  const lines = execFileSync('ps', ['-eo', 'args'], { encoding: 'utf8' }).split('\n');
  return [...folders, ...lines.filter((line) => line.includes(`sluice-page-${worker}-`))];
}

describe('a page', () => {
  test('is recorded between its signals, as it is seen and heard', async () => {
    const url = `${pages.url}/marked?color=green&start=500&end=7000&key=geheim`;
    const { egressId } = await sluice.egress.startWebEgress(
      url,
      { file: new EncodedFileOutput({ filepath: 'page' }) },
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
    expect(leftBehind()).toEqual([]);
    const report = await analyse(fileOf(info), { tiles: [{ name: 'page', color: 'green', from: 1 }] });
    const [tile] = report.tiles;
    expect(report.decodeErrors).toEqual([]);
    expect(report.duration).toBeGreaterThan(5);
    expect(report.duration).toBeLessThan(8.5);
    expect(report.video).toMatchObject({ width: 640, height: 360, monotonic: true });
    expect(tile!.color).toMatchObject({ closest: 'green' });
    expect(tile!.color.distance).toBeLessThan(12);
    expect(tile!.unreadable).toBe(0);
    expect(tile!.beepShare).toBeGreaterThan(0.8);
    expect(tile!.avOffsetByCounter.p95).toBeLessThanOrEqual(80);
  });

  test.each([
    ['is not there', '/nothing', 'its server answered 404'],
    ['never answers', '/hangs', 'it did not load within 10 s'],
  ])('that %s fails with the reason', async (_name, path, reason) => {
    const { egressId } = await sluice.egress.startWebEgress(`${pages.url}${path}?key=geheim`, {
      file: new EncodedFileOutput({ filepath: 'never' }),
    });
    const info = await sluice.waitForEgress(egressId, ended);
    expect(info).toMatchObject({
      status: EgressStatus.EGRESS_FAILED,
      error: `the page at ${pages.host} cannot be recorded: ${reason}`,
      errorCode: 400,
    });
    expect(sluice.main.output).not.toContain('geheim');
  });
});
