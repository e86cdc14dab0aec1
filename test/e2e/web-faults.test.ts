/** Web pages and templates as egresses: what goes wrong with them, what they get and may reach; nothing is left behind. */
import { execFileSync } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { EncodedFileOutput, EncodingOptions } from 'livekit-server-sdk';
import { EgressStatus } from '@livekit/protocol';
import type { EgressInfo } from 'livekit-server-sdk';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { analyse } from '../../src/demo/content/analyse.ts';
import { publish } from '../support/callers.ts';
import { startRedis } from '../support/redis.ts';
import type { TestRedis } from '../support/redis.ts';
import { Sluice } from '../support/sluice.ts';
import { leftOfPages, startWebPages } from '../support/web-pages.ts';
import type { WebPages } from '../support/web-pages.ts';

const ENCODING = new EncodingOptions({
  ...{ width: 640, height: 360, framerate: 30, videoBitrate: 1500 },
});
/** For pages of which little is looked at: they are painted without a graphics card. */
const SMALL = new EncodingOptions({
  ...{ width: 512, height: 288, framerate: 15, videoBitrate: 600 },
});

let redis: TestRedis;
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
      response.writeHead(200, { 'content-type': 'text/html' }).end(`<script>
          const end = () => console.log("END_RECORDING");
          fetch("http://169.254.169.254/latest/", { mode: "no-cors" })
            .finally(() => fetch("/refused"))
            .finally(() => setTimeout(end, 3000));
        </script>`),
  });
  redis = await startRedis();
  const env = { SLUICE_EGRESS_WEB_LOAD_TIMEOUT: '6' };
  sluice = await Sluice.start({ mode: 'split', redisUrl: redis.url, env });
  await sluice.addWorker();
});

afterAll(async () => {
  expect(sluice && leftBehind()).toEqual([]);
  await sluice?.stop();
  await redis?.stop();
  await pages?.close();
});

/** What every process has logged. */
const logged = (): string => sluice.processes.map(({ output }) => output).join('\n');

const ended = ({ status }: EgressInfo): boolean => status >= EgressStatus.EGRESS_COMPLETE;

const startedAtMs = ({ startedAt }: EgressInfo): number => Number(startedAt / 1_000_000n);

function fileOf(info: EgressInfo): string {
  return info.fileResults[0]?.location ?? '';
}

const leftBehind = (): string[] => leftOfPages(sluice.processes);

/** Ends processes of the page that is recorded. */
function endProcesses(command: RegExp): void {
  const folder = `sluice-page-${sluice.processes[1]?.child.pid}-`;
  const lines = execFileSync('ps', ['-eo', 'pid=,args='], { encoding: 'utf8' }).split('\n');
  const found = lines.flatMap((line) => {
    const [, pid = '', args = ''] = /^\s*(\d+) (.*)$/.exec(line) ?? [];
    return args.includes(folder) && command.test(args) ? [Number(pid)] : [];
  });
  expect(found, `processes like ${command.source}`).not.toEqual([]);
  for (const pid of found) process.kill(pid, 'SIGKILL');
}

/** Waits until what is done has had the page loaded again. */
async function reloaded(work: () => void): Promise<void> {
  const loads = () => logged().split('the page was loaded').length;
  const before = loads();
  work();
  for (const deadline = Date.now() + 30_000; loads() === before;) {
    if (Date.now() > deadline) throw new Error(`the page was not loaded again\n${sluice.tail()}`);
    await sleep(50);
  }
}

describe('a page', () => {
  test('whose process, sound server and worker die comes back in the same file', async () => {
    const { egressId } = await sluice.egress.startWebEgress(
      `${pages.url}/marked?color=blue&fps=15`,
      { file: new EncodedFileOutput({ filepath: 'crashes' }) },
      { encodingOptions: SMALL },
    );
    const active = ({ status }: EgressInfo) => status === EgressStatus.EGRESS_ACTIVE;
    await sluice.waitForEgress(egressId, active);
    await reloaded(() => endProcesses(/--type=renderer/));
    await reloaded(() => endProcesses(/^pulseaudio /));
    await sluice.addWorker();
    await reloaded(() => sluice.processes[1]?.child.kill('SIGKILL'));
    // What is recorded goes on after it.
    await sleep(2500);
    await sluice.egress.stopEgress(egressId);
    const info = await sluice.waitForEgress(egressId, ended);
    expect(info.status).toBe(EgressStatus.EGRESS_COMPLETE);
    expect(info.details).toMatch(/the page was brought back at [\d.]+ s: the page crashed/);
    expect(info.details).toMatch(/the page was brought back at [\d.]+ s: the sound server is gone/);
    expect(info.details).toMatch(/gap from [\d.]+ s to [\d.]+ s: another worker took over/);
    expect(leftBehind()).toEqual([]);
    const report = await analyse(fileOf(info), { tiles: [{ name: 'page', color: 'blue', fps: 15 }] });
    expect(report.decodeErrors).toEqual([]);
    const [tile] = report.tiles;
    // Each time it counts from its beginning again; it is seen and heard until the end.
    const last = tile!.frames.findLast(({ counter }) => counter !== null);
    expect(last!.time).toBeGreaterThan(report.duration - 1);
    expect(tile!.beeps.at(-1)).toBeGreaterThan(report.duration - 1.6);
  });
});

