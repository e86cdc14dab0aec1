/**
 * A server and workers that share a data folder: what happens to running egresses when their worker is killed,
 * stopped and woken, told to go, or killed while it makes the file.
 */
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { StreamInfo_Status } from '@livekit/protocol';
import {
  EncodedFileOutput,
  EgressStatus,
  S3Upload,
  SegmentedFileOutput,
  StreamOutput,
} from 'livekit-server-sdk';
import type { EgressInfo } from 'livekit-server-sdk';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { TestPublisher } from '../../src/demo/publisher.ts';
import { redactStreamUrl } from '../../src/redact.ts';
import { gridRegion, publish, trackIds, SMALL, SMALL_CANVAS } from '../support/callers.ts';
import { analyse } from '../../src/demo/content/analyse.ts';
import type { ContentReport, TileFrame, TileReport, TileSpec } from '../../src/demo/content/analyse.ts';
import { startRedis } from '../support/redis.ts';
import type { TestRedis } from '../support/redis.ts';
import { API_KEY, API_SECRET, Sluice } from '../support/sluice.ts';
import type { SluiceProcess } from '../support/sluice.ts';
import { startNginxRtmp } from '../support/rtmp.ts';
import type { NginxRtmp } from '../support/rtmp.ts';
import { startSwift } from '../support/swift.ts';
import type { Swift } from '../support/swift.ts';
import { attemptContent, commandOf, gapsIn, pipelinePid, until } from '../support/takeover.ts';
import { startWebhookServer } from '../support/webhook-receiver.ts';
import type { WebhookServer } from '../support/webhook-receiver.ts';

const ROOM = 'takeover';
const BUCKET = 'takeover';
/** Media missing, seconds: worker killed, worker stopped as its machine would be, worker told to go. */
const MOST_MISSING = { killed: 5, stopped: 10, handedOver: 1 };
/** What a pipeline holds when it is lost begins this much before, seconds. */
const UNFLUSHED = 1.5;
/** Of the publishers. */
const FPS = 15;
const PLAYLIST = 'takeover/hls/room.m3u8';

const ended = ({ status }: EgressInfo) => status >= EgressStatus.EGRESS_COMPLETE;

/** Longest time within `from` and `to` in which the tile showed no new frame, seconds. */
function longestStandstill({ frames }: TileReport, { from, to }: { from: number; to: number }): number {
  let longest = 0;
  let shown: TileFrame | undefined;
  for (const frame of frames) {
    if (frame.counter === null || frame.counter === shown?.counter) continue;
    if (shown && shown.time >= from && shown.time <= to) longest = Math.max(longest, frame.time - shown.time);
    shown = frame;
  }
  return longest;
}

