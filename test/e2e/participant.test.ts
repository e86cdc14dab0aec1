/**
 * One participant in one file, whatever becomes of their tracks: muted, published again as a screen, and again in
 * another codec; and v2's media source, one picture with two voices, each in its own ear. Both are copied as long as
 * they can be.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import {
  AudioChannel,
  AudioConfig,
  AudioRoute,
  EncodingOptionsPreset,
  FileOutput,
  MediaSource,
  Output,
  ParticipantVideo,
  StartEgressRequest,
} from '@livekit/protocol';
import { EgressStatus, EncodedFileOutput, SegmentedFileOutput } from 'livekit-server-sdk';
import type { EgressInfo } from 'livekit-server-sdk';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { TestPublisher, TestPublisherOptions } from '../../src/demo/publisher.ts';
import { analyse } from '../../src/demo/content/analyse.ts';
import type { ContentReport, TileReport } from '../../src/demo/content/analyse.ts';
import { ffprobe } from '../../src/demo/content/ffprobe.ts';
import { connectBridge } from '../../src/bridge/client.ts';
import { publish, quiet, trackIds } from '../support/callers.ts';
import { assertPlaylist } from '../support/hls-rules.ts';
import { Sluice } from '../support/sluice.ts';

const FPS = 15;
const SECONDS = 4;
const MUTE_MS = 1500;
/** Another codec is another pipeline; copying goes on until it stands. */
const CHANGE_S = 1.5;

