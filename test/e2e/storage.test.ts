/** Recordings and broadcasts in an S3 bucket, and what becomes of those whose bucket does not take them. */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { EncodedFileOutput, EgressStatus, S3Upload, SegmentedFileOutput } from 'livekit-server-sdk';
import type { EgressInfo } from 'livekit-server-sdk';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { TestPublisher } from '../../src/demo/publisher.ts';
import { publish, trackIds, SMALL } from '../support/callers.ts';
import { analyse } from '../../src/demo/content/analyse.ts';
import { assertPlaylist } from '../support/hls-rules.ts';
import { API_KEY, API_SECRET, Sluice } from '../support/sluice.ts';
import { startSwift } from '../support/swift.ts';
import type { Swift } from '../support/swift.ts';
import { until } from '../support/takeover.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';
import { startWebhookServer } from '../support/webhook-receiver.ts';
import type { WebhookServer } from '../support/webhook-receiver.ts';

const ROOM = 'storage';
const CONFIGURED = 'configured-bucket';
const REQUESTED = 'requested-bucket';
const MISSING = 'missing-bucket';
const WRONG_SECRET = 'wr0ng-s3cret-0f-the-test';
const PLAYLIST = 'show/call.m3u8';
const LIVE_PLAYLIST = 'show/live.m3u8';
/** How long is recorded, and of segments. */
const SECONDS = 7;
const SEGMENT_SECONDS = 1;

const ended = ({ status }: EgressInfo) => status >= EgressStatus.EGRESS_COMPLETE;
const md5 = (bytes: Uint8Array) => createHash('md5').update(bytes).digest('hex');

