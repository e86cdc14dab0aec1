import { describe, expect, it } from 'vitest';
import type { BridgeParticipant, BridgeTrack } from '../../src/bridge/protocol.ts';
import { EgressError } from '../../src/egress/errors.ts';
import { layerForTile, topLayerHeight } from '../../src/egress/composition/layers.ts';
import type { EgressOutput, EgressPlan } from '../../src/egress/plan/types.ts';
import { DEFAULT_AUDIO, DEFAULT_VIDEO } from '../../src/egress/plan/presets.ts';
import { chooseProgram } from '../../src/egress/program.ts';
import { rtpPath } from '../../src/bridge/rtp-path.ts';
import { selectTracks } from '../../src/egress/room/selection.ts';

describe('layerForTile', () => {
  it.each([
    [360, 720, 3, 1],
    [720, 720, 3, 2],
    [180, 720, 3, 0],
    [200, 720, 3, 0],
    [240, 720, 3, 1],
    [400, 720, 3, 1],
    [1080, 720, 3, 2],
    [360, 720, 1, 0],
    [360, 1080, 2, 0],
    [720, 1080, 2, 1],
  ])('a tile of %i of a %ip source with %i layers takes layer %i', (tile, top, layers, layer) => {
    expect(layerForTile(tile, top, layers)).toBe(layer);
  });

  it('finds the top from what a layer turned out to be', () => {
    const seen = { layers: 3, known: undefined, nowMs: 10_000 };
    expect(topLayerHeight(180, { layer: 0, before: undefined, atMs: 0 }, seen)).toBe(720);
    expect(topLayerHeight(540, { layer: 1, before: 0, atMs: 0 }, { ...seen, layers: 2 })).toBe(540);
    expect(topLayerHeight(90, { layer: 0, before: 1, atMs: 0 }, { ...seen, known: 720 })).toBe(720);
  });

  it('does not take a picture that was on its way for one of the layer that is received since', () => {
    const seen = { layers: 3, known: undefined, nowMs: 10_000 };
    const fallen = { layer: 1, before: 2, atMs: 9000 };
    expect(topLayerHeight(720, fallen, seen)).toBe(720);
    expect(topLayerHeight(720, fallen, { ...seen, known: 720 })).toBe(720);
    expect(topLayerHeight(360, fallen, { ...seen, known: 720 })).toBe(720);
    const risen = { layer: 2, before: 0, atMs: 9000 };
    expect(topLayerHeight(180, risen, { ...seen, known: 720 })).toBe(720);
    // A sender that has become larger, long after the layer changed.
    expect(topLayerHeight(720, { ...fallen, atMs: 0 }, { ...seen, known: 720 })).toBe(1440);
  });
});

const file = (fileType: 'auto' | 'mp4' | 'webm'): EgressOutput => ({
  type: 'file',
  filepath: '',
  fileType,
  disableManifest: false,
  storage: 0,
});
const segments: EgressOutput = {
  type: 'segments',
  filenamePrefix: 'a',
  playlistName: 'a.m3u8',
  livePlaylistName: '',
  segmentDuration: 4,
  suffix: 'index',
  segmentType: 'mpegts',
  lowLatency: false,
  partDuration: 0,
  disableManifest: false,
  storage: 0,
};

function plan(change: Partial<EgressPlan>): EgressPlan {
  return {
    egressId: 'EG_1',
    roomName: 'r',
    source: { type: 'tracks', audioTrackId: 'TR_A', videoTrackId: 'TR_V' },
    choice: { program: 'auto' },
    video: null,
    audio: null,
    outputs: [file('auto')],
    storages: [{ type: 'default' }],
    options: {},
    ...change,
  };
}

