/**
 * What is changed about an egress while it runs: a room's recording with a broadcast and a stream, and a copied track,
 * both paused and resumed, with markers.
 */
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  DirectFileOutput,
  EgressStatus,
  EncodedFileOutput,
  SegmentedFileOutput,
  StreamOutput,
} from 'livekit-server-sdk';
import type { EgressInfo } from 'livekit-server-sdk';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { TestPublisher } from '../../src/demo/publisher.ts';
import { analyse } from '../../src/demo/content/analyse.ts';
import type { ContentReport } from '../../src/demo/content/analyse.ts';
import { runTool } from '../../src/demo/content/tool.ts';
import { gridRegion, publish, SMALL, SMALL_CANVAS, trackIds } from '../support/callers.ts';
import { assertPlaylist } from '../support/hls-rules.ts';
import { startNginxRtmp } from '../support/rtmp.ts';
import type { NginxRtmp } from '../support/rtmp.ts';
import { Sluice } from '../support/sluice.ts';

const ROOM = 'changing';
const PAUSE_MS = 4000;
const BEFORE_MS = 3000;
const AFTER_MS = 3000;
/** Of the publishers. */
const FPS = 15;
const ALICE = { name: 'alice', color: 'red', fps: FPS } as const;
const BOB = { name: 'bob', color: 'blue', fps: FPS } as const;

interface Answer {
  status: number;
  body: Record<string, unknown> & { code?: string; msg?: string };
}

