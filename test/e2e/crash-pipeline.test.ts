/** Pipelines killed with -9 and hung in the middle of recordings, and SIGTERM in the middle of another. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { EncodedFileOutput, EgressStatus } from 'livekit-server-sdk';
import type { EgressInfo } from 'livekit-server-sdk';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { TestPublisher } from '../../src/demo/publisher.ts';
import { gridRegion, publish, trackIds, SMALL, SMALL_CANVAS } from '../support/callers.ts';
import { analyse } from '../../src/demo/content/analyse.ts';
import type { ContentReport, TileSpec } from '../../src/demo/content/analyse.ts';
import { API_KEY, API_SECRET, Sluice } from '../support/sluice.ts';
import { commandOf, gapsIn, pipelinePid, until } from '../support/takeover.ts';
import { startWebhookServer } from '../support/webhook-receiver.ts';
import type { WebhookServer } from '../support/webhook-receiver.ts';

const ROOM = 'crash';
/** The bound: media missing after a pipeline was killed, seconds. */
const MOST_MISSING = 3;
/** A pipeline that hangs is noticed after four to five seconds, and restarted within two. */
const MOST_HUNG = 7;

/** Of the publishers. */
const FPS = 15;

const HUNG = '"reason":"hung: no answer for';

const file = (filepath: string) => ({ file: new EncodedFileOutput({ filepath }) });

