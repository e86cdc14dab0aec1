/** Streams of one egress that do not disturb each other: one stands still, others come and go. */
import { stat } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { StreamInfo_Status } from '@livekit/protocol';
import {
  EncodedFileOutput,
  EncodingOptions,
  EgressStatus,
  StreamOutput,
  StreamProtocol,
  ServerError,
} from 'livekit-server-sdk';
import type { EgressInfo } from 'livekit-server-sdk';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { TestPublisher } from '../../src/demo/publisher.ts';
import { redactStreamUrl } from '../../src/redact.ts';
import { gridRegion, publish } from '../support/callers.ts';
import { analyse } from '../../src/demo/content/analyse.ts';
import type { ContentReport, TileSpec } from '../../src/demo/content/analyse.ts';
import { ffprobe } from '../../src/demo/content/ffprobe.ts';
import { afterLongestGap, videoPackets } from '../support/packets.ts';
import { startNginxRtmp } from '../support/rtmp.ts';
import type { NginxRtmp } from '../support/rtmp.ts';
import { Sluice } from '../support/sluice.ts';
import { until } from '../support/takeover.ts';

const ROOM = 'streams';
const STOPPED_MS = 20_000;
/** Small, but of so many bits that a connection nobody reads is full long before it is read again. */
const CANVAS = { width: 320, height: 180 };
const KEYS = {
  stands: 'k3y-of-the-one-that-stands',
  steady: 'k3y-of-the-steady-one',
  first: 'k3y-of-the-first-one',
  added: 'k3y-of-the-added-one',
};

async function sizeOf(files: readonly string[]): Promise<number> {
  const sizes = await Promise.all(files.map(async (file) => (await stat(file)).size));
  return sizes.reduce((sum, size) => sum + size, 0);
}

async function codeOf(request: Promise<unknown>): Promise<string> {
  const error: unknown = await request.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof ServerError)) throw new Error(`not refused: ${String(error)}`);
  return `${error.code}: ${error.message}`;
}

