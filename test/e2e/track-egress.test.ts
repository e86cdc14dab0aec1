/**
 * Single tracks: H.264 into MP4, VP8 into WebM and Opus into OGG, all by copy, with a mute in the middle; the VP8
 * publisher also as a track composite into MP4 and HLS, which is a transcode; and a codec nothing here can read.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { DirectFileOutput, EgressStatus, EncodedFileOutput, SegmentedFileOutput } from 'livekit-server-sdk';
import type { EgressInfo, EncodingOptions } from 'livekit-server-sdk';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { TestPublisher } from '../../src/demo/publisher.ts';
import { connectBridge } from '../../src/bridge/client.ts';
import { publish, quiet, SMALL, SMALL_CANVAS, trackIds } from '../support/callers.ts';
import { analyse } from '../../src/demo/content/analyse.ts';
import type { ContentReport, TileSpec } from '../../src/demo/content/analyse.ts';
import { packetHashes, recordedNals } from '../support/elementary.ts';
import { ffprobe } from '../../src/demo/content/ffprobe.ts';
import { assertPlaylist } from '../support/hls-rules.ts';
import { freePort } from '../support/ports.ts';
import { Sluice } from '../support/sluice.ts';
import { slices, WireRecorder } from '../support/wire-recorder.ts';

const ROOM = 'singles';
/** Carol's, whose picture is also encoded, and Dan's, which is only copied. */
const FPS = { carol: 30, dan: 15 };
const MUTE_MS = 3000;

