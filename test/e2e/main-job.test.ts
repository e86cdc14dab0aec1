/** The main job: a room of two becomes an MP4, an HLS broadcast and an RTMP stream, driven by LiveKit's own SDK. */
import { setTimeout as sleep } from 'node:timers/promises';
import {
  EncodedFileOutput,
  EncodedFileType,
  EgressStatus,
  SegmentedFileOutput,
  StreamOutput,
  StreamProtocol,
} from 'livekit-server-sdk';
import type { EgressInfo } from 'livekit-server-sdk';
import { StreamInfo_Status } from '@livekit/protocol';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { TestPublisher } from '../../src/demo/publisher.ts';
import { gridRegion, publish } from '../support/callers.ts';
import { analyse } from '../../src/demo/content/analyse.ts';
import type { ContentReport } from '../../src/demo/content/analyse.ts';
import { startBadPort, startFfmpegReceiver } from '../support/rtmp.ts';
import type { BadPort, FfmpegReceiver } from '../support/rtmp.ts';
import { Sluice } from '../support/sluice.ts';

const SECONDS = 12;
/** LiveKit's default. */
const SEGMENT_SECONDS = 4;
const ROOM = 'main-job';

describe('a room of two, recorded, broadcast and restreamed', () => {
  let sluice: Sluice;
  let publishers: TestPublisher[] = [];
  let receiver: FfmpegReceiver;
  let refusing: BadPort;
  let started: EgressInfo;
  let live: EgressInfo;
  let ended: EgressInfo;
  let recording: ContentReport;
  let restream: ContentReport;

  const tiles = [
    { name: 'alice', color: 'red', region: gridRegion(0, 2), from: 1.5 },
    { name: 'bob', color: 'green', region: gridRegion(1, 2), from: 1.5 },
  ] as const;

  beforeAll(async () => {
    sluice = await Sluice.start();
    publishers = [
      await publish(sluice, ROOM, 'alice', { color: 'red' }),
      await publish(sluice, ROOM, 'bob', { color: 'green' }),
    ];
    receiver = await startFfmpegReceiver();
    refusing = await startBadPort('refuse');
    started = await sluice.egress.startRoomCompositeEgress(
      ROOM,
      {
        file: new EncodedFileOutput({ filepath: 'main/call', fileType: EncodedFileType.MP4 }),
        segments: new SegmentedFileOutput({ filenamePrefix: 'main/hls/call', playlistName: 'call.m3u8' }),
        stream: new StreamOutput({ protocol: StreamProtocol.RTMP, urls: [receiver.url, refusing.url] }),
      },
      { layout: 'grid' },
    );
    await sluice.waitForEgress(started.egressId, ({ status }) => status === EgressStatus.EGRESS_ACTIVE);
    await sleep(SECONDS * 1000);
    [live] = (await sluice.egress.listEgress({ egressId: started.egressId })) as [EgressInfo];
    await sluice.egress.stopEgress(started.egressId);
    ended = await sluice.waitForEgress(
      started.egressId,
      ({ status }) => status >= EgressStatus.EGRESS_COMPLETE,
    );
    await receiver.done;
    for (const publisher of publishers) await publisher.stop();
    const file = ended.fileResults[0];
    if (!file) throw new Error(`no file: ${ended.toJsonString()}\n${sluice.tail()}`);
    recording = await analyse(file.location, { tiles: [...tiles] });
    restream = await analyse(receiver.file, { tiles: [...tiles] });
  }, 120_000);

  afterAll(async () => {
    for (const publisher of publishers) await publisher.stop();
    await receiver?.close();
    await refusing?.close();
    await sluice?.stop();
  });

  it('answers STARTING, then ACTIVE, then COMPLETE', () => {
    expect(started.status).toBe(EgressStatus.EGRESS_STARTING);
    expect(live.status).toBe(EgressStatus.EGRESS_ACTIVE);
    expect(ended.status, `${ended.error}\n${sluice.tail()}`).toBe(EgressStatus.EGRESS_COMPLETE);
    expect(ended.details).toBe('End reason: StopEgress API');
  });

  it('fails the destination that refuses, and only that', () => {
    const byHost = (port: number) => live.streamResults.find(({ url }) => url.includes(`:${port}/`));
    expect(byHost(Number(new URL(receiver.url).port))?.status).toBe(StreamInfo_Status.ACTIVE);
    const refused = byHost(Number(new URL(refusing.url).port));
    expect(refused?.status).toBe(StreamInfo_Status.FAILED);
    expect(refused?.error).toMatch(/refused/i);
  });

  it('makes an MP4 that is as long as the egress was', () => {
    const { video, audio } = recording;
    expect(video).toMatchObject({ codec: 'h264', width: 1280, height: 720, monotonic: true });
    expect(audio?.codec).toBe('aac');
    expect(video?.fps).toBeGreaterThan(29.5);
    expect(video?.fps).toBeLessThan(30.5);
    const egressSeconds = Number(ended.endedAt - ended.startedAt) / 1e9;
    expect(Math.abs(recording.duration - egressSeconds)).toBeLessThan(0.5);
    expect(video?.maxGapMs).toBeLessThan(200);
    expect(recording.decodeErrors).toEqual([]);
  });

  it.each([0, 1])('shows and sounds participant %i throughout the recording', (index) => {
    const tile = recording.tiles[index]!;
    expect(tile.share).toBeGreaterThanOrEqual(0.97);
    expect(tile.inOrder).toBe(true);
    expect(tile.longestGapMs).toBeLessThan(200);
    expect(tile.color.closest).toBe(tiles[index]!.color);
    expect(tile.color.share).toBeGreaterThan(0.97);
    expect(tile.beepShare).toBe(1);
    expect(tile.avOffset.count).toBeGreaterThan(SECONDS - 4);
    expect(tile.avOffset.p95).toBeLessThanOrEqual(80);
  });

  it('sends the same to the RTMP destination', () => {
    expect(restream.video).toMatchObject({ codec: 'h264', width: 1280, height: 720, monotonic: true });
    expect(restream.duration).toBeGreaterThan(SECONDS - 4);
    for (const tile of restream.tiles) {
      expect(tile.share).toBeGreaterThanOrEqual(0.97);
      expect(tile.avOffset.p95).toBeLessThanOrEqual(80);
    }
  });

  it('broadcasts HLS that plays from the server', async () => {
    const segments = ended.segmentResults[0];
    expect(Number(segments?.segmentCount)).toBeGreaterThanOrEqual(SECONDS / SEGMENT_SECONDS);
    const url = `${sluice.url}/files/${segments?.playlistName}`;
    const playlist = await (await fetch(url)).text();
    expect(playlist).toContain('#EXT-X-ENDLIST');
    expect(playlist).toContain('#EXT-X-PROGRAM-DATE-TIME');
    const broadcast = await analyse(url, { tiles: [...tiles] });
    expect(Math.abs(broadcast.duration - recording.duration)).toBeLessThan(0.5);
    for (const tile of broadcast.tiles) {
      expect(tile.share).toBeGreaterThanOrEqual(0.97);
      expect(tile.avOffset.p95).toBeLessThanOrEqual(80);
    }
  });

  it('stops in order', async () => {
    expect(await sluice.stop()).toEqual([0]);
  });
});