describe('a recording with streams, one of which stands still for 20 s', () => {
  let sluice: Sluice;
  let standing: NginxRtmp;
  let running: NginxRtmp;
  let alice: TestPublisher;
  let afterAdd: EgressInfo;
  let afterRemove: EgressInfo;
  let whileStanding: EgressInfo;
  let recovered: EgressInfo;
  let info: EgressInfo;
  let recording: ContentReport;
  let steady: ContentReport;
  const refused: Record<string, string> = {};

  const tile: TileSpec = { name: 'alice', color: 'red', region: gridRegion(0, 1, CANVAS) };
  const urls = () => ({
    stands: standing.url(KEYS.stands),
    steady: running.url(KEYS.steady),
    first: running.url(KEYS.first),
    added: running.url(KEYS.added),
  });
  const statusOf = (egress: EgressInfo, name: keyof typeof KEYS) =>
    egress.streamResults.find(({ url }) => url === redactStreamUrl(urls()[name]));

  beforeAll(async () => {
    [sluice, standing, running] = await Promise.all([Sluice.start(), startNginxRtmp(), startNginxRtmp()]);
    alice = await publish(sluice, ROOM, 'alice', { color: 'red' });
    const { stands, steady: steadyUrl, first, added } = urls();
    const { egressId } = await sluice.egress.startRoomCompositeEgress(
      ROOM,
      {
        file: new EncodedFileOutput({ filepath: 'streams/room' }),
        stream: new StreamOutput({ protocol: StreamProtocol.RTMP, urls: [first, stands, steadyUrl] }),
      },
      { layout: 'grid', encodingOptions: new EncodingOptions({ ...CANVAS, videoBitrate: 900 }) },
    );
    const live = (egress: EgressInfo, name: keyof typeof KEYS) =>
      statusOf(egress, name)?.status === StreamInfo_Status.ACTIVE &&
      (statusOf(egress, name)?.startedAt ?? 0n) > 0n;
    await sluice.waitForEgress(
      egressId,
      (each) => live(each, 'stands') && live(each, 'steady') && live(each, 'first'),
    );
    await sleep(3000);

    standing.signal('SIGSTOP');
    const stoppedAt = Date.now();
    await sleep(2000);
    afterAdd = await sluice.egress.updateStream(egressId, [added]);
    await sluice.waitForEgress(egressId, (each) => live(each, 'added'));
    await sleep(4000);
    afterRemove = await sluice.egress.updateStream(egressId, [], [first]);
    afterRemove = await sluice.waitForEgress(
      egressId,
      (each) => statusOf(each, 'first')?.status === StreamInfo_Status.FINISHED,
    );
    refused.bad = await codeOf(sluice.egress.updateStream(egressId, [`http://127.0.0.1/live/${KEYS.added}`]));
    refused.unknown = await codeOf(
      sluice.egress.updateStream(egressId, [], [running.url('k3y-nobody-knows')]),
    );
    refused.again = await codeOf(sluice.egress.updateStream(egressId, [], [first]));
    await sleep(STOPPED_MS - (Date.now() - stoppedAt));
    [whileStanding] = (await sluice.egress.listEgress({ egressId })) as [EgressInfo];
    const before = await sizeOf(await standing.recordings(KEYS.stands));
    standing.signal('SIGCONT');
    // In the connection it had, or in a new one and so a new recording.
    await until(
      'the stream came back',
      async () => (await sizeOf(await standing.recordings(KEYS.stands))) > before + 300_000,
      30_000,
    );
    await sleep(5000);
    recovered = await sluice.waitForEgress(egressId, (each) => live(each, 'stands'));
    await sluice.egress.stopEgress(egressId);
    info = await sluice.waitForEgress(egressId, ({ status }) => status >= EgressStatus.EGRESS_COMPLETE);
    recording = await analyse(info.fileResults[0]!.location, { tiles: [{ ...tile, from: 1.5 }] });
    const [steadyFile] = await running.recordings(KEYS.steady);
    steady = await analyse(steadyFile!, { tiles: [{ ...tile, from: 1 }] });
  }, 150_000);

  afterAll(async () => {
    await alice?.stop();
    await sluice?.stop();
    await standing?.close();
    await running?.close();
  });

  it('keeps the recording even', () => {
    expect(info.status, `${info.error}\n${sluice.tail()}`).toBe(EgressStatus.EGRESS_COMPLETE);
    expect(recording.duration).toBeGreaterThan(STOPPED_MS / 1000 + 5);
    expect(recording.video!.maxGapMs).toBeLessThan(200);
    expect(recording.tiles[0]!.longestGapMs).toBeLessThan(200);
    expect(recording.tiles[0]!.share).toBeGreaterThanOrEqual(0.97);
    expect(recording.audio!.gaps).toEqual([]);
  });

  it('keeps the other stream even, in one connection', async () => {
    expect(await running.recordings(KEYS.steady)).toHaveLength(1);
    expect(steady.duration).toBeGreaterThan(STOPPED_MS / 1000 + 4);
    expect(steady.video!.maxGapMs).toBeLessThan(200);
    expect(steady.tiles[0]!.longestGapMs).toBeLessThan(200);
    expect(steady.tiles[0]!.share).toBeGreaterThanOrEqual(0.97);
    expect(steady.tiles[0]!.avOffset.p95).toBeLessThanOrEqual(80);
    expect(statusOf(info, 'steady')?.retries).toBe(0);
  });

  it('does not give the one that stands still up', () => {
    expect(statusOf(whileStanding, 'stands')?.status).toBe(StreamInfo_Status.ACTIVE);
  });

  it('takes the one that stood still up again, at a keyframe', async () => {
    expect(statusOf(recovered, 'stands')?.error).toBe('');
    const files = await standing.recordings(KEYS.stands);
    const last = files.at(-1)!;
    const packets = await videoPackets(last);
    if (files.length > 1) {
      expect(packets[0]!.keyframe).toBe(true);
    } else {
      const { packet, gap } = afterLongestGap(packets);
      expect(gap).toBeGreaterThan(5);
      expect(packet.keyframe).toBe(true);
    }
    const report = await analyse(last, { tiles: [tile] });
    expect(report.decodeErrors).toEqual([]);
    expect(report.tiles[0]!.inOrder).toBe(true);
    // To the end of the egress.
    expect(Math.abs(report.tiles[0]!.last! - recording.tiles[0]!.last!) / 30).toBeLessThan(1.5);
  });

  it('adds a stream while it runs, from a keyframe on', async () => {
    expect(statusOf(afterAdd, 'added')?.status).toBe(StreamInfo_Status.ACTIVE);
    const [file] = await running.recordings(KEYS.added);
    expect((await videoPackets(file!))[0]?.keyframe).toBe(true);
    const report = await analyse(file!, { tiles: [tile] });
    expect(report.decodeErrors).toEqual([]);
    expect(report.tiles[0]!.share).toBeGreaterThanOrEqual(0.97);
    expect(report.duration).toBeGreaterThan(15);
  });

  it('removes the first and ends it in order', async () => {
    const status = statusOf(afterRemove, 'first');
    expect(status?.status).toBe(StreamInfo_Status.FINISHED);
    expect(status?.error).toBe('');
    expect(Number(status!.endedAt - status!.startedAt)).toBe(Number(status!.duration));
    const [file] = await running.recordings(KEYS.first);
    const { duration } = await ffprobe(file!);
    expect(Math.abs(duration! - Number(status!.duration) / 1e9)).toBeLessThan(1.5);
    expect((await running.streams()).filter(({ publishing }) => publishing)).toEqual([]);
  });

  it('refuses what is no stream of it', () => {
    expect(refused.bad).toMatch(/^invalid_argument: .*invalid scheme "http"/);
    expect(refused.unknown).toMatch(/^not_found: /);
    expect(refused.again).toMatch(/^not_found: /);
  });

  it('finishes every stream with the egress', () => {
    expect(info.streamResults).toHaveLength(4);
    for (const { status } of info.streamResults) expect(status).toBe(StreamInfo_Status.FINISHED);
  });

  it('shows no stream key', () => {
    const shown = sluice.main.output + info.toJsonString() + Object.values(refused).join();
    expect(shown).toContain('{k3y...one}');
    for (const key of [...Object.values(KEYS), 'k3y-nobody-knows']) expect(shown).not.toContain(key);
  });
});