describe('single tracks', () => {
  let sluice: Sluice;
  let carol: TestPublisher;
  let dan: TestPublisher;
  let tracks: Record<'carol' | 'dan', { audio: string; video: string }>;
  let wires: Record<'vp8' | 'h264' | 'opus', WireRecorder>;
  let mutedAt: number;
  let unmutedAt: number;
  const ended = new Map<string, EgressInfo>();
  const reports = new Map<string, ContentReport>();

  const fileOf = (name: string): string => {
    const location = ended.get(name)?.fileResults[0]?.location;
    if (!location)
      throw new Error(`${name} has no file: ${ended.get(name)?.toJsonString()}\n${sluice.tail()}`);
    return location;
  };
  const playlistUrl = (name: string) =>
    `${sluice.url}/files/${ended.get(name)?.segmentResults[0]?.playlistName}`;
  const sourceOf = (name: string) => name.replace('broadcast', 'composite').replace('soundcast', 'sound');
  const seconds = ({ startedAt, endedAt }: EgressInfo) => Number(endedAt - startedAt) / 1e9;

  async function idsOf(identity: string) {
    const { audio, video } = await trackIds(sluice, ROOM, identity);
    if (audio === undefined || video === undefined) throw new Error(`${identity} is not published`);
    return { audio, video };
  }

  beforeAll(async () => {
    // Seven at once, also where there are two cores: all but one of them only copy.
    sluice = await Sluice.start({ env: { SLUICE_WORKER_MAX_JOBS: '8' } });
    [carol, dan] = await Promise.all([
      publish(sluice, ROOM, 'carol', { color: 'blue', videoCodec: 'vp8', gopSeconds: 600 }),
      publish(sluice, ROOM, 'dan', { color: 'red', fps: FPS.dan, gopSeconds: 600 }),
    ]);
    tracks = { carol: await idsOf('carol'), dan: await idsOf('dan') };
    wires = {
      vp8: await WireRecorder.start(sluice, ROOM, tracks.carol.video),
      h264: await WireRecorder.start(sluice, ROOM, tracks.dan.video),
      opus: await WireRecorder.start(sluice, ROOM, tracks.carol.audio),
    };
    const track = (trackId: string) =>
      sluice.egress.startTrackEgress(
        ROOM,
        new DirectFileOutput({ filepath: 'single/{publisher_identity}/{track_type}-{track_id}' }),
        trackId,
      );
    const composite = (
      name: string,
      wanted: { audioTrackId?: string; videoTrackId?: string; encodingOptions?: EncodingOptions },
    ) =>
      sluice.egress.startTrackCompositeEgress(
        ROOM,
        {
          file: new EncodedFileOutput({ filepath: name }),
          segments: new SegmentedFileOutput({ filenamePrefix: `${name}/part`, playlistName: `${name}.m3u8` }),
        },
        wanted,
      );
    const starts: [string, () => Promise<EgressInfo>][] = [
      ['vp8', () => track(tracks.carol.video)],
      ['opus', () => track(tracks.carol.audio)],
      ['h264', () => track(tracks.dan.video)],
      ['apiMuted', () => track(tracks.dan.audio)],
      [
        'composite',
        () =>
          composite('vp8', {
            audioTrackId: tracks.carol.audio,
            videoTrackId: tracks.carol.video,
            encodingOptions: SMALL,
          }),
      ],
      ['sound', () => composite('sound', { audioTrackId: tracks.dan.audio })],
      ['picture', () => composite('picture', { videoTrackId: tracks.dan.video })],
    ];
    const ids: [string, string][] = [];
    // One by one: seven at once are slow to start where there are two cores.
    for (const [name, start] of starts) {
      const { egressId } = await start();
      await sluice.waitForEgress(egressId, ({ status }) => status === EgressStatus.EGRESS_ACTIVE);
      ids.push([name, egressId]);
    }
    const mute = async (muted: boolean) => {
      carol.muteAudio(muted);
      await sluice.rooms.mutePublishedTrack(ROOM, 'dan', tracks.dan.audio, muted);
      return Date.now();
    };
    await sleep(5000);
    mutedAt = await mute(true);
    await sleep(MUTE_MS);
    unmutedAt = await mute(false);
    await sleep(5000);
    // One that has failed already is told of by a test of its own.
    await Promise.allSettled(ids.map(([, id]) => sluice.egress.stopEgress(id)));
    for (const [name, id] of ids) {
      ended.set(name, await sluice.waitForEgress(id, ({ status }) => status >= EgressStatus.EGRESS_COMPLETE));
    }
    for (const each of [...Object.values(wires), carol, dan]) await each.stop();

    const tiles = (name: string, color: 'red' | 'blue'): TileSpec[] => {
      const begin = Number(ended.get(name)!.fileResults[0]!.startedAt) / 1e6;
      const at = (wallMs: number) => (wallMs - begin) / 1000;
      const fps = color === 'red' ? FPS.dan : FPS.carol;
      return [
        { name: 'whole', color, fps },
        { name: 'before', color, fps, from: 1, to: at(mutedAt) - 0.3 },
        { name: 'after', color, fps, from: at(unmutedAt) + 1 },
      ];
    };
    for (const name of ['vp8', 'opus', 'composite'])
      reports.set(name, await analyse(fileOf(name), { tiles: tiles(name, 'blue') }));
    for (const name of ['h264', 'apiMuted', 'sound', 'picture'])
      reports.set(name, await analyse(fileOf(name), { tiles: tiles(name, 'red') }));
    reports.set('broadcast', await analyse(playlistUrl('composite'), { tiles: tiles('composite', 'blue') }));
    reports.set('soundcast', await analyse(playlistUrl('sound'), { tiles: tiles('sound', 'red') }));
  }, 120_000);

  afterAll(async () => {
    await carol?.stop();
    await dan?.stop();
    await sluice?.stop();
  });

  it('completes', () => {
    for (const [name, info] of ended) {
      expect(info.status, `${name}: ${info.error}\n${sluice.tail()}`).toBe(EgressStatus.EGRESS_COMPLETE);
    }
  });

  it.each([
    ['vp8', 'carol', 'video', 'webm', 'vp8'],
    ['opus', 'carol', 'audio', 'ogg', 'opus'],
    ['h264', 'dan', 'video', 'mp4', 'h264'],
    ['apiMuted', 'dan', 'audio', 'ogg', 'opus'],
  ] as const)('names %s after its template, and it opens', async (name, identity, kind, extension, codec) => {
    const id = tracks[identity][kind];
    const [file] = ended.get(name)!.fileResults;
    expect(file?.filename).toBe(`single/${identity}/${kind}-${id}.${extension}`);
    const found = await ffprobe(fileOf(name));
    expect(found.streams.map((stream) => stream.codec)).toEqual([codec]);
    expect(found.container).toContain(extension);
    expect(Number(file?.size)).toBe(found.size);
  });

  it.each([['vp8'], ['opus'], ['h264'], ['apiMuted'], ['composite'], ['sound'], ['picture']])(
    '%s is as long as its egress was',
    (name) => {
      const info = ended.get(name)!;
      expect(Math.abs(reports.get(name)!.duration - seconds(info))).toBeLessThan(0.5);
      expect(Math.abs(Number(info.fileResults[0]!.duration) / 1e9 - seconds(info))).toBeLessThan(0.5);
    },
  );

  it('copies VP8 frame by frame', async () => {
    expect(wires.vp8.lost).toBe(0);
    expectRun(await packetHashes(fileOf('vp8'), 'v:0'), wires.vp8.vp8Frames(), 11 * FPS.carol);
  });

  it('copies H.264 slice by slice', async () => {
    expect(wires.h264.lost).toBe(0);
    const recorded = slices(await recordedNals(fileOf('h264')));
    expectRun(
      recorded.map(({ hash }) => hash),
      slices(wires.h264.nals()).map(({ hash }) => hash),
      11 * FPS.dan,
    );
  });

  it('copies a picture without sound, into MP4 and HLS', async () => {
    const sent = slices(wires.h264.nals()).map(({ hash }) => hash);
    for (const input of [fileOf('picture'), playlistUrl('picture')]) {
      expect((await ffprobe(input)).streams.map(({ codec }) => codec)).toEqual(['h264']);
      expectRun(
        slices(await recordedNals(input)).map(({ hash }) => hash),
        sent,
        11 * FPS.dan,
      );
    }
  });

  it('makes MP4 and HLS of sound alone', async () => {
    for (const input of [fileOf('sound'), playlistUrl('sound')]) {
      expect((await ffprobe(input)).streams.map(({ codec }) => codec)).toEqual(['aac']);
    }
    const playlist = assertPlaylist(await (await fetch(playlistUrl('sound'))).text());
    const total = playlist.segments.reduce((sum, { duration }) => sum + duration, 0);
    expect(Math.abs(total - reports.get('sound')!.duration)).toBeLessThan(0.1);
  });

  it('copies Opus packet by packet', async () => {
    expect(wires.opus.lost).toBe(0);
    const sent = new Set(wires.opus.opusPackets());
    const recorded = await packetHashes(fileOf('opus'), 'a:0');
    const own = recorded.filter((hash) => sent.has(hash));
    expectRun(own, wires.opus.opusPackets(), 450);
    // What is not the publisher's is the silence that stands for the mute, and that before its first packet.
    const begun = recorded.slice(recorded.findIndex((hash) => sent.has(hash)));
    const filled = (begun.length - own.length) / 50;
    expect(filled).toBeLessThan(MUTE_MS / 1000 + 0.3);
  });

  it.each([['vp8'], ['h264'], ['composite'], ['broadcast']])(
    '%s shows every frame of its publisher',
    (name) => {
      const { video, tiles, decodeErrors } = reports.get(name)!;
      const [whole] = tiles;
      expect(decodeErrors).toEqual([]);
      expect(video?.monotonic).toBe(true);
      expect(whole!.inOrder).toBe(true);
      if (name === 'composite' || name === 'broadcast') {
        // Two clocks meet: the publisher's and the encoder's.
        for (const tile of tiles.slice(1)) expect(tile.share).toBeGreaterThanOrEqual(0.97);
      } else {
        // Frames the publisher had no time for are missing; that no other is, the hashes of the copies tell.
        expect(whole!.share).toBeGreaterThanOrEqual(0.97);
        expect(whole!.unreadable).toBe(0);
      }
      expect(whole!.longestGapMs).toBeLessThan(200);
      const color = name === 'h264' ? 'red' : 'blue';
      expect(whole!.color.closest).toBe(color);
      // A composite is black until its first picture has come; from then on it must not be.
      for (const { color: seen } of tiles.length > 1 ? tiles.slice(1) : tiles) {
        expect(seen.closest).toBe(color);
        expect(seen.share).toBeGreaterThan(0.97);
      }
    },
  );

  it.each([['opus'], ['apiMuted'], ['composite'], ['broadcast'], ['sound'], ['soundcast']])(
    '%s is silent exactly while it was muted',
    (name) => {
      const { tiles, audio, duration, decodeErrors } = reports.get(name)!;
      const [whole, before, after] = tiles;
      expect(decodeErrors).toEqual([]);
      expect(audio?.monotonic).toBe(true);
      // What is mixed is mixed four AAC frames at a time: at the end the last are filled up with silence.
      const end = audio?.codec === 'aac' ? duration - 0.15 : Infinity;
      const gaps = whole!.soundGaps!.filter(({ from }) => from > 0.1 && from < end);
      expect(gaps).toHaveLength(1);
      const begin = Number(ended.get(sourceOf(name))!.fileResults[0]!.startedAt) / 1e6;
      expect(Math.abs(gaps[0]!.to - gaps[0]!.from - MUTE_MS / 1000)).toBeLessThan(0.3);
      expect(Math.abs(gaps[0]!.from - (mutedAt - begin) / 1000)).toBeLessThan(0.5);
      // One beep a second on both sides, and the pause between them of the right length.
      expect(before!.beepShare).toBe(1);
      expect(after!.beepShare).toBe(1);
      const across = after!.beeps[0]! - before!.beeps.at(-1)!;
      expect(Math.abs(across - Math.round(across))).toBeLessThan(0.08);
    },
  );

  it('transcodes VP8 for MP4 and HLS, in sync', async () => {
    for (const name of ['composite', 'broadcast']) {
      const { video, audio, tiles } = reports.get(name)!;
      expect(video).toMatchObject({ codec: 'h264', ...SMALL_CANVAS });
      expect(video?.maxGapMs).toBeLessThan(200);
      expect(audio?.codec).toBe('aac');
      for (const tile of tiles.slice(1)) {
        expect(tile.avOffset.count).toBeGreaterThanOrEqual(3);
        expect(tile.avOffset.p95).toBeLessThanOrEqual(80);
      }
    }
    const playlist = assertPlaylist(await (await fetch(playlistUrl('composite'))).text());
    expect(playlist.ended).toBe(true);
    expect(playlist.segments.filter(({ discontinuity }) => discontinuity)).toEqual([]);
  });

  it('decodes video in the transcode, and nowhere else', () => {
    const decoders = new Map<string, string[]>();
    for (const line of sluice.main.output.split('\n')) {
      if (!line.includes('"pipeline elements"')) continue;
      const { egressId, videoDecoders } = JSON.parse(line) as { egressId: string; videoDecoders: string[] };
      decoders.set(egressId, [...(decoders.get(egressId) ?? []), ...videoDecoders]);
    }
    expect(decoders.size).toBe(ended.size);
    for (const [name, { egressId }] of ended) {
      if (name === 'composite') expect(decoders.get(egressId)).toContain('vp8dec');
      else expect(decoders.get(egressId), name).toEqual([]);
    }
  });

  it('refuses AV1 by its name', async () => {
    const bridge = await connectBridge({
      url: `${sluice.url.replace(/^http/, 'ws')}/bridge`,
      token: await sluice.bridgeToken('eve', { room: ROOM, canPublish: true }),
      attempt: 1,
      logger: quiet,
    });
    const { trackId } = await bridge.request('publish', {
      kind: 'video',
      source: 'camera',
      name: 'av1',
      ip: '127.0.0.1',
      port: await freePort(),
      rtpParameters: {
        mid: '0',
        codecs: [
          { mimeType: 'video/AV1', payloadType: 45, clockRate: 90_000, parameters: {}, rtcpFeedback: [] },
        ],
        encodings: [{ ssrc: 123_456 }],
        cname: 'eve',
      },
    });
    await expect(
      sluice.egress.startTrackEgress(ROOM, new DirectFileOutput({ filepath: 'av1' }), trackId),
    ).rejects.toMatchObject({
      status: 400,
      code: 'invalid_argument',
      message: expect.stringMatching(/^cannot record video\/AV1: supported are H264, VP8/) as string,
    });
    await bridge.leave();
  });
});

/** `recorded` is a run of at least `least` of what was `sent`: the same, in order, none left out. */
function expectRun(recorded: readonly string[], sent: readonly string[], least: number): void {
  expect(recorded.length).toBeGreaterThan(least);
  // Every second sounds like the one before: what is sent may come again, and the run begin at any of its places.
  const starts = sent.flatMap((hash, i) => (hash === recorded[0] ? i : []));
  expect(starts.length, 'the first was sent').toBeGreaterThan(0);
  const differences = starts.map((from) => recorded.findIndex((hash, i) => hash !== sent[from + i]));
  expect(differences).toContain(-1);
}
