/**
 * H.264 is copied: a publisher with a GOP of ten minutes and sliced pictures, recorded, broadcast and restreamed in one
 * egress while it mutes and changes its size; and a second one that is muted over the API and recorded three times.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import {
  EgressStatus,
  EncodedFileOutput,
  SegmentedFileOutput,
  StreamOutput,
  StreamProtocol,
} from 'livekit-server-sdk';
import type { EgressInfo } from 'livekit-server-sdk';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { TestPublisher } from '../../src/demo/publisher.ts';
import { publish, trackIds } from '../support/callers.ts';
import { analyse } from '../../src/demo/content/analyse.ts';
import type { ContentReport, TileSpec } from '../../src/demo/content/analyse.ts';
import { recordedNals } from '../support/elementary.ts';
import { ffprobeFrames, ffprobePackets } from '../../src/demo/content/ffprobe.ts';
import { assertPlaylist } from '../support/hls-rules.ts';
import type { ReadPlaylist } from '../support/hls-rules.ts';
import { startNginxRtmp } from '../support/rtmp.ts';
import type { NginxRtmp } from '../support/rtmp.ts';
import { Sluice } from '../support/sluice.ts';
import { slices, WireRecorder } from '../support/wire-recorder.ts';

const ROOM = 'copies';
const FPS = 15;
const SMALL = { width: 320, height: 180 };
const LARGE = { width: 480, height: 270 };
const [SMALL_SIZE, LARGE_SIZE] = [SMALL, LARGE].map(({ width, height }) => `${width}x${height}`) as [
  string,
  string,
];
const SLICES = 4;
const MUTE_MS = 4000;
const CADENCE_SECONDS = 2;

/** What a publisher did, wall clock, ms. */
interface Marks {
  audioMuted: number;
  audioBack: number;
  videoMuted: number;
  videoBack: number;
}

/** Windows of a recording between what happened, seconds of the file. */
interface Windows {
  before: [number, number];
  between: [number, number];
  after: [number, number];
}