describe('one process, three recordings', () => {
  let sluice: Sluice;
  let webhooks: WebhookServer;
  const publishers: TestPublisher[] = [];
  const killed: number[] = [];
  let noticedAt = 0;
  const infos: EgressInfo[] = [];
  const reports: ContentReport[] = [];

  const alice: TileSpec = { name: 'alice', color: 'red', fps: FPS, from: 1.5 };
  const grid: TileSpec[] = [
    { ...alice, region: gridRegion(0, 2, SMALL_CANVAS) },
    { name: 'bob', color: 'green', fps: FPS, from: 1.5, region: gridRegion(1, 2, SMALL_CANVAS) },
  ];

  beforeAll(async () => {
    webhooks = await startWebhookServer(API_KEY, API_SECRET);
    sluice = await Sluice.start({ env: { SLUICE_WEBHOOK_URLS: webhooks.url } });
    publishers.push(await publish(sluice, ROOM, 'alice', { color: 'red', fps: FPS }));
    publishers.push(await publish(sluice, ROOM, 'bob', { color: 'green', fps: FPS }));
    const { audio, video } = await trackIds(sluice, ROOM, 'alice');
    const started = [
      await sluice.egress.startRoomCompositeEgress(ROOM, file('crash/room'), {
        layout: 'grid',
        encodingOptions: SMALL,
      }),
      await sluice.egress.startTrackCompositeEgress(ROOM, file('crash/alice'), {
        ...(audio && { audioTrackId: audio }),
        ...(video && { videoTrackId: video }),
      }),
      await sluice.egress.startTrackCompositeEgress(ROOM, file('crash/hung'), {
        ...(audio && { audioTrackId: audio }),
        ...(video && { videoTrackId: video }),
      }),
    ];
    for (const { egressId } of started) {
      await sluice.waitForEgress(egressId, ({ status }) => status === EgressStatus.EGRESS_ACTIVE);
      killed.push(await pipelinePid(sluice, egressId));
    }
    await sleep(6000);
    killed.forEach((pid, index) => process.kill(pid, index < 2 ? 'SIGKILL' : 'SIGSTOP'));
    await until('the pipeline that hangs was noticed', () => sluice.main.output.includes(HUNG), 8000);
    noticedAt = Date.now();
    await sleep(4000);
    for (const { egressId } of started) await sluice.egress.stopEgress(egressId);
    for (const { egressId } of started) {
      const info = await sluice.waitForEgress(
        egressId,
        ({ status }) => status >= EgressStatus.EGRESS_COMPLETE,
      );
      infos.push(info);
      const result = info.fileResults[0];
      if (!result?.location) throw new Error(`no file: ${info.toJsonString()}\n${sluice.tail()}`);
      reports.push(await analyse(result.location, { tiles: infos.length === 1 ? grid : [alice] }));
    }
  }, 120_000);

  afterAll(async () => {
    for (const publisher of publishers) await publisher.stop();
    await sluice?.stop();
    await webhooks?.close();
  });

  describe.each([
    [0, 'composite'],
    [1, 'passthrough'],
    [2, 'passthrough'],
  ])('egress %i, a %s', (index, program) => {
    const most = index < 2 ? MOST_MISSING : MOST_HUNG;

    it('is of that kind, and its pipeline is gone', async () => {
      expect(sluice.main.output).toContain(`"program":"${program}"`);
      expect(await commandOf(killed[index]!)).toBeUndefined();
    });

    it('is one finished file, and says what is missing', () => {
      const info = infos[index]!;
      expect(info.status, `${info.error}\n${sluice.tail()}`).toBe(EgressStatus.EGRESS_COMPLETE);
      expect(info.fileResults).toHaveLength(1);
      const gaps = gapsIn(info.details);
      expect(gaps, info.details).toHaveLength(1);
      expect(gaps[0]!.reason).toBe('the pipeline was restarted');
      expect(gaps[0]!.from).toBeGreaterThan(3);
      expect(gaps[0]!.to - gaps[0]!.from).toBeLessThanOrEqual(most);
      const { video } = reports[index]!;
      // The sound is back before the picture, which needs a keyframe.
      expect(Math.abs(video!.maxGapMs / 1000 - (gaps[0]!.to - gaps[0]!.from))).toBeLessThan(1.2);
    });

    it('is as long as the egress was', () => {
      const info = infos[index]!;
      const seconds = Number(info.endedAt - info.startedAt) / 1e9;
      expect(Math.abs(reports[index]!.duration - seconds)).toBeLessThan(0.5);
      expect(reports[index]!.video!.monotonic).toBe(true);
      expect(reports[index]!.decodeErrors).toEqual([]);
    });

    it('holds the rest of every participant, in order and in sync', () => {
      const { video, tiles } = reports[index]!;
      for (const tile of tiles) {
        expect(tile.inOrder).toBe(true);
        expect(tile.longestGapMs).toBeLessThanOrEqual(most * 1000);
        // What is missing is missing in the one gap, and nowhere else.
        const lost = tile.missing.length / FPS;
        expect(lost).toBeLessThan(tile.longestGapMs / 1000 + 0.06 * video!.lastTime);
        // The first two seconds go by arrival, until reports have agreed: the median tells whether the lips are in sync.
        expect(Math.abs(tile.avOffset.p50)).toBeLessThanOrEqual(80);
        expect(tile.avOffset.count).toBeGreaterThan(4);
      }
    });
  });

  it('restarts what hung within two seconds of noticing', () => {
    const { startedAt, details } = infos[2]!;
    const [gap] = gapsIn(details);
    expect(Number(startedAt) / 1e6 + gap!.to * 1000 - noticedAt).toBeLessThan(2000);
  });

  it('removes the log of what is finished', async () => {
    expect((await readdir(join(sluice.dataDir, 'egress'))).filter((name) => name.startsWith('EG_'))).toEqual(
      [],
    );
  });

  describe('SIGTERM during a recording', () => {
    let last: EgressInfo;
    let code: number | null;
    let children: number[];

    beforeAll(async () => {
      const { egressId } = await sluice.egress.startRoomCompositeEgress(ROOM, file('crash/last'), {
        layout: 'grid',
        encodingOptions: SMALL,
      });
      await sluice.waitForEgress(egressId, ({ status }) => status === EgressStatus.EGRESS_ACTIVE);
      await sleep(3000);
      children = [await pipelinePid(sluice, egressId)];
      code = await sluice.main.stop();
      last = await until('egress_ended was told', () => {
        const told = webhooks.received.find(
          ({ event }) => event.event === 'egress_ended' && event.egressInfo?.egressId === egressId,
        );
        return told?.event.egressInfo;
      });
    }, 60_000);

    it('finishes the file and exits with 0', async () => {
      expect(code).toBe(0);
      expect(last.status).toBe(EgressStatus.EGRESS_COMPLETE);
      expect(last.details).toBe('End reason: Service shutting down');
      const report = await analyse(last.fileResults[0]!.location, {
        tiles: grid.map((tile) => ({ ...tile, from: 1 })),
      });
      expect(report.duration).toBeGreaterThan(2.5);
      expect(report.video!.maxGapMs).toBeLessThan(200);
      expect(report.decodeErrors).toEqual([]);
      for (const tile of report.tiles) expect(tile.share).toBeGreaterThan(0.97);
    });

    it('leaves no process and no log', async () => {
      for (const pid of children) expect(await commandOf(pid)).toBeUndefined();
      expect(
        (await readdir(join(sluice.dataDir, 'egress'))).filter((name) => name.startsWith('EG_')),
      ).toEqual([]);
    });
  });
});