describe('chooseProgram', () => {
  it.each([
    ['H264 and Opus into MP4 is copied', {}, 'video/H264', 'audio/opus', 'passthrough', 'mpegts', false],
    [
      'H264 into HLS is copied',
      { outputs: [segments] },
      'video/H264',
      'audio/opus',
      'passthrough',
      'mpegts',
      false,
    ],
    [
      'VP8 with sound is encoded',
      { outputs: [file('mp4')] },
      'video/VP8',
      'audio/opus',
      'composite',
      'mpegts',
      false,
    ],
    [
      'VP8 alone into a file of its own kind is copied',
      {},
      'video/VP8',
      undefined,
      'passthrough',
      'matroska',
      true,
    ],
    [
      'VP8 alone into MP4 is encoded',
      { outputs: [file('mp4')] },
      'video/VP8',
      undefined,
      'composite',
      'mpegts',
      false,
    ],
    [
      'VP9 into HLS is encoded',
      { outputs: [segments] },
      'video/VP9',
      undefined,
      'composite',
      'mpegts',
      false,
    ],
    ['Opus alone is copied', {}, undefined, 'audio/opus', 'passthrough', 'matroska', true],
    ['PCMU alone is encoded', {}, undefined, 'audio/PCMU', 'composite', 'mpegts', false],
    [
      'encoding options encode',
      { choice: { program: 'composite' } },
      'video/H264',
      'audio/opus',
      'composite',
      'mpegts',
      false,
    ],
    [
      'a room is composed',
      { source: { type: 'room', layout: 'grid', audioOnly: false, videoOnly: false } },
      undefined,
      undefined,
      'composite',
      'mpegts',
      false,
    ],
  ] as const)('%s', (_, change, video, audio, program, container, copyAudio) => {
    expect(chooseProgram(plan(change as Partial<EgressPlan>), video, audio)).toMatchObject({
      program,
      container,
      copyAudio,
    });
  });

  it('refuses AV1 by name', () => {
    expect(() => chooseProgram(plan({}), 'video/AV1', undefined)).toThrow(EgressError);
    expect(() => chooseProgram(plan({}), 'video/AV1', undefined)).toThrow(/AV1.*H264, VP8, VP9/);
  });

  it("encodes PCMU to Opus, where the file is of the track's own kind", () => {
    const own = plan({ outputs: [file('auto')], audio: { ...DEFAULT_AUDIO, codec: 'opus' } });
    expect(chooseProgram(own, undefined, 'audio/PCMU')).toMatchObject({
      ...{ program: 'composite', container: 'matroska' },
    });
  });

  it('encodes H264 for WebM, and copies what goes into it alone', () => {
    const webm = plan({
      outputs: [file('webm')],
      video: { ...DEFAULT_VIDEO, codec: 'vp8' },
      audio: { ...DEFAULT_AUDIO, codec: 'opus' },
    });
    expect(chooseProgram(webm, 'video/H264', 'audio/opus')).toMatchObject({
      ...{ program: 'composite', container: 'matroska' },
    });
    expect(chooseProgram(webm, 'video/VP9', undefined)).toMatchObject({
      ...{ program: 'passthrough', container: 'matroska' },
    });
    expect(chooseProgram(webm, 'video/VP8', 'audio/opus')).toMatchObject({
      ...{ program: 'composite', container: 'matroska' },
    });
  });
});

const track = (trackId: string, kind: 'audio' | 'video', source: BridgeTrack['source']): BridgeTrack => ({
  trackId,
  producerId: `producer of ${trackId}`,
  kind,
  source,
  name: '',
  mimeType: kind === 'audio' ? 'audio/opus' : 'video/VP8',
  muted: false,
  spatialLayers: 1,
});
const participant = (identity: string, joinedAt: number, tracks: BridgeTrack[]): BridgeParticipant => ({
  participantId: `PA_${identity}`,
  identity,
  name: '',
  metadata: '',
  kind: 'standard',
  joinedAt,
  tracks,
});

describe('selectTracks', () => {
  const late = participant('late', 2000, [track('TR_LV', 'video', 'camera')]);
  const early = participant('early', 1000, [
    track('TR_EA', 'audio', 'microphone'),
    track('TR_EV', 'video', 'camera'),
  ]);
  const names = (wanted: ReturnType<typeof selectTracks>) => wanted.map(({ track: { trackId } }) => trackId);

  it('takes a room in the order its participants joined', () => {
    const source = {
      type: 'room',
      layout: 'grid',
      audioOnly: false,
      videoOnly: false,
      audioMixing: 'default',
    } as const;
    expect(names(selectTracks(source, [late, early], new Map()))).toEqual(['TR_EA', 'TR_EV', 'TR_LV']);
    expect(names(selectTracks({ ...source, audioOnly: true }, [late, early], new Map()))).toEqual(['TR_EA']);
    expect(names(selectTracks({ ...source, videoOnly: true }, [late, early], new Map()))).toEqual([
      'TR_EV',
      'TR_LV',
    ]);
  });

  it('takes named tracks, and finds them again after they were republished', () => {
    const source = { type: 'tracks', audioTrackId: undefined, videoTrackId: 'TR_OLD' } as const;
    expect(selectTracks(source, [early], new Map())).toEqual([]);
    const roles = new Map([['TR_OLD', { identity: 'early', kind: 'video', source: 'camera' } as const]]);
    expect(names(selectTracks(source, [early, late], roles))).toEqual(['TR_EV']);
    expect(selectTracks(source, [late], roles)).toEqual([]);
  });
});

describe('rtpPath', () => {
  it.each([
    ['ws://127.0.0.1:7880/bridge', '127.0.0.1', '127.0.0.1', false],
    ['ws://localhost:7880/bridge', '10.0.0.5', '127.0.0.1', false],
    ['ws://10.0.0.5:7880/bridge', '10.0.0.5', '10.0.0.5', false],
    ['ws://10.0.0.5:7880/bridge', '127.0.0.1', '10.0.0.5', false],
    ['ws://10.0.0.4:7880/bridge', '10.0.0.5', '10.0.0.5', true],
    ['wss://sfu.example.com/bridge', '10.0.0.5', '10.0.0.5', true],
  ])('%s from %s', (url, worker, address, srtp) => {
    expect(rtpPath(url, worker, new Set(['127.0.0.1', '10.0.0.5']))).toEqual({ address, srtp });
  });
});