describe('egresses that outlive their workers', () => {
  let redis: TestRedis;
  let swift: Swift;
  let nginx: NginxRtmp;
  let webhooks: WebhookServer;
  let sluice: Sluice;
  const workers: SluiceProcess[] = [];
  const publishers: TestPublisher[] = [];
  /** A composite with file and HLS, a passthrough, and one that was making its file. */
  let removedAt = NaN;
  let ids: string[] = [];
  let endings: EgressInfo;
  const infos: EgressInfo[] = [];
  const reports: ContentReport[] = [];
  /** By egress, of the attempt whose worker was stopped: as it was taken over, and some seconds after it woke. */
  const frozen: { taken: Record<string, string>; later: Record<string, string>; pid: number }[] = [];
  let infoBefore: string;
  let infoAfter: string;
  /** Segments the playlist listed, as often as it was looked at. */
  const listed: number[] = [];
  let watching = true;
  let handOverCode: number | null;
  /** When each worker was lost, wall clock, ms. */
  const moments = { killed: 0, stopped: 0, handedOver: 0 };

  /** Where in the recording the loss of a worker shows. */
  function windowOf(how: keyof typeof moments, { startedAt }: EgressInfo): { from: number; to: number } {
    const seconds = (wallMs: number) => (wallMs - Number(startedAt) / 1e6) / 1000 - UNFLUSHED;
    const next = Math.min(...Object.values(moments).filter((at) => at > moments[how]));
    return { from: seconds(moments[how]), to: seconds(next) };
  }

  const alice: TileSpec = { name: 'alice', color: 'red', fps: FPS, from: 1.5 };
  const grid: TileSpec[] = [
    { ...alice, region: gridRegion(0, 2, SMALL_CANVAS) },
    { name: 'bob', color: 'green', fps: FPS, from: 1.5, region: gridRegion(1, 2, SMALL_CANVAS) },
  ];

  async function info(egressId: string): Promise<string> {
    const [found] = await sluice.egress.listEgress({ egressId });
    return found?.toJsonString() ?? '';
  }

  async function watchPlaylist(): Promise<void> {
    while (watching) {
      const text = await readFile(join(sluice.dataDir, 'recordings', PLAYLIST), 'utf8').catch(() => '');
      listed.push(text.split('#EXTINF').length - 1);
      await sleep(100);
    }
  }

  beforeAll(async () => {
    [redis, swift, nginx, webhooks] = await Promise.all([
      startRedis(),
      startSwift(),
      startNginxRtmp(),
      startWebhookServer(API_KEY, API_SECRET),
    ]);
    await swift.createBucket(BUCKET);
    sluice = await Sluice.start({
      mode: 'split',
      redisUrl: redis.url,
      env: { SLUICE_WEBHOOK_URLS: webhooks.url },
    });
    workers.push(await sluice.addWorker());
    publishers.push(await publish(sluice, ROOM, 'alice', { color: 'red', fps: FPS }));
    publishers.push(await publish(sluice, ROOM, 'bob', { color: 'green', fps: FPS }));
    const { audio, video } = await trackIds(sluice, ROOM, 'alice');
    const tracks = { ...(audio && { audioTrackId: audio }), ...(video && { videoTrackId: video }) };
    const s3 = new S3Upload({
      accessKey: swift.accessKey,
      secret: swift.secret,
      region: swift.region,
      endpoint: swift.endpoint,
      bucket: BUCKET,
      forcePathStyle: true,
    });
    const started = [
      await sluice.egress.startRoomCompositeEgress(
        ROOM,
        {
          file: new EncodedFileOutput({ filepath: 'takeover/room' }),
          segments: new SegmentedFileOutput({
            filenamePrefix: 'takeover/hls/room',
            playlistName: 'room.m3u8',
            segmentDuration: 2,
          }),
          stream: new StreamOutput({ urls: [nginx.url('stays'), nginx.url('removed')] }),
        },
        { layout: 'grid', encodingOptions: SMALL },
      ),
      await sluice.egress.startTrackCompositeEgress(
        ROOM,
        { file: new EncodedFileOutput({ filepath: 'takeover/alice' }) },
        tracks,
      ),
      await sluice.egress.startTrackCompositeEgress(
        ROOM,
        { file: new EncodedFileOutput({ filepath: 'ending/alice', output: { case: 's3', value: s3 } }) },
        tracks,
      ),
    ];
    ids = started.map(({ egressId }) => egressId);
    const [room, copy, ending] = ids as [string, string, string];
    for (const id of ids)
      await sluice.waitForEgress(id, ({ status }) => status === EgressStatus.EGRESS_ACTIVE);
    const watched = watchPlaylist();
    workers.push(await sluice.addWorker());
    await sluice.waitForEgress(room, ({ streamResults }) =>
      streamResults.every(({ startedAt }) => startedAt > 0n),
    );
    await sluice.egress.updateStream(room, [], [nginx.url('removed')]);
    removedAt = Date.now();
    await sleep(4000);

    // The first worker is killed, with one egress in the middle of its upload.
    swift.pause();
    await sluice.egress.stopEgress(ending);
    await workers[0]!.logged('file made');
    moments.killed = Date.now();
    workers[0]!.child.kill('SIGKILL');
    swift.resume();
    for (const id of [room, copy]) await pipelinePid(sluice, id, { attempt: 2 });
    endings = await sluice.waitForEgress(ending, ended);
    workers.push(await sluice.addWorker());
    await sleep(3000);

    // The second is stopped, as its machine would be, until the third has taken over, then woken.
    const pids: number[] = [];
    for (const id of [room, copy]) pids.push(await pipelinePid(sluice, id, { attempt: 2 }));
    moments.stopped = Date.now();
    // Its pipelines with it: a machine that is gone sends no FIN and answers nothing.
    workers[1]!.child.kill('SIGSTOP');
    for (const pid of pids) process.kill(pid, 'SIGSTOP');
    for (const id of [room, copy]) await pipelinePid(sluice, id, { attempt: 3 });
    const taken = await Promise.all([room, copy].map((id) => attemptContent(sluice, id, 2)));
    infoBefore = await info(copy);
    workers[1]!.child.kill('SIGCONT');
    await sleep(4000);
    const later = await Promise.all([room, copy].map((id) => attemptContent(sluice, id, 2)));
    infoAfter = await info(copy);
    pids.forEach((pid, index) => frozen.push({ taken: taken[index]!, later: later[index]!, pid }));

    // The third is told to go, and the second, awake again, goes on.
    moments.handedOver = Date.now();
    handOverCode = await workers[2]!.stop();
    for (const id of [room, copy]) await pipelinePid(sluice, id, { attempt: 4 });
    await sleep(4000);
    for (const id of [room, copy]) await sluice.egress.stopEgress(id);
    for (const id of [room, copy]) {
      const result = await sluice.waitForEgress(id, ended);
      infos.push(result);
      const location = result.fileResults[0]?.location;
      if (!location) throw new Error(`no file: ${result.toJsonString()}\n${sluice.tail()}`);
      reports.push(await analyse(location, { tiles: infos.length === 1 ? grid : [alice] }));
    }
    watching = false;
    await watched;
    await until('every egress_ended was told', () => told('egress_ended').length === 3);
  }, 150_000);

  afterAll(async () => {
    watching = false;
    for (const publisher of publishers) await publisher.stop();
    await sluice?.stop();
    await webhooks?.close();
    await swift?.stop();
    await nginx?.close();
    await redis?.stop();
  });

  const told = (name: string) => webhooks.received.filter(({ event }) => event.event === name);

  describe.each([
    [0, 'a composite'],
    [1, 'a passthrough'],
  ])('egress %i, %s', (index) => {
    it('is COMPLETE, with one file', () => {
      expect(infos[index]!.status, `${infos[index]!.error}\n${sluice.tail()}`).toBe(
        EgressStatus.EGRESS_COMPLETE,
      );
      expect(infos[index]!.fileResults).toHaveLength(1);
      expect(infos[index]!.error).toBe('');
    });

    it.each(['killed', 'stopped', 'handedOver'] as const)('misses little when its worker is %s', (how) => {
      const around = windowOf(how, infos[index]!);
      for (const tile of reports[index]!.tiles) {
        const missing = longestStandstill(tile, around);
        expect(missing).toBeLessThanOrEqual(MOST_MISSING[how]);
        // What can be seen to be missing is told, with its cause.
        const told = gapsIn(infos[index]!.details).filter(
          ({ from }) => from >= around.from && from <= around.to,
        );
        if (missing > 0.4) {
          expect(told, infos[index]!.details).toHaveLength(1);
          expect(told[0]!.reason).toBe('another worker took over');
          // A tile stands still a little longer than the log has a gap: its first keyframe has to come.
          expect(Math.abs(told[0]!.to - told[0]!.from - missing)).toBeLessThan(0.8);
        }
      }
    });

    it('is as long as the egress was, the rest in order and in sync', () => {
      const report = reports[index]!;
      const seconds = Number(infos[index]!.endedAt - infos[index]!.startedAt) / 1e9;
      expect(Math.abs(report.duration - seconds)).toBeLessThan(0.5);
      expect(report.video!.monotonic).toBe(true);
      expect(report.decodeErrors).toEqual([]);
      for (const tile of report.tiles) {
        expect(tile.inOrder).toBe(true);
        // What is missing is missing at the takeovers, and nowhere else.
        const lost = (['killed', 'stopped', 'handedOver'] as const).map((how) =>
          longestStandstill(tile, windowOf(how, infos[index]!)),
        );
        const sum = lost.reduce((total, each) => total + each, 0);
        expect(tile.missing.length / FPS).toBeLessThan(sum + 0.03 * report.duration);
        expect(tile.avOffset.p95).toBeLessThanOrEqual(80);
      }
    });

    it('takes nothing from the worker that woke up late', async () => {
      const { taken, later, pid } = frozen[index]!;
      expect(later).toEqual(taken);
      expect(await commandOf(pid)).toBeUndefined();
      expect(workers[1]!.output).toContain('superseded: a newer attempt goes on');
    });
  });

  it('goes on with the streams, and remembers the one that was removed', async () => {
    const byUrl = (key: string) =>
      infos[0]!.streamResults.filter(({ url }) => url === redactStreamUrl(nginx.url(key)));
    const [stays] = byUrl('stays');
    const [removed] = byUrl('removed');
    expect(infos[0]!.streamResults).toHaveLength(2);
    for (const stream of [stays, removed]) {
      expect(stream?.status).toBe(StreamInfo_Status.FINISHED);
      expect(stream?.error).toBe('');
      expect(stream!.duration).toBe(stream!.endedAt - stream!.startedAt);
    }
    // It ended when it was removed, whatever came later.
    expect(Math.abs(Number(removed!.endedAt) / 1e6 - removedAt)).toBeLessThan(2500);
    expect(Number(stays!.duration) / 1e9).toBeGreaterThan(reports[0]!.duration - 3);
    // A connection each worker, and no other that was not told of.
    expect(await nginx.recordings('removed')).toHaveLength(1);
    const files = await nginx.recordings('stays');
    expect(files.length).toBeGreaterThanOrEqual(4);
    expect(files.length).toBeLessThanOrEqual(4 + stays!.retries);
    const report = await analyse(files.at(-1)!, { tiles: grid.map((tile) => ({ ...tile, from: 0 })) });
    expect(report.decodeErrors).toEqual([]);
    for (const tile of report.tiles) expect(tile.read).toBeGreaterThan(60);
  });

  it('lets the worker that woke up late touch no EgressInfo', () => {
    expect(infoAfter).toBe(infoBefore);
  });

  it('never takes a segment out of the broadcast', () => {
    expect(listed.at(-1)).toBeGreaterThan(5);
    expect(listed.every((count, at) => at === 0 || count >= listed[at - 1]!)).toBe(true);
  });

  it('makes the broadcast whole, with a discontinuity at each takeover', async () => {
    const text = await readFile(join(sluice.dataDir, 'recordings', PLAYLIST), 'utf8');
    expect(text).toContain('#EXT-X-ENDLIST');
    expect(text.split('#EXT-X-DISCONTINUITY\n').length - 1).toBe(3);
    const { duration, decodeErrors } = await analyse(join(sluice.dataDir, 'recordings', PLAYLIST), {
      tiles: [],
    });
    expect(decodeErrors).toEqual([]);
    const gaps = gapsIn(infos[0]!.details).reduce((sum, { from, to }) => sum + to - from, 0);
    expect(Math.abs(duration - (reports[0]!.duration - gaps))).toBeLessThan(1);
  });

  it('finishes what a killed worker was uploading', async () => {
    expect(endings.status, endings.error).toBe(EgressStatus.EGRESS_COMPLETE);
    expect(endings.details).toBe('End reason: StopEgress API');
    const [result] = endings.fileResults;
    const bytes = await swift.get(BUCKET, 'ending/alice.mp4');
    expect(Number(result?.size)).toBe(bytes.length);
    expect(await swift.list(BUCKET)).toEqual([`ending/${endings.egressId}.json`, 'ending/alice.mp4']);
    expect(Number(result?.duration) / 1e9).toBeGreaterThan(3);
  });

  it('exits with 0 when told to go', async () => {
    expect(handOverCode).toBe(0);
    if (workers[0]!.running) await once(workers[0]!.child, 'exit');
    expect(workers[0]!.child.signalCode).toBe('SIGKILL');
  });

  it('tells of each egress in order, each change once', () => {
    expect(webhooks.rejected).toEqual([]);
    const seen = webhooks.received.map(({ event }) => event.id);
    expect(new Set(seen).size).toBe(seen.length);
    for (const id of ids) {
      const events = webhooks.received.filter(({ event }) => event.egressInfo?.egressId === id);
      const names = events.map(({ event }) => event.event);
      expect(names[0]).toBe('egress_started');
      expect(names.at(-1)).toBe('egress_ended');
      expect(names.slice(1, -1).every((name) => name === 'egress_updated')).toBe(true);
      const statuses = events.map(({ event }) => event.egressInfo!.status);
      expect(statuses).toEqual([...statuses].sort((a, b) => a - b));
      expect([...new Set(statuses)]).toEqual([
        EgressStatus.EGRESS_STARTING,
        EgressStatus.EGRESS_ACTIVE,
        EgressStatus.EGRESS_ENDING,
        EgressStatus.EGRESS_COMPLETE,
      ]);
      const updated = events.map(({ event }) => event.egressInfo!.updatedAt);
      expect(updated.every((at, each) => each === 0 || at >= updated[each - 1]!)).toBe(true);
    }
  });
});