describe('what is followed', () => {
  let sluice: Sluice;
  const publishers: TestPublisher[] = [];
  /** Wall clock, ms. */
  let mutedAt: number;
  let unmutedAt: number;
  let sharedAt: number;
  let otherCodecAt: number;
  let leftAt: number;
  let routedTo: number;
  let followed: EgressInfo;
  let routed: EgressInfo;
  let single: EgressInfo;
  let watched: EgressInfo;
  let whole: ContentReport;
  const ears = new Map<'left' | 'right', ContentReport>();

  async function enter(
    room: string,
    identity: string,
    options: Pick<TestPublisherOptions, 'color' | 'videoCodec' | 'screen'>,
  ): Promise<TestPublisher> {
    const publisher = await publish(sluice, room, identity, { fps: FPS, gopSeconds: 600, ...options });
    publishers.push(publisher);
    return publisher;
  }

  const is = (status: EgressStatus) => (info: EgressInfo) => info.status >= status;
  const at = (info: EgressInfo, wallMs: number) =>
    (wallMs - Number(info.fileResults[0]!.startedAt) / 1e6) / 1000;

  async function start(request: StartEgressRequest): Promise<string> {
    return (await sluice.egress.startEgress(request)).egressId;
  }

  /** When the picture that gina publishes now is recorded. */
  async function recorded(codec: string): Promise<number> {
    const { video } = await trackIds(sluice, 'follow', 'gina');
    const track = `"trackId":"${video}","mimeType":"video/${codec}","identity":"gina"`;
    await sluice.main.logged(`${track},"msg":"track connected"`);
    return Date.now();
  }

  /** Somebody who is there, is to be recorded, and leaves without having published. */
  async function visit(): Promise<EgressInfo> {
    const url = `${sluice.url.replace(/^http/, 'ws')}/bridge`;
    const token = await sluice.bridgeToken('nora', { room: 'follow', hidden: false });
    const visitor = await connectBridge({ url, token, attempt: 1, logger: quiet });
    const { egressId } = await sluice.egress.startParticipantEgress('follow', 'nora', {
      file: new EncodedFileOutput({ filepath: 'nora' }),
    });
    await sluice.main.logged(`"identity":"${egressId}"`);
    await visitor.leave();
    return sluice.waitForEgress(egressId, is(EgressStatus.EGRESS_COMPLETE), 60_000);
  }

  beforeAll(async () => {
    sluice = await Sluice.start({ env: { SLUICE_WORKER_MAX_JOBS: '4' } });
    await sluice.rooms.createRoom({ name: 'follow' });
    // Before anybody is there.
    const { egressId } = await sluice.egress.startParticipantEgress('follow', 'gina', {
      file: new EncodedFileOutput({ filepath: '{publisher_identity}' }),
      segments: new SegmentedFileOutput({ filenamePrefix: 'gina/part', segmentDuration: 2 }),
    });
    const watching = visit();
    const gina = await enter('follow', 'gina', { color: 'red' });
    const voices = [
      await enter('routes', 'hanna', { color: 'blue' }),
      await enter('routes', 'ivan', { color: 'green', videoCodec: null }),
    ];
    await sluice.waitForEgress(egressId, is(EgressStatus.EGRESS_ACTIVE));

    const { video } = await trackIds(sluice, 'routes', 'hanna');
    const file = (filepath: string) =>
      new Output({ config: { case: 'file', value: new FileOutput({ filepath }) } });
    const route = (identity: string, channel: AudioChannel) =>
      new AudioRoute({ match: { case: 'participantIdentity', value: identity }, channel });
    const routesId = await start(
      new StartEgressRequest({
        roomName: 'routes',
        source: {
          case: 'media',
          value: new MediaSource({
            video: { case: 'participantVideo', value: new ParticipantVideo({ identity: 'hanna' }) },
            audio: new AudioConfig({
              routes: [route('hanna', AudioChannel.LEFT), route('ivan', AudioChannel.RIGHT)],
            }),
          }),
        },
        outputs: [file('routes.mp4')],
      }),
    );
    const singleId = await start(
      new StartEgressRequest({
        roomName: 'routes',
        source: {
          case: 'media',
          value: new MediaSource({ video: { case: 'videoTrackId', value: video! } }),
        },
        encoding: { case: 'preset', value: EncodingOptionsPreset.PASSTHROUGH },
        outputs: [file('single')],
      }),
    );
    for (const id of [routesId, singleId]) {
      await sluice.waitForEgress(id, is(EgressStatus.EGRESS_ACTIVE));
    }

    await sleep((SECONDS - 1) * 1000);
    const ginas = await trackIds(sluice, 'follow', 'gina');
    const mute = async (muted: boolean) => {
      for (const id of [ginas.audio!, ginas.video!]) {
        await sluice.rooms.mutePublishedTrack('follow', 'gina', id, muted);
      }
      return Date.now();
    };
    mutedAt = await mute(true);
    routedTo = mutedAt;
    await Promise.all([sluice.egress.stopEgress(routesId), sluice.egress.stopEgress(singleId)]);
    await sleep(MUTE_MS);
    unmutedAt = await mute(false);
    routed = await sluice.waitForEgress(routesId, is(EgressStatus.EGRESS_COMPLETE));
    single = await sluice.waitForEgress(singleId, is(EgressStatus.EGRESS_COMPLETE));
    for (const publisher of voices) await publisher.stop();
    watched = await watching;
    await sleep(Math.max(0, 2000 - (Date.now() - unmutedAt)));
    // Published anew under the same identity: a screen, then a camera in another codec.
    await enter('follow', 'gina', { color: 'green', screen: true });
    sharedAt = await recorded('H264');
    await gina.stop();
    await sleep(SECONDS * 1000);
    const last = await enter('follow', 'gina', { color: 'blue', videoCodec: 'vp8' });
    otherCodecAt = await recorded('VP8');
    await sleep(SECONDS * 1000);
    leftAt = Date.now();
    await last.stop();
    followed = await sluice.waitForEgress(egressId, is(EgressStatus.EGRESS_COMPLETE));

    whole = await analyse(followed.fileResults[0]!.location, {
      tiles: [
        { name: 'camera', color: 'red', fps: FPS, from: 1, to: at(followed, mutedAt) - 0.3 },
        {
          name: 'muted',
          color: 'red',
          fps: FPS,
          from: at(followed, mutedAt) - 0.5,
          to: at(followed, unmutedAt) + 1.5,
        },
        {
          name: 'screen',
          color: 'green',
          fps: FPS,
          from: at(followed, sharedAt) + 1,
          to: at(followed, sharedAt) + SECONDS - 0.5,
        },
        {
          name: 'codec',
          color: 'blue',
          fps: FPS,
          from: at(followed, otherCodecAt) + 1,
          to: at(followed, leftAt) - 0.5,
        },
      ],
    });
    for (const channel of ['left', 'right'] as const) {
      const to = at(routed, routedTo) - 0.3;
      const report = await analyse(routed.fileResults[0]!.location, {
        channel,
        tiles: [
          { name: 'hanna', color: 'blue', fps: FPS, from: 1, to },
          { name: 'ivan', color: 'green', fps: FPS, from: 1, to },
        ],
      });
      ears.set(channel, report);
    }
  }, 120_000);

  afterAll(async () => {
    await Promise.all(publishers.map((publisher) => publisher.stop()));
    await sluice?.stop();
  });

  const tile = (name: string): TileReport => whole.tiles.find((each) => each.name === name)!;

  it('is one file that ends by itself when the participant leaves', () => {
    expect(followed.status, `${followed.error}\n${sluice.tail()}`).toBe(EgressStatus.EGRESS_COMPLETE);
    expect(followed.details).toContain('End reason: Source closed');
    expect(followed.fileResults).toHaveLength(1);
    expect(followed.fileResults[0]!.filename).toBe('gina.mp4');
    expect(Number(followed.endedAt) / 1e6 - leftAt).toBeLessThan(4000);
    expect(Math.abs(whole.duration - Number(followed.endedAt - followed.startedAt) / 1e9)).toBeLessThan(0.5);
    expect(whole.decodeErrors).toEqual([]);
    expect(whole.video?.monotonic).toBe(true);
    expect(whole.audio).toMatchObject({ codec: 'aac', monotonic: true });
    // Nothing is missing but what came while copying turned into encoding.
    for (const { from, to } of whole.audio!.gaps) {
      expect(Math.abs(from - at(followed, otherCodecAt))).toBeLessThan(2 * CHANGE_S);
      expect(to - from).toBeLessThan(2 * CHANGE_S);
    }
  });

  it.each([
    ['camera', 'red'],
    ['screen', 'green'],
    ['codec', 'blue'],
  ])('shows and sounds the %s, in sync', (name, color) => {
    const { share, inOrder, read, beepShare, avOffset, color: seen } = tile(name);
    expect(seen.closest).toBe(color);
    expect(read).toBeGreaterThan(20);
    expect(share).toBeGreaterThanOrEqual(0.97);
    expect(inOrder).toBe(true);
    expect(beepShare).toBe(1);
    expect(avOffset.p95).toBeLessThanOrEqual(80);
  });

  it('is silent while it is muted, and goes on afterwards', () => {
    const from = at(followed, mutedAt);
    const gap = tile('muted').soundGaps!.find((each) => Math.abs(each.from - from) < 0.6);
    expect(gap!.to - gap!.from).toBeGreaterThan(MUTE_MS / 1000 - 0.4);
    expect(gap!.to - gap!.from).toBeLessThan(MUTE_MS / 1000 + 0.6);
  });

  it('is a playlist too', async () => {
    const { playlistName, segmentCount } = followed.segmentResults[0]!;
    const playlist = assertPlaylist(await (await fetch(`${sluice.url}/files/${playlistName}`)).text());
    expect(playlist.segments).toHaveLength(Number(segmentCount));
    const total = playlist.segments.reduce((sum, { duration }) => sum + duration, 0);
    expect(Math.abs(total - whole.duration)).toBeLessThan(2 * CHANGE_S);
  });

  it('is ABORTED when the participant leaves without having published', () => {
    expect(watched).toMatchObject({ status: EgressStatus.EGRESS_ABORTED, errorCode: 412 });
    expect(watched.error).toContain('participant nora');
  });

  it('copies while it can', () => {
    const programs = sluice.main.output
      .split('\n')
      .filter((line) => line.includes('"program chosen"') && line.includes(followed.egressId))
      .map((line) => (JSON.parse(line) as { program: string }).program);
    expect(programs).toEqual(['passthrough', 'composite']);
  });

  it('puts each voice into the ear it is routed to, beside a copied picture', () => {
    expect(routed.status, routed.error).toBe(EgressStatus.EGRESS_COMPLETE);
    const beeps = (channel: 'left' | 'right') => ears.get(channel)!.tiles.map(({ beepShare }) => beepShare);
    expect(beeps('left')).toEqual([1, 0]);
    expect(beeps('right')).toEqual([0, 1]);
    const [hanna] = ears.get('left')!.tiles;
    expect(hanna!.color.closest).toBe('blue');
    expect(hanna!.share).toBeGreaterThanOrEqual(0.97);
    expect(hanna!.avOffset.p95).toBeLessThanOrEqual(80);
    expect(ears.get('left')!.video).toMatchObject({ codec: 'h264', width: 320, height: 180 });
  });

  it('copies one track with PASSTHROUGH', async () => {
    expect(single.status, single.error).toBe(EgressStatus.EGRESS_COMPLETE);
    const [file] = single.fileResults;
    expect(file!.filename).toBe('single.mp4');
    expect((await ffprobe(file!.location)).streams.map(({ codec }) => codec)).toEqual(['h264']);
  });
});