describe('a recording that is changed while it runs', () => {
  let sluice: Sluice;
  let nginx: NginxRtmp;
  let alice: TestPublisher;
  let bob: TestPublisher;
  let addedAt: number;
  let removedAt: number;
  const ended = new Map<string, EgressInfo>();
  const reports = new Map<string, ContentReport>();
  let playlist: string;
  let pausedSeen: string;
  let askedToPauseMs: number;
  let markedMs: number;
  let partEnded: EgressInfo;
  let lateWhileItRan: string;

  const lateBroadcast = async () => (await fetch(`${sluice.url}/files/late/late.m3u8`)).text();

  async function call(method: string, body: unknown): Promise<Answer> {
    const token = await sluice.token('caller', { roomRecord: true });
    const response = await fetch(`${sluice.url}/twirp/sluice.Egress/${method}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    return { status: response.status, body: (await response.json()) as Answer['body'] };
  }

  async function done(method: string, body: unknown): Promise<Answer['body']> {
    const answer = await call(method, body);
    if (answer.status !== 200) throw new Error(`${method}: ${JSON.stringify(answer)}\n${sluice.tail()}`);
    return answer.body;
  }

  beforeAll(async () => {
    [sluice, nginx] = await Promise.all([Sluice.start(), startNginxRtmp()]);
    alice = await publish(sluice, ROOM, 'alice', { color: 'red', fps: FPS });
    const ids = await trackIds(sluice, ROOM, 'alice');
    const room = await sluice.egress.startRoomCompositeEgress(
      ROOM,
      {
        file: new EncodedFileOutput({ filepath: 'room' }),
        segments: new SegmentedFileOutput({ filenamePrefix: 'cast/part', playlistName: 'cast.m3u8' }),
        stream: new StreamOutput({ urls: [nginx.url('k3y')] }),
      },
      { encodingOptions: SMALL },
    );
    const copy = await sluice.egress.startTrackCompositeEgress(
      ROOM,
      { file: new EncodedFileOutput({ filepath: 'copy' }) },
      { audioTrackId: ids.audio!, videoTrackId: ids.video! },
    );
    const egressIds = [room.egressId, copy.egressId];
    for (const id of egressIds) {
      await sluice.waitForEgress(id, ({ status }) => status === EgressStatus.EGRESS_ACTIVE);
    }
    await sleep(1500);
    // Into the copy, which had one file and no stream: another file, a broadcast, a stream and images.
    const add = async (output: Record<string, unknown>) =>
      String((await done('AddOutput', { egress_id: copy.egressId, ...output })).output_id);
    // Called as the file that is being recorded: neither is to write over the other.
    const added = await add({ file: { filepath: 'copy' } });
    await add({
      ...{ segments: { filename_prefix: 'late/part', playlist_name: 'late.m3u8' } },
      ...{ hls: { low_latency: true } },
    });
    await add({ stream: { urls: [nginx.url('late-k3y')] } });
    await add({ images: { filename_prefix: 'pics/late', capture_interval: 1 } });
    await sleep(BEFORE_MS);
    await done('RemoveOutput', { egress_id: copy.egressId, output_id: added });
    partEnded = await sluice.waitForEgress(
      copy.egressId,
      ({ fileResults }) => (fileResults[1]?.location ?? '') !== '',
    );
    markedMs = Date.now();
    await done('AddMarker', { egress_id: room.egressId, label: 'before' });
    askedToPauseMs = Date.now();
    await Promise.all(egressIds.map((egress_id) => done('PauseEgress', { egress_id })));
    pausedSeen = (await sluice.egress.listEgress({ egressId: room.egressId }))[0]!.details;
    await sleep(PAUSE_MS);
    await Promise.all(egressIds.map((egressId) => done('ResumeEgress', { egressId })));
    await done('AddMarker', { egress_id: room.egressId, label: 'after' });
    await sleep(AFTER_MS);
    lateWhileItRan = await lateBroadcast();
    await Promise.all(egressIds.map((id) => sluice.egress.stopEgress(id)));
    for (const [name, id] of [
      ['room', room.egressId],
      ['copy', copy.egressId],
    ] as const) {
      const info = await sluice.waitForEgress(id, ({ status }) => status >= EgressStatus.EGRESS_COMPLETE);
      ended.set(name, info);
      const location = info.fileResults[0]?.location;
      if (!location) throw new Error(`no file: ${info.toJsonString()}\n${sluice.tail()}`);
      const region = name === 'room' ? { region: gridRegion(0, 1, SMALL_CANVAS) } : {};
      reports.set(name, await analyse(location, { tiles: [{ ...ALICE, ...region }] }));
    }
    playlist = `${sluice.url}/files/cast/cast.m3u8`;
    await changeTracks(ids);
    await Promise.all([alice.stop(), bob.stop()]);
  });

  /** A copy of alice gets bob beside her, then loses her. */
  async function changeTracks(ids: { audio: string | undefined; video: string | undefined }): Promise<void> {
    bob = await publish(sluice, ROOM, 'bob', { color: 'blue', fps: FPS });
    const his = await trackIds(sluice, ROOM, 'bob');
    const alone = (trackId: string | undefined) =>
      sluice.egress.startTrackEgress(
        ROOM,
        new DirectFileOutput({ filepath: 'alone/{track_type}-{track_id}' }),
        trackId!,
      );
    const sound = await alone(his.audio);
    const { egressId } = await sluice.egress.startTrackCompositeEgress(
      ROOM,
      { file: new EncodedFileOutput({ filepath: 'tracks' }) },
      { audioTrackId: ids.audio!, videoTrackId: ids.video! },
    );
    await sluice.waitForEgress(egressId, ({ status }) => status === EgressStatus.EGRESS_ACTIVE);
    const { startedAt } = await sluice.waitForEgress(egressId, () => true);
    const picture = await alone(his.video);
    await sleep(2500);
    await done('UpdateTracks', { egress_id: egressId, add_track_ids: [his.audio, his.video] });
    addedAt = (Date.now() - Number(startedAt) / 1e6) / 1000;
    await sleep(4000);
    await done('UpdateTracks', { egress_id: egressId, remove_track_ids: [ids.audio, ids.video] });
    removedAt = (Date.now() - Number(startedAt) / 1e6) / 1000;
    await sleep(2500);
    await Promise.all([sound.egressId, picture.egressId, egressId].map((id) => sluice.egress.stopEgress(id)));
    for (const [name, id] of [
      ['sound', sound.egressId],
      ['picture', picture.egressId],
    ] as const) {
      ended.set(name, await sluice.waitForEgress(id, ({ status }) => status >= EgressStatus.EGRESS_COMPLETE));
    }
    const info = await sluice.waitForEgress(egressId, ({ status }) => status >= EgressStatus.EGRESS_COMPLETE);
    ended.set('tracks', info);
    const location = info.fileResults[0]?.location;
    if (!location) throw new Error(`no file: ${info.toJsonString()}\n${sluice.tail()}`);
    const [left, right] = [gridRegion(0, 2), gridRegion(1, 2)];
    reports.set(
      'tracks',
      await analyse(location, {
        tiles: [
          { ...ALICE, to: addedAt - 0.5 },
          { ...ALICE, region: left, from: addedAt + 2, to: removedAt - 0.5 },
          { ...BOB, region: right, from: addedAt + 2, to: removedAt - 0.5 },
          { ...BOB, from: removedAt + 1 },
        ],
      }),
    );
  }

  afterAll(async () => {
    await Promise.all([alice?.stop(), bob?.stop()]);
    await sluice?.stop();
    await nginx?.close();
  });

  it.each(['room', 'copy'])('leaves what was paused out of the file: %s', (name) => {
    const info = ended.get(name)!;
    const { video, audio, tiles, duration, decodeErrors } = reports.get(name)!;
    expect(info.status, info.error).toBe(EgressStatus.EGRESS_COMPLETE);
    expect(info.details).toMatch(/paused from \d+\.\d s to \d+\.\d s/);
    expect(info.details).not.toContain('paused since');
    expect(decodeErrors).toEqual([]);
    expect(video!.monotonic && audio!.monotonic).toBe(true);
    expect(video!.maxGapMs).toBeLessThan(250);
    // At the seam sound is cut at its own frames, and picture at its own.
    expect(audio!.gaps.filter(({ from, to }) => to - from > 0.1)).toEqual([]);
    // The publisher's counter goes on in the pause: what is missing is about as long, and it is one piece.
    const [alice] = tiles;
    const jumps = alice!.frames
      .map(({ counter }) => counter)
      .filter((counter) => counter !== null)
      .map((counter, i, all) => (i === 0 ? 0 : counter - all[i - 1]!))
      .filter((step) => step > FPS);
    expect(jumps).toHaveLength(1);
    expect(jumps[0]! / FPS).toBeGreaterThan(PAUSE_MS / 1000 - 0.5);
    expect(jumps[0]! / FPS).toBeLessThan(PAUSE_MS / 1000 + 2.5);
    expect(video!.black.filter(({ from }) => from > 1)).toEqual([]);
    // Tracks that have come back take a few reports to be in sync.
    expect(Math.abs(alice!.avOffsetByCounter.p50)).toBeLessThan(60);
    const [, from, to] = /paused from (\S+) s to (\S+) s/.exec(info.details)!.map(Number);
    const [file] = info.fileResults;
    const lasted = Number(file!.endedAt - file!.startedAt) / 1e9;
    expect(Math.abs(lasted - duration - (to! - from!))).toBeLessThan(0.15);
    expect(to! - from!).toBeGreaterThan(PAUSE_MS / 1000 - 0.2);
  });

  it('says so while it lasts', () => {
    expect(pausedSeen).toMatch(/paused since \d{4}-/);
    expect(Date.parse(/paused since (\S+)/.exec(pausedSeen)![1]!)).toBeGreaterThanOrEqual(askedToPauseMs - 1);
  });

  it('goes on in the broadcast with a discontinuity, its times true', async () => {
    const { segments } = assertPlaylist(await (await fetch(playlist)).text());
    expect(segments.filter((each) => each.discontinuity)).toHaveLength(1);
  });

  it('keeps the stream connected: nothing of the room is to be seen or heard in it meanwhile', async () => {
    const [stream] = ended.get('room')!.streamResults;
    expect(stream!.error).toBe('');
    expect(stream!.retries).toBe(0);
    const [recording] = await nginx.recordings('k3y');
    const report = await analyse(recording!, {
      tiles: [{ ...ALICE, region: gridRegion(0, 1, SMALL_CANVAS) }],
    });
    const black = report.video!.black.find(({ from, to }) => to - from > PAUSE_MS / 1000 - 1);
    expect(black).toBeDefined();
    expect(report.audio!.silence.some(({ from, to }) => to - from > PAUSE_MS / 1000 - 1.5)).toBe(true);
    expect(report.video!.maxGapMs).toBeLessThan(500);
  });

  it('has its markers as chapters', async () => {
    const path = ended.get('room')!.fileResults[0]!.location;
    const { stdout } = await runTool('ffprobe', ['-v', 'error', '-show_chapters', '-of', 'json', path]);
    const { chapters } = JSON.parse(stdout) as {
      chapters: { start_time: string; tags: { title: string } }[];
    };
    expect(chapters.map(({ tags }) => tags.title)).toEqual(['Start', 'before', 'after']);
    const [, before, after] = chapters.map(({ start_time }) => Number(start_time));
    const startedMs = Number(ended.get('room')!.fileResults[0]!.startedAt) / 1e6;
    expect(Math.abs(before! - (markedMs - startedMs) / 1000)).toBeLessThan(0.3);
    expect(after! - before!).toBeLessThan(2);
  });

  it('makes outputs that are added of what comes from then on, and ends one that is removed at once', async () => {
    const info = ended.get('copy')!;
    expect(partEnded.status).toBe(EgressStatus.EGRESS_ACTIVE);
    const [whole, part] = info.fileResults;
    expect(part!.location).toBe(partEnded.fileResults[1]!.location);
    const report = await analyse(part!.location, { tiles: [ALICE] });
    expect(report.decodeErrors).toEqual([]);
    expect(report.tiles[0]!.share).toBeGreaterThan(0.97);
    // It begins at a keyframe that was asked for, and ends at one.
    expect(report.duration).toBeGreaterThan(BEFORE_MS / 1000 - 1);
    expect(report.duration).toBeLessThan(BEFORE_MS / 1000 + 6);
    expect(part!.startedAt).toBeGreaterThan(whole!.startedAt);
    expect(part!.endedAt).toBeLessThan(whole!.endedAt);
    expect(lateWhileItRan).toMatch(/^#EXT-X-PART:/m);
    const late = assertPlaylist(await lateBroadcast());
    expect(late.ended).toBe(true);
    expect(late.segments.length).toBeGreaterThan(1);
    expect(late.segments.every(({ uri }) => uri.endsWith('.m4s'))).toBe(true);
    const [recording] = await nginx.recordings('late-k3y');
    const streamed = await analyse(recording!, { tiles: [ALICE] });
    expect(streamed.tiles[0]!.read).toBeGreaterThan(30);
    expect(Number(info.imageResults[0]!.imageCount)).toBeGreaterThan(2);
  });

  it('writes no output over another one of the same egress that is called the same', () => {
    const { egressId, fileResults, details } = ended.get('copy')!;
    const [whole, part] = fileResults.map(({ filename }) => filename);
    expect([whole, part]).toEqual([`copy-${egressId}.mp4`, 'copy.mp4']);
    expect(details).toContain(`copy.mp4 is another output's: the file is called ${whole}`);
  });

  it('takes tracks in and leaves others out: one that was copied alone is composed from then on', () => {
    expect(ended.get('tracks')!.status).toBe(EgressStatus.EGRESS_COMPLETE);
    const { tiles, video } = reports.get('tracks')!;
    expect(tiles.map(({ color }) => color.closest)).toEqual(['red', 'red', 'blue', 'blue']);
    for (const tile of tiles) {
      expect(tile.read, `${tile.name} is seen`).toBeGreaterThan(FPS);
      expect(tile.beepShare, `${tile.name} is heard`).toBeGreaterThan(0.4);
    }
    expect(video!.monotonic).toBe(true);
  });

  it('lines recordings of single tracks up by the clocks in their manifests, to 20 ms', async () => {
    const clockOf = async (name: string): Promise<number> => {
      const { egressId, fileResults } = ended.get(name)!;
      const folder = fileResults[0]!.location.replace(/[^/]*$/, '');
      const manifest = JSON.parse(await readFile(`${folder}${egressId}.json`, 'utf8')) as {
        files: { publisher_clocks?: { started_at_seconds: number; publisher_identity: string }[] }[];
      };
      const [clock] = manifest.files[0]!.publisher_clocks ?? [];
      expect(clock, JSON.stringify(manifest)).toMatchObject({ publisher_identity: 'bob' });
      return clock!.started_at_seconds;
    };
    const read = async (name: string) => {
      const report = await analyse(ended.get(name)!.fileResults[0]!.location, {
        tiles: [BOB],
      });
      return report.tiles[0]!;
    };
    const [picture, sound] = await Promise.all([read('picture'), read('sound')]);
    const later = (await clockOf('picture')) - (await clockOf('sound'));
    // Bob beeps at every second of his counter: where that is in the picture, from all of its frames.
    const zeros = picture.frames
      .flatMap(({ time, counter }) => (counter === null ? [] : [time - counter / FPS]))
      .sort((a, b) => a - b);
    const zero = zeros[zeros.length >> 1]! + later;
    const off = sound.beeps.map((at) => at - zero - Math.round(at - zero)).sort((a, b) => a - b);
    expect(off.length).toBeGreaterThan(5);
    expect(Math.abs(off[off.length >> 1]!) * 1000).toBeLessThan(20);
    // They did not begin at the same moment: without the clocks they would be that much apart.
    expect(later).toBeGreaterThan(0.1);
  });

  it('refuses what cannot be, and says why', async () => {
    const { egressId } = ended.get('room')!;
    const refused = async (method: string, body: unknown) => {
      const { status, body: error } = await call(method, body);
      return `${status} ${error.code}: ${error.msg}`;
    };
    expect(await refused('PauseEgress', { egress_id: egressId })).toBe(
      '412 failed_precondition: egress with status EGRESS_COMPLETE cannot be paused',
    );
    expect(await refused('PauseEgress', { egress_id: 'EG_none' })).toBe(
      '404 not_found: egress does not exist',
    );
    expect(await refused('PauseEgress', {})).toMatch(/^400 invalid_argument: .*egress_id/);
    expect(await refused('PauseEgress', { egress_id: egressId, until: 1 })).toContain(
      'until: there is no such field',
    );
    expect(await refused('AddOutput', { egress_id: egressId })).toContain('exactly one of file, segments');
    expect(await refused('AddMarker', { egress_id: egressId, at_ms: 'noon' })).toMatch(/^400 .*at_ms/);
  });
});