describe('recordings in S3', () => {
  let folder: string;
  let swift: Swift;
  let webhooks: WebhookServer;
  let sluice: Sluice;
  let alice: TestPublisher;
  let configured: EgressInfo;
  let requested: EgressInfo;
  /** Everything of the configured bucket goes through it. */
  let proxy: TcpProxy;
  let noBucket: EgressInfo;
  let denied: EgressInfo;
  /** What was wrong whenever the live playlists were looked at: segments they listed that were not there. */
  const notThere: string[] = [];
  /** How many segments the playlist listed, each time. */
  const listed: number[] = [];
  /** Playlists as they were last. */
  const looked = new Map<string, string>();
  let logs = '';
  let lost: Promise<void>;
  let atTheEnd: EgressInfo;
  let afterwards: EgressInfo;
  let kept: string;
  /** Whether the file was still here when the bucket did not have it whole. */
  const lostMoments: string[] = [];

  async function text(bucket: string, key: string): Promise<string> {
    return Buffer.from(await swift.get(bucket, key)).toString();
  }

  const segmentsOf = (playlist: string) =>
    playlist.split('\n').filter((line) => line !== '' && !line.startsWith('#'));

  /** Reads a playlist, then what is in the bucket: never the other way round. */
  async function lookAtBroadcast(): Promise<void> {
    for (const key of [PLAYLIST, LIVE_PLAYLIST]) {
      const playlist = await text(CONFIGURED, key).catch(() => undefined);
      if (playlist === undefined) continue;
      // What it lists was there when it was looked at before.
      if (looked.get(key) === playlist) continue;
      looked.set(key, playlist);
      const names = segmentsOf(playlist);
      if (key === PLAYLIST) listed.push(names.length);
      const there = new Set(await swift.list(CONFIGURED));
      notThere.push(...names.filter((name) => !there.has(`show/${name}`)));
    }
  }

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'sluice-storage-test-'));
    [swift, webhooks] = await Promise.all([startSwift(), startWebhookServer(API_KEY, API_SECRET)]);
    proxy = await TcpProxy.start(swift.endpoint);
    await swift.createBucket(CONFIGURED);
    await swift.createBucket(REQUESTED);
    sluice = await Sluice.start({
      env: {
        SLUICE_WEBHOOK_URLS: webhooks.url,
        SLUICE_STORAGE_TYPE: 's3',
        SLUICE_STORAGE_S3_BUCKET: CONFIGURED,
        SLUICE_STORAGE_S3_REGION: swift.region,
        SLUICE_STORAGE_S3_ENDPOINT: proxy.url,
        SLUICE_STORAGE_UPLOAD_WAIT: '2',
        SLUICE_STORAGE_S3_ACCESS_KEY: swift.accessKey,
        SLUICE_STORAGE_S3_SECRET: swift.secret,
        SLUICE_STORAGE_S3_FORCE_PATH_STYLE: 'true',
      },
    });
    alice = await publish(sluice, ROOM, 'alice', { color: 'red', fps: 15 });
    const { audio, video } = await trackIds(sluice, ROOM, 'alice');
    const tracks = { ...(audio && { audioTrackId: audio }), ...(video && { videoTrackId: video }) };
    const { endpoint, region, accessKey, secret } = swift;
    const access = { endpoint, region, accessKey, secret, forcePathStyle: true };
    const s3 = (change: Partial<S3Upload>) => ({
      case: 's3' as const,
      value: new S3Upload({ ...access, ...change }),
    });
    const started = await Promise.all([
      sluice.egress.startRoomCompositeEgress(
        ROOM,
        {
          file: new EncodedFileOutput({ filepath: 'show/call' }),
          segments: new SegmentedFileOutput({
            ...{ filenamePrefix: 'show/part', playlistName: 'call.m3u8', livePlaylistName: 'live.m3u8' },
            segmentDuration: SEGMENT_SECONDS,
          }),
        },
        { layout: 'grid', encodingOptions: SMALL },
      ),
      sluice.egress.startTrackCompositeEgress(
        ROOM,
        {
          file: new EncodedFileOutput({
            filepath: 'asked/{room_name}',
            output: s3({
              ...{ bucket: REQUESTED, metadata: { show: 'evening' } },
              contentDisposition: 'attachment; filename="show.mp4"',
            }),
          }),
        },
        tracks,
      ),
      sluice.egress.startTrackCompositeEgress(
        ROOM,
        { file: new EncodedFileOutput({ filepath: 'lost/call', output: s3({ bucket: MISSING }) }) },
        tracks,
      ),
      sluice.egress.startTrackCompositeEgress(
        ROOM,
        {
          file: new EncodedFileOutput({
            filepath: 'denied/call',
            output: s3({ bucket: REQUESTED, secret: WRONG_SECRET }),
          }),
          segments: new SegmentedFileOutput({
            ...{ filenamePrefix: 'denied/part', playlistName: 'call.m3u8' },
            segmentDuration: 2,
            output: s3({ bucket: REQUESTED, secret: WRONG_SECRET }),
          }),
        },
        tracks,
      ),
    ]);
    const ids = started.map(({ egressId }) => egressId) as [string, string, string, string];
    for (const id of ids.slice(0, 3)) {
      await sluice.waitForEgress(id, ({ status }) => status === EgressStatus.EGRESS_ACTIVE);
    }
    for (const until = Date.now() + SECONDS * 1000; Date.now() < until; await sleep(150))
      await lookAtBroadcast();
    // A broadcast that is refused ends by itself.
    denied = await sluice.waitForEgress(ids[3], ended);
    for (const id of ids.slice(0, 3)) await sluice.egress.stopEgress(id);
    configured = await sluice.waitForEgress(ids[0], ended);
    requested = await sluice.waitForEgress(ids[1], ended);
    noBucket = await sluice.waitForEgress(ids[2], ended);
    await until(
      'every egress_ended was told',
      () => webhooks.received.filter(({ event }) => event.event === 'egress_ended').length === 4,
    );
    logs = sluice.main.output;
    // It takes its time, in which the tests read what there is.
    lost = loseStorage(tracks);
    lost.catch(() => undefined);
  }, 120_000);

  /** A recording whose storage goes away, and all of Sluice after it. */
  async function loseStorage(tracks: { audioTrackId?: string; videoTrackId?: string }): Promise<void> {
    const { egressId } = await sluice.egress.startTrackCompositeEgress(
      ROOM,
      {
        file: new EncodedFileOutput({ filepath: 'late/call' }),
        segments: new SegmentedFileOutput({
          ...{ filenamePrefix: 'late/part', playlistName: 'call.m3u8', segmentDuration: SEGMENT_SECONDS },
        }),
      },
      tracks,
    );
    const hasPlaylist = async () => (await swift.list(CONFIGURED)).includes('late/call.m3u8');
    await until('a playlist is there', hasPlaylist, 15_000, 300);
    await proxy.cut();
    await sleep(4000);
    await sluice.egress.stopEgress(egressId);
    atTheEnd = await sluice.waitForEgress(egressId, ended);
    kept = atTheEnd.fileResults[0]!.location;
    // Everything there is dies, and comes back while the storage is still away.
    sluice.main.child.kill('SIGKILL');
    await sluice.main.ended();
    await sluice.restartMain();
    await sleep(1000);
    const watching = (async () => {
      while (existsSync(kept)) await sleep(5);
      if (!(await swift.list(CONFIGURED)).includes('late/call.mp4')) lostMoments.push('the file');
    })();
    await proxy.restore();
    const done = ({ fileResults, segmentResults }: EgressInfo) =>
      fileResults[0]!.location !== kept && segmentResults[0]!.segmentCount > 3n;
    afterwards = await sluice.waitForEgress(egressId, done, 60_000);
    await watching;
    await until('the folder is gone', () => !existsSync(dirname(kept)));
    await until('it was told', () =>
      webhooks.received.some(
        ({ event }) =>
          event.event === 'egress_updated' &&
          event.egressInfo?.egressId === egressId &&
          event.egressInfo.fileResults[0]?.location === afterwards.fileResults[0]!.location,
      ),
    );
  }

  afterAll(async () => {
    await lost?.catch(() => undefined);
    await alice?.stop();
    await sluice?.stop();
    await webhooks?.close();
    await proxy?.stop();
    await swift?.stop();
    if (folder) await rm(folder, { recursive: true, force: true });
  });

  /** Brings an object here. */
  async function download(bucket: string, key: string): Promise<string> {
    const path = join(folder, bucket, key);
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, await swift.get(bucket, key));
    return path;
  }

  it('stores the file in the configured bucket, whole', async () => {
    expect(configured.status, `${configured.error}\n${sluice.tail()}`).toBe(EgressStatus.EGRESS_COMPLETE);
    const [file] = configured.fileResults;
    expect(file?.location).toBe(`${proxy.url}/${CONFIGURED}/show/call.mp4`);
    const head = await swift.head(CONFIGURED, 'show/call.mp4');
    const bytes = await swift.get(CONFIGURED, 'show/call.mp4');
    expect(head.ContentType).toBe('video/mp4');
    expect(head.ETag?.replaceAll('"', '')).toBe(md5(bytes));
    expect(Number(file?.size)).toBe(bytes.length);
    const report = await analyse(await download(CONFIGURED, 'show/call.mp4'), {
      tiles: [{ name: 'alice', color: 'red', fps: 15, from: 1.5 }],
    });
    expect(report.duration).toBeGreaterThan(SECONDS - 0.5);
    expect(Math.abs(report.duration - Number(file?.duration) / 1e9)).toBeLessThan(0.1);
    expect(report.decodeErrors).toEqual([]);
    expect(report.video!.maxGapMs).toBeLessThan(200);
    expect(report.tiles[0]!.share).toBeGreaterThanOrEqual(0.97);
  });

  it('stores the broadcast while it is live, each segment before a playlist lists it', () => {
    expect(notThere).toEqual([]);
    // It grew several times while it was looked at.
    expect(new Set(listed).size).toBeGreaterThanOrEqual(4);
    expect(listed).toEqual([...listed].sort((a, b) => a - b));
  });

  it('stores every segment whole, with its type', async () => {
    const names = segmentsOf(await text(CONFIGURED, PLAYLIST));
    const [info] = configured.segmentResults;
    expect(names).toHaveLength(Number(info?.segmentCount));
    let size = 0;
    for (const name of names) {
      const key = `show/${name}`;
      const head = await swift.head(CONFIGURED, key);
      const bytes = await swift.get(CONFIGURED, key);
      expect(head.ContentType).toBe('video/mp2t');
      expect(head.ETag?.replaceAll('"', '')).toBe(md5(bytes));
      expect(bytes.length % 188).toBe(0);
      size += bytes.length;
      await download(CONFIGURED, key);
    }
    expect(Number(info?.size)).toBe(size);
    const there = (await swift.list(CONFIGURED)).filter((key) => /^show\/.*ts$/.test(key));
    expect(there).toEqual(names.map((name) => `show/${name}`).sort());
  });

  it.each([PLAYLIST, LIVE_PLAYLIST])('ends %s by the rules', async (key) => {
    const head = await swift.head(CONFIGURED, key);
    expect(head.ContentType).toBe('application/vnd.apple.mpegurl');
    expect(head.CacheControl).toBe('no-cache');
    const playlist = await text(CONFIGURED, key);
    expect(playlist).toContain('#EXT-X-ENDLIST');
    assertPlaylist(playlist);
  });

  it('makes a broadcast that plays from what was stored', async () => {
    const report = await analyse(await download(CONFIGURED, PLAYLIST), {
      tiles: [{ name: 'alice', color: 'red', fps: 15, from: 1.5 }],
    });
    expect(Math.abs(report.duration - Number(configured.fileResults[0]!.duration) / 1e9)).toBeLessThan(0.5);
    expect(report.tiles[0]!.share).toBeGreaterThanOrEqual(0.97);
    expect(report.decodeErrors).toEqual([]);
  });

  it("stores where a request says, with the request's own settings", async () => {
    expect(requested.status, requested.error).toBe(EgressStatus.EGRESS_COMPLETE);
    const key = `asked/${ROOM}.mp4`;
    const head = await swift.head(REQUESTED, key);
    expect(head.Metadata).toEqual({ show: 'evening' });
    expect(head.ContentDisposition).toBe('attachment; filename="show.mp4"');
    expect(head.ContentType).toBe('video/mp4');
    expect(head.ETag?.replaceAll('"', '')).toBe(md5(await swift.get(REQUESTED, key)));
    const report = await analyse(await download(REQUESTED, key), {
      tiles: [{ name: 'alice', color: 'red', fps: 15, from: 1.5 }],
    });
    expect(report.duration).toBeGreaterThan(SECONDS - 0.5);
    expect(report.tiles[0]!.share).toBeGreaterThanOrEqual(0.97);
    expect(await swift.list(REQUESTED)).toEqual([`asked/${requested.egressId}.json`, key]);
  });

  it('fails where the bucket is missing, names it, and keeps the file', async () => {
    expect(noBucket.status).toBe(EgressStatus.EGRESS_FAILED);
    expect(noBucket.error).toContain(MISSING);
    expect(noBucket.error).toMatch(/does not exist/);
    expect(noBucket.errorCode).toBe(404);
    await expectKept(noBucket, 'lost/call.mp4', SECONDS - 0.5);
  });

  it('fails where the secret is wrong, names the bucket, and keeps the file', async () => {
    expect(denied.status).toBe(EgressStatus.EGRESS_FAILED);
    expect(denied.error).toContain(REQUESTED);
    expect(denied.error).toMatch(/denies access/);
    expect(denied.errorCode).toBe(403);
    await expectKept(denied, 'denied/call.mp4', 1.5);
  });

  async function expectKept(info: EgressInfo, key: string, seconds: number): Promise<void> {
    const path = new RegExp(`${key} is kept at ([^;]+)`).exec(info.details)?.[1] ?? '';
    expect(path, info.details).toContain(join(sluice.dataDir, 'egress', info.egressId));
    expect((await stat(path)).size).toBeGreaterThan(10_000);
    const report = await analyse(path, { tiles: [] });
    expect(report.duration).toBeGreaterThan(seconds);
    expect(report.decodeErrors).toEqual([]);
    // So is what it was made of.
    expect(await readFile(join(dirname(path), 'attempt-1/index.jsonl'), 'utf8')).toContain('"type":"end"');
  }

  it('shows no secret: not in a log line, an info or a webhook', () => {
    const shown = [
      logs,
      ...webhooks.received.map(({ body }) => body),
      ...[configured, requested, noBucket, denied].map((info) => info.toJsonString()),
    ].join('\n');
    expect(shown).toContain(REQUESTED);
    for (const secret of [swift.secret, WRONG_SECRET]) expect(shown).not.toContain(secret);
  });

  describe('whose storage goes away', () => {
    beforeAll(() => lost, 120_000);

    it('ends all the same, and says what is still to be uploaded', () => {
      expect(atTheEnd.status, atTheEnd.error).toBe(EgressStatus.EGRESS_COMPLETE);
      expect(kept).toContain(join(sluice.dataDir, 'egress', atTheEnd.egressId));
      expect(atTheEnd.details).toContain(
        `late/call.mp4 is still to be uploaded, until then it is at ${kept}`,
      );
      expect(atTheEnd.details).toContain('late/call.m3u8 is still to be uploaded');
    });

    it('is stored whole after everything was killed, before anything goes from here', async () => {
      expect(lostMoments).toEqual([]);
      expect(afterwards.status).toBe(EgressStatus.EGRESS_COMPLETE);
      expect(afterwards.details).toMatch(/late\/call.mp4 was uploaded at 20/);
      const [file] = afterwards.fileResults;
      expect(file!.location).toBe(`${proxy.url}/${CONFIGURED}/late/call.mp4`);
      const path = await download(CONFIGURED, 'late/call.mp4');
      expect((await stat(path)).size).toBe(Number(file!.size));
      const report = await analyse(path, { tiles: [] });
      expect(report.decodeErrors).toEqual([]);
      expect(Math.abs(report.duration - Number(file!.duration) / 1e9)).toBeLessThan(0.1);
    });

    it('has every segment its playlist names, and is as long as the file', async () => {
      const playlist = await text(CONFIGURED, 'late/call.m3u8');
      assertPlaylist(playlist);
      expect(playlist).toContain('#EXT-X-ENDLIST');
      const names = segmentsOf(playlist).map((name) => `late/${name}`);
      expect(names).toHaveLength(Number(afterwards.segmentResults[0]!.segmentCount));
      expect((await swift.list(CONFIGURED)).filter((key) => /^late\/.*ts$/.test(key))).toEqual(names);
      const seconds = [...playlist.matchAll(/#EXTINF:([\d.]+)/g)].reduce(
        (sum, [, each]) => sum + Number(each),
        0,
      );
      expect(Math.abs(seconds - Number(afterwards.fileResults[0]!.duration) / 1e9)).toBeLessThan(0.5);
    });
  });
});
