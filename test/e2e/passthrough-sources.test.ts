/**
 * What a track composite does when its tracks go: a participant that publishes again under the same identity goes on in
 * the same file, one that is gone for good ends the egress by itself, and so does the end of the room, at once.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { EgressStatus, EncodedFileOutput } from 'livekit-server-sdk';
import type { EgressInfo } from 'livekit-server-sdk';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { TestPublisher } from '../../src/demo/publisher.ts';
import { publish, trackIds } from '../support/callers.ts';
import { analyse } from '../../src/demo/content/analyse.ts';
import type { ContentReport } from '../../src/demo/content/analyse.ts';
import { Sluice } from '../support/sluice.ts';

const FPS = 15;
const PUBLISH_SECONDS = 6;
const AWAY_MS = 3000;
/** Named tracks that are gone are waited for this long. */
const GRACE_MS = 10_000;

describe('a track composite whose tracks go', () => {
  let sluice: Sluice;
  const publishers: TestPublisher[] = [];
  /** Wall clock, ms. */
  let leftAt: number;
  let backAt: number;
  let goneAt: number;
  let deletedAt: number;
  let republished: EgressInfo;
  let closed: EgressInfo;
  let otherCodec: EgressInfo;
  let report: ContentReport;

  async function enter(
    room: string,
    identity: string,
    videoCodec: 'h264' | 'vp8' = 'h264',
  ): Promise<TestPublisher> {
    const publisher = await publish(sluice, room, identity, {
      color: 'red',
      fps: FPS,
      gopSeconds: 600,
      videoCodec,
    });
    publishers.push(publisher);
    return publisher;
  }

  async function record(room: string, identity: string): Promise<string> {
    const { audio, video } = await trackIds(sluice, room, identity);
    const { egressId } = await sluice.egress.startTrackCompositeEgress(
      room,
      { file: new EncodedFileOutput({ filepath: `${room}.mp4` }) },
      { audioTrackId: audio!, videoTrackId: video! },
    );
    await sluice.waitForEgress(egressId, ({ status }) => status === EgressStatus.EGRESS_ACTIVE);
    return egressId;
  }

  const over = ({ status }: EgressInfo) => status >= EgressStatus.EGRESS_COMPLETE;

  beforeAll(async () => {
    sluice = await Sluice.start();
    const [first, erin, frank] = await Promise.all([
      enter('again', 'dave'),
      enter('closing', 'erin'),
      enter('codec', 'frank'),
    ]);
    const again = await record('again', 'dave');
    const closing = await record('closing', 'erin');
    const codec = await record('codec', 'frank');

    await sleep(PUBLISH_SECONDS * 1000);
    leftAt = Date.now();
    await Promise.all([first.stop(), frank.stop()]);
    await sluice.rooms.deleteRoom('closing');
    deletedAt = Date.now();
    closed = await sluice.waitForEgress(closing, over);
    await erin.stop();
    await sleep(AWAY_MS - (Date.now() - leftAt));
    const [second] = await Promise.all([enter('again', 'dave'), enter('codec', 'frank', 'vp8')]);
    backAt = second.startedAtMs;
    await sleep(PUBLISH_SECONDS * 1000);
    goneAt = Date.now();
    await second.stop();
    await sluice.egress.stopEgress(codec);
    otherCodec = await sluice.waitForEgress(codec, over);
    republished = await sluice.waitForEgress(again, over, GRACE_MS + 10_000);

    const begin = Number(republished.fileResults[0]!.startedAt) / 1e6;
    const at = (wallMs: number) => (wallMs - begin) / 1000;
    report = await analyse(republished.fileResults[0]!.location, {
      tiles: [
        { name: 'before', color: 'red', fps: FPS, from: 1, to: at(leftAt) - 0.3 },
        { name: 'after', color: 'red', fps: FPS, from: at(backAt) + 1.5, to: at(goneAt) - 0.3 },
        { name: 'whole', color: 'red', fps: FPS },
      ],
    });
  }, 100_000);

  afterAll(async () => {
    for (const publisher of publishers) await publisher.stop();
    await sluice?.stop();
  });

  it('goes on in the same file when they are published again', () => {
    expect(republished.fileResults).toHaveLength(1);
    expect(report.video).toMatchObject({ codec: 'h264', width: 320, height: 180, monotonic: true });
    expect(report.audio).toMatchObject({ codec: 'aac', monotonic: true, gaps: [] });
    expect(report.decodeErrors).toEqual([]);
  });

  it.each([['before'], ['after']])('is whole and in sync %s', (name) => {
    const tile = report.tiles.find((each) => each.name === name)!;
    expect(tile.share).toBeGreaterThanOrEqual(0.97);
    expect(tile.inOrder).toBe(true);
    expect(tile.longestGapMs).toBeLessThan(200);
    expect(tile.beepShare).toBe(1);
    expect(tile.avOffset.count).toBeGreaterThanOrEqual(3);
    expect(tile.avOffset.p95).toBeLessThanOrEqual(80);
  });

  it('has a gap of the true length in between', () => {
    const begin = Number(republished.fileResults[0]!.startedAt) / 1e6;
    const away = (backAt - leftAt) / 1000;
    expect(Math.abs(report.video!.maxGapMs / 1000 - away)).toBeLessThan(0.7);
    expect(Math.abs(report.video!.maxGapAt - (leftAt - begin) / 1000)).toBeLessThan(0.7);
    const whole = report.tiles.find(({ name }) => name === 'whole')!;
    const silent = whole.soundGaps!.find(({ from }) => Math.abs(from - (leftAt - begin) / 1000) < 0.7);
    expect(Math.abs(silent!.to - silent!.from - away)).toBeLessThan(0.7);
    // The second time's first frame is where the wall clock says it was.
    const frame = whole.frames.find(
      ({ time, counter }) => counter !== null && time > (backAt - begin) / 1000 - 0.2,
    );
    const drawnAt = backAt + (frame!.counter! * 1000) / FPS;
    expect(begin + frame!.time * 1000 - drawnAt).toBeGreaterThan(-100);
    expect(begin + frame!.time * 1000 - drawnAt).toBeLessThan(500);
  });

  it('ends by itself when they are gone for good', () => {
    expect(republished.status, `${republished.error}\n${sluice.tail()}`).toBe(EgressStatus.EGRESS_COMPLETE);
    expect(republished.details).toContain('End reason: Source closed');
    const endedAfter = Number(republished.endedAt) / 1e6 - goneAt;
    expect(endedAfter).toBeGreaterThan(GRACE_MS - 1000);
    expect(endedAfter).toBeLessThan(GRACE_MS + 2000);
  });

  it('ends at once with its room', () => {
    expect(closed.status, `${closed.error}\n${sluice.tail()}`).toBe(EgressStatus.EGRESS_COMPLETE);
    expect(closed.details).toContain('End reason: Source closed');
    expect(Number(closed.endedAt) / 1e6 - deletedAt).toBeLessThan(1000);
  });

  it('is as long as its egress was', () => {
    for (const info of [republished, closed]) {
      const seconds = Number(info.endedAt - info.startedAt) / 1e9;
      expect(Math.abs(Number(info.fileResults[0]!.duration) / 1e9 - seconds)).toBeLessThan(0.5);
    }
    expect(
      Math.abs(report.duration - Number(republished.endedAt - republished.startedAt) / 1e9),
    ).toBeLessThan(0.5);
  });

  it('goes on encoding when the participant comes back with another codec', async () => {
    expect(otherCodec.status, `${otherCodec.error}\n${sluice.tail()}`).toBe(EgressStatus.EGRESS_COMPLETE);
    const file = otherCodec.fileResults[0]!;
    const at = (wallMs: number) => (wallMs - Number(file.startedAt) / 1e6) / 1000;
    const { tiles } = await analyse(file.location, {
      tiles: [
        { name: 'copied', color: 'red', fps: FPS, from: 1, to: at(leftAt) - 0.3 },
        { name: 'encoded', color: 'red', fps: FPS, from: at(backAt) + 2, to: at(goneAt) - 0.5 },
      ],
    });
    for (const tile of tiles) {
      expect(tile.read, tile.name).toBeGreaterThan(60);
      expect(tile.share, tile.name).toBeGreaterThanOrEqual(0.97);
      expect(tile.beepShare, tile.name).toBe(1);
      expect(tile.avOffset.p95, tile.name).toBeLessThanOrEqual(80);
    }
  });
});