describe.concurrent('beside each other', () => {
  test('a page that cannot be recorded says why, and what it may not reach it does not reach', async () => {
    const start = async (path: string) => {
      const { egressId } = await sluice.egress.startWebEgress(
        `${pages.url}${path}?key=geheim`,
        { file: new EncodedFileOutput({ filepath: 'never' }) },
        { encodingOptions: SMALL },
      );
      return sluice.waitForEgress(egressId, ended, 60_000);
    };
    const [missing, hangs, early, inside] = await Promise.all(
      ['/nothing', '/hangs', '/early', '/inside'].map(start),
    );
    const failed = (why: string) => ({
      ...{ status: EgressStatus.EGRESS_FAILED, errorCode: 400 },
      error: `the page at ${pages.host} cannot be recorded: ${why}`,
    });
    expect(missing).toMatchObject(failed('its server answered 404'));
    expect(hangs).toMatchObject(failed('it did not load within 6 s'));
    const error = 'the page sent END_RECORDING before it was recorded';
    expect(early).toMatchObject({ status: EgressStatus.EGRESS_ABORTED, errorCode: 412, error });
    expect(inside).toMatchObject({ status: EgressStatus.EGRESS_COMPLETE });
    expect(pages.requests, 'what the page asked for was refused').toContain('/refused');
    expect(logged()).toMatch(/169\.254\.169\.254 is in 169\.254\.0\.0\/16/);
    expect(logged(), 'queries are not logged').not.toContain('geheim');
  });

  test('a template of one’s own gets LiveKit’s query, shows the room over WHEP, and hears of another layout', async () => {
    const room = 'templates';
    const publishers = [await publish(sluice, room, 'alice', { color: 'red', fps: 15 })];
    try {
      const { egressId } = await sluice.egress.startRoomCompositeEgress(
        room,
        { file: new EncodedFileOutput({ filepath: 'template' }) },
        { layout: 'grid', customBaseUrl: `${pages.url}/template?slots=2`, encodingOptions: ENCODING },
      );
      const active = await sluice.waitForEgress(
        egressId,
        ({ status }) => status >= EgressStatus.EGRESS_ACTIVE,
      );
      const asked = pages.requests.find((path) => path.startsWith('/template'));
      const query = new URL(asked ?? '', pages.url).searchParams;
      expect(Object.fromEntries(query)).toMatchObject({
        ...{ slots: '2', layout: 'grid', room },
        url: sluice.url.replace('http', 'ws'),
        whep: `${sluice.url}/whep`,
      });
      expect(logged(), 'it has said its address').toMatch(/"?line"?:.{0,3}http:\/\/\S+\/template\?slots=2/);
      expect(logged(), 'tokens are not logged').not.toContain(query.get('token'));
      await sluice.processes[2]?.logged('media comes over tcp');
      await sleep(3000);
      const changed = (Date.now() - startedAtMs(active)) / 1000;
      await sluice.egress.updateLayout(egressId, 'speaker');
      await sleep(3500);
      await sluice.egress.stopEgress(egressId);
      const info = await sluice.waitForEgress(egressId, ended);
      expect(info.status).toBe(EgressStatus.EGRESS_COMPLETE);
      const report = await analyse(fileOf(info), {
        tiles: [
          // Two places side by side, then one.
          {
            ...{ name: 'grid', color: 'red', fps: 15, from: 1, to: changed - 0.5 },
            region: { x: 0, y: 90, width: 320, height: 180 },
          },
          { name: 'speaker', color: 'red', fps: 15, from: changed + 1.5 },
        ],
      });
      expect(report.decodeErrors).toEqual([]);
      for (const tile of report.tiles) {
        expect(tile.color, tile.name).toMatchObject({ closest: 'red' });
        expect(tile.read, tile.name).toBeGreaterThan(20);
        expect(tile.unreadable, tile.name).toBeLessThanOrEqual(2);
        expect(tile.beepShare, tile.name).toBeGreaterThan(0.6);
      }
    } finally {
      for (const each of publishers) await each.stop();
    }
  });
});