describe('H.264 and Opus, copied', () => {
  let sluice: Sluice;
  let alice: TestPublisher;
  let bob: TestPublisher;
  let rtmp: NginxRtmp;
  let wires: Record<'alice' | 'bob', WireRecorder>;
  const marks = {} as Marks;
  let resizedAt: number;
  const ended = new Map<string, EgressInfo>();
  const reports = new Map<string, ContentReport>();
  let playlist: ReadPlaylist;

  const fileOf = (name: string): string => {
    const location = ended.get(name)?.fileResults[0]?.location;
    if (!location)
      throw new Error(`${name} has no file: ${ended.get(name)?.toJsonString()}\n${sluice.tail()}`);
    return location;
  };
  const playlistUrl = (name: string) =>
    `${sluice.url}/files/${ended.get(name)?.segmentResults[0]?.playlistName}`;
  const report = (name: string): ContentReport => {
    const found = reports.get(name);
    if (!found) throw new Error(`${name} was not read`);
    return found;
  };
  /** Wall clock of a file's first frame, ms. */
  const beginOf = (name: string) => Number(ended.get(name)!.fileResults[0]!.startedAt) / 1e6;

  function windows(name: string): Windows {
    const at = (wallMs: number) => (wallMs - beginOf(name)) / 1000;
    // A second of margin: what was sent before a mute may still be on its way, and a beep cut in half is none.
    return {
      before: [1, at(marks.audioMuted) - 0.3],
      between: [at(marks.audioBack) + 1, at(marks.videoMuted) - 0.3],
      after: [at(marks.videoBack) + 1, at(resizedAt) + 5],
    };
  }

  beforeAll(async () => {
    sluice = await Sluice.start();
    rtmp = await startNginxRtmp();
    const options = { ...SMALL, fps: FPS, gopSeconds: 600, slices: SLICES };
    [alice, bob] = await Promise.all([
      publish(sluice, ROOM, 'alice', { ...options, color: 'red' }),
      publish(sluice, ROOM, 'bob', { ...options, color: 'green' }),
    ]);
    const [ofAlice, ofBob] = [await trackIds(sluice, ROOM, 'alice'), await trackIds(sluice, ROOM, 'bob')];
    const composite = (tracks: { audio: string | undefined; video: string | undefined }) => ({
      audioTrackId: tracks.audio!,
      videoTrackId: tracks.video!,
    });
    wires = {
      alice: await WireRecorder.start(sluice, ROOM, ofAlice.video!),
      bob: await WireRecorder.start(sluice, ROOM, ofBob.video!),
    };
    const file = (filepath: string) => new EncodedFileOutput({ filepath });
    const hls = (name: string) =>
      new SegmentedFileOutput({
        filenamePrefix: `${name}/part`,
        playlistName: 'all.m3u8',
        segmentDuration: 2,
      });
    const ids = {
      alice: (
        await sluice.egress.startTrackCompositeEgress(
          ROOM,
          {
            file: file('alice'),
            segments: hls('alice'),
            stream: new StreamOutput({ protocol: StreamProtocol.RTMP, urls: [rtmp.url('alice')] }),
          },
          composite(ofAlice),
        )
      ).egressId,
      bob: (
        await sluice.egress.startTrackCompositeEgress(
          ROOM,
          { file: file('bob'), segments: hls('bob') },
          composite(ofBob),
        )
      ).egressId,
      second: (
        await sluice.egress.startTrackCompositeEgress(ROOM, { file: file('second') }, composite(ofBob))
      ).egressId,
    };
    const all = Object.entries(ids);
    await Promise.all(
      all.map(([, id]) => sluice.waitForEgress(id, ({ status }) => status === EgressStatus.EGRESS_ACTIVE)),
    );

    const mute = async (kind: 'audio' | 'video', muted: boolean) => {
      if (kind === 'audio') alice.muteAudio(muted);
      else alice.muteVideo(muted);
      await sluice.rooms.mutePublishedTrack(ROOM, 'bob', ofBob[kind]!, muted);
      return Date.now();
    };
    await sleep(5500);
    marks.audioMuted = await mute('audio', true);
    await sleep(MUTE_MS);
    marks.audioBack = await mute('audio', false);
    await sleep(4000);
    marks.videoMuted = await mute('video', true);
    await sleep(MUTE_MS);
    marks.videoBack = await mute('video', false);
    await sleep(4500);
    alice.setResolution(LARGE.width, LARGE.height);
    resizedAt = Date.now();
    await sleep(5500);
    // One that has failed already is told of by a test of its own.
    await Promise.allSettled(all.map(([, id]) => sluice.egress.stopEgress(id)));
    for (const [name, id] of all) {
      ended.set(
        name,
        await sluice.waitForEgress(id, ({ status }) => status >= EgressStatus.EGRESS_COMPLETE, 60_000),
      );
    }
    for (const each of [...Object.values(wires), alice, bob]) await each.stop();

    const tilesOf = (name: string, color: 'red' | 'green'): TileSpec[] => [
      { name, color, fps: FPS },
      ...Object.entries<[number, number]>({ ...windows(name) }).map(([window, [from, to]]) => ({
        name: window,
        color,
        fps: FPS,
        from,
        to,
      })),
    ];
    playlist = assertPlaylist(await (await fetch(playlistUrl('alice'))).text());
    for (const name of ['alice', 'bob', 'second']) {
      reports.set(
        name,
        await analyse(fileOf(name), { tiles: tilesOf(name, name === 'alice' ? 'red' : 'green') }),
      );
    }
    reports.set('broadcast', await analyse(playlistUrl('alice'), { tiles: tilesOf('alice', 'red') }));
  }, 120_000);

  afterAll(async () => {
    await alice?.stop();
    await bob?.stop();
    await rtmp?.close();
    await sluice?.stop();
  });

  it('completes', () => {
    for (const [name, info] of ended) {
      expect(info.status, `${name}: ${info.error}\n${sluice.tail()}`).toBe(EgressStatus.EGRESS_COMPLETE);
      expect(info.error, name).toBe('');
    }
  });

  it('has no video decoder or encoder in the running pipeline', () => {
    const lines = sluice.main.output
      .split('\n')
      .filter((line) => line.includes('"pipeline elements"'))
      .map(
        (line) => JSON.parse(line) as { elements: number; videoDecoders: string[]; videoEncoders: string[] },
      );
    // Three egresses of two tracks each.
    expect(lines.length).toBeGreaterThanOrEqual(6);
    for (const line of lines) {
      expect(line.elements).toBeGreaterThan(10);
      expect(line.videoDecoders).toEqual([]);
      expect(line.videoEncoders).toEqual([]);
    }
  });

  it.each([
    ['file', 'bob'],
    ['file', 'second'],
    ['broadcast', 'bob'],
    ['broadcast', 'alice'],
  ] as const)('keeps in the %s of %s the very slices that were sent, in order', async (kind, name) => {
    const wire = wires[name === 'alice' ? 'alice' : 'bob'];
    expect(wire.lost).toBe(0);
    const sent = slices(wire.nals()).map(({ hash }) => hash);
    const input = kind === 'file' ? fileOf(name) : playlistUrl(name);
    const recorded = slices(await recordedNals(input)).map(({ hash }) => hash);
    expect(recorded.length).toBeGreaterThan(21 * FPS * SLICES);
    const from = sent.indexOf(recorded[0]!);
    expect(from, 'the first slice was sent').toBeGreaterThanOrEqual(0);
    const expected = sent.slice(from, from + recorded.length);
    expect(recorded.findIndex((hash, i) => hash !== expected[i])).toBe(-1);
  });

  describe('a publisher that is muted over the API, recorded twice', () => {
    it('has every frame of the log in the MP4', async () => {
      const inFile = slices(await recordedNals(fileOf('bob')));
      const inSegments = slices(await recordedNals(playlistUrl('bob')));
      expect(inSegments.map(({ hash }) => hash)).toEqual(inFile.map(({ hash }) => hash));
      const pictures = inFile.filter(({ first }) => first).length;
      expect((await ffprobePackets(fileOf('bob'), 'v:0')).length).toBe(pictures);
      // The mute may have cut off one picture.
      expect(inFile.length / SLICES).toBeGreaterThan(pictures - 1);
    });

    it('copies the picture and encodes the sound', () => {
      for (const name of ['bob', 'second']) {
        const { video, audio, decodeErrors } = report(name);
        expect(video).toMatchObject({ codec: 'h264', ...SMALL, monotonic: true });
        expect(video?.profile).toBe('Constrained Baseline');
        expect(audio).toMatchObject({ codec: 'aac', monotonic: true });
        expect(decodeErrors).toEqual([]);
      }
    });

    it('gets one train of keyframes, however many record it', async () => {
      const times = (await ffprobePackets(fileOf('second'), 'v:0'))
        .filter(({ key }) => key)
        .map(({ pts }) => pts!);
      const steady = Object.values(windows('second')) as [number, number][];
      for (const [from, to] of steady) {
        // A recording that begins may ask twice before the first answer has come.
        const inside = times.filter((time) => time >= from && time < to);
        expect(inside.length).toBeGreaterThanOrEqual(Math.floor((to - from) / CADENCE_SECONDS));
        const distances = inside.slice(1).map((time, i) => time - inside[i]!);
        for (const distance of distances) expect(Math.abs(distance - CADENCE_SECONDS)).toBeLessThan(0.35);
      }
    });
  });

  describe.each([['alice'], ['bob'], ['second'], ['broadcast']])('%s', (name) => {
    const of = (window: string) => report(name).tiles.find((tile) => tile.name === window)!;
    const source = name === 'broadcast' ? 'alice' : name;

    it('is as long as the egress was', () => {
      const { startedAt, endedAt } = ended.get(source)!;
      const seconds = Number(endedAt - startedAt) / 1e9;
      expect(Math.abs(report(name).duration - seconds)).toBeLessThan(0.5);
    });

    it.each([['before'], ['between'], ['after']])('is in sync and whole %s the mutes', (window) => {
      const tile = of(window);
      expect(tile.avOffset.count).toBeGreaterThanOrEqual(2);
      expect(tile.avOffset.p95).toBeLessThanOrEqual(80);
      // What the publisher had no time to send is not there; that nothing else is missing, the slices tell.
      expect(tile.share).toBeGreaterThanOrEqual(0.97);
      expect(tile.inOrder).toBe(true);
      expect(tile.unreadable).toBe(0);
      expect(tile.longestGapMs).toBeLessThan(200);
      expect(tile.beepShare).toBe(1);
    });

    it('loses nothing but what was muted', () => {
      const [whole] = report(name).tiles;
      const publisher = source === 'alice' ? alice : bob;
      const counterAt = (wallMs: number) => ((wallMs - publisher.startedAtMs) / 1000) * FPS;
      // A quarter of a second each way: commands take a moment, and a copy begins anew at a keyframe.
      const [from, to] = [counterAt(marks.videoMuted) - FPS / 4, counterAt(marks.videoBack) + FPS / 4];
      const muted = whole!.missing.filter((counter) => counter > from && counter < to);
      expect(Math.abs(muted.length - (MUTE_MS / 1000) * FPS)).toBeLessThan(FPS / 4);
      // The rest are frames the publisher had no time for.
      expect(whole!.missing.length - muted.length).toBeLessThan(0.03 * whole!.frames.length);
      expect(whole!.inOrder).toBe(true);
    });

    it('is silent for as long as the sound was muted, and no longer', () => {
      const [whole] = report(name).tiles;
      // Until its first packet has come, a recording is silent; and at its end what is mixed at a time is filled up.
      const { duration } = report(name);
      const gaps = whole!.soundGaps!.filter(({ from }) => from > 0.1 && from < duration - 0.15);
      expect(gaps).toHaveLength(1);
      const [gap] = gaps;
      expect(Math.abs(gap!.to - gap!.from - MUTE_MS / 1000)).toBeLessThan(0.3);
      expect(report(name).audio?.gaps).toEqual([]);
    });
  });

  describe('a change of resolution', () => {
    it('makes the MP4 one size, whole', async () => {
      const { video, decodeErrors } = report('alice');
      expect(video).toMatchObject({ codec: 'h264', ...LARGE, monotonic: true });
      expect(decodeErrors).toEqual([]);
      const inSegments = await ffprobePackets(playlistUrl('alice'), 'v:0');
      expect(video?.frames).toBe(inSegments.length);
    });

    it('is a discontinuity in HLS', async () => {
      const frames = await ffprobeFrames(playlistUrl('alice'));
      const sizes = frames.map(({ width, height }) => `${width}x${height}`);
      const change = sizes.indexOf(LARGE_SIZE);
      expect(change).toBeGreaterThan(0);
      expect(new Set(sizes.slice(0, change))).toEqual(new Set([SMALL_SIZE]));
      expect(new Set(sizes.slice(change))).toEqual(new Set([LARGE_SIZE]));
      const at = playlist.segments.findIndex(({ discontinuity }) => discontinuity);
      expect(playlist.segments.filter(({ discontinuity }) => discontinuity)).toHaveLength(1);
      const before = playlist.segments.slice(0, at).reduce((sum, { duration }) => sum + duration, 0);
      const changedAt = report('broadcast').video!.firstTime + frames[change]!.pts! - frames[0]!.pts!;
      expect(Math.abs(changedAt - before)).toBeLessThan(0.05);
    });

    it('reconnects RTMP, which carries both sizes', async () => {
      const recordings = await rtmp.recordings('alice');
      expect(recordings).toHaveLength(2);
      const [first, second] = await Promise.all(
        recordings.map((path) => analyse(path, { tiles: [{ name: 'a', color: 'red', fps: FPS }] })),
      );
      expect(first?.video).toMatchObject(SMALL);
      expect(second?.video).toMatchObject(LARGE);
      // Nothing of it is lost on the way from one connection to the other.
      expect(second!.tiles[0]!.first).toBe(first!.tiles[0]!.last! + 1);
      expect(second!.duration).toBeGreaterThan(4);
      expect(second!.tiles[0]!.share).toBeGreaterThanOrEqual(0.97);
      expect(second!.tiles[0]!.avOffset.p95).toBeLessThanOrEqual(80);
      expect(ended.get('alice')?.streamResults[0]?.error).toBe('');
    });
  });

  it('tells the true time in PROGRAM-DATE-TIME', () => {
    const [first] = playlist.segments;
    let expected = first!.date;
    for (const segment of playlist.segments) {
      expect(Math.abs(segment.date - expected)).toBeLessThan(50);
      expected = segment.date + segment.duration * 1000;
    }
    const [whole] = report('broadcast').tiles;
    // From when a frame was drawn to when it was received: encoder and network, well below half a second.
    const late = whole!.frames.flatMap(({ time, counter }) =>
      counter === null ? [] : [first!.date + time * 1000 - (alice.startedAtMs + (counter * 1000) / FPS)],
    );
    expect(Math.min(...late)).toBeGreaterThan(-150);
    // But for those that a busy machine drew late.
    expect(late.toSorted((a, b) => a - b)[Math.floor(late.length * 0.95)]).toBeLessThan(500);
  });
});
