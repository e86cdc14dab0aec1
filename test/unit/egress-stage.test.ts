import { describe, expect, it } from 'vitest';
import type { BridgeParticipant, BridgeTrack } from '../../src/bridge/protocol.ts';
import type { LayoutName } from '../../src/egress/plan/types.ts';
import { allTracks } from '../../src/egress/room/selection.ts';
import {
  INTERRUPT_MS,
  MIN_STAY_MS,
  SpeakerFocus,
  TURN_MS,
} from '../../src/egress/composition/speaker-focus.ts';
import { Stage } from '../../src/egress/composition/stage.ts';
import { Voices } from '../../src/egress/composition/voices.ts';
import { COOL_AFTER_MS, Warmth } from '../../src/egress/composition/warmth.ts';

const canvas = { width: 1280, height: 720 };

function person(identity: string, tracks: Partial<BridgeTrack>[] = [{}], name = ''): BridgeParticipant {
  return {
    participantId: `PA_${identity}`,
    identity,
    name,
    metadata: '',
    kind: 'standard',
    joinedAt: identity.charCodeAt(0),
    tracks: tracks.map((track, index) => ({
      trackId: `${identity}${index || ''}`,
      producerId: 'p',
      kind: 'video',
      source: 'camera',
      name: '',
      mimeType: 'video/VP8',
      muted: false,
      spatialLayers: 1,
      ...track,
    })),
  };
}

function show(
  stage: Stage,
  people: readonly BridgeParticipant[],
  { speakers = [], nowMs = 0, unseen = [] }: { speakers?: string[]; nowMs?: number; unseen?: string[] } = {},
) {
  const participants = new Map(people.map((each) => [each.participantId, each]));
  return stage.scene({
    pictures: allTracks(people),
    participants,
    speakers,
    canvas,
    aspects: new Map(
      allTracks(people)
        .map(({ track }) => track.trackId)
        .filter((trackId) => !unseen.includes(trackId))
        .map((trackId) => [trackId, 16 / 9]),
    ),
    nowMs,
  });
}

function stageOf(layout: LayoutName, options: { show_names?: boolean } = {}): Stage {
  return new Stage({
    source: { type: 'room', layout, audioOnly: false, videoOnly: false, audioMixing: 'default' },
    options,
  });
}

const order = ({ tiles }: { tiles: { trackId: string }[] }) => tiles.map(({ trackId }) => trackId).join(' ');

describe('SpeakerFocus', () => {
  const all = ['a', 'b', 'c'];

  it('begins with who speaks, or with who came first', () => {
    expect(new SpeakerFocus().update(['b'], all, 0).focus).toBe('b');
    expect(new SpeakerFocus().update([], all, 0).focus).toBe('a');
    expect(new SpeakerFocus().update(['z'], [], 0).focus).toBeUndefined();
  });

  it('follows who speaks next after a moment, and says when to look again', () => {
    const focus = new SpeakerFocus();
    focus.update(['a'], all, 0);
    expect(focus.update(['a', 'b'], all, 10_000)).toEqual({ focus: 'a', againAtMs: undefined });
    expect(focus.update(['b'], all, 10_900)).toEqual({ focus: 'a', againAtMs: 10_000 + TURN_MS });
    expect(focus.update(['b'], all, 10_000 + TURN_MS)).toEqual({ focus: 'b', againAtMs: undefined });
  });

  it('is not moved by a cough, which the SFU tells of for a second', () => {
    const focus = new SpeakerFocus();
    focus.update(['a'], all, 0);
    focus.update(['b'], all, 10_000);
    expect(focus.update([], all, 11_000)).toEqual({ focus: 'a', againAtMs: undefined });
    expect(focus.update(['b'], all, 11_500).againAtMs).toBe(11_500 + TURN_MS);
  });

  it('lets somebody louder interrupt only after a while', () => {
    const focus = new SpeakerFocus();
    focus.update(['a'], all, 0);
    const { againAtMs } = focus.update(['b', 'a'], all, 10_000);
    expect(againAtMs).toBe(10_000 + INTERRUPT_MS);
    expect(focus.update(['a', 'b'], all, 10_000 + INTERRUPT_MS).focus).toBe('a');
    expect(focus.update(['b', 'a'], all, 10_000 + INTERRUPT_MS).focus).toBe('b');
  });

  it('replaces nobody who has only just come', () => {
    const focus = new SpeakerFocus();
    focus.update(['a', 'b'], all, 0);
    expect(focus.update(['b'], all, TURN_MS + 1)).toEqual({ focus: 'a', againAtMs: MIN_STAY_MS });
    expect(focus.update(['b'], all, MIN_STAY_MS).focus).toBe('b');
  });

  it('goes on at once when the one in focus has no picture any more', () => {
    const focus = new SpeakerFocus();
    focus.update(['a'], all, 0);
    expect(focus.update(['a', 'c'], ['b', 'c'], 1).focus).toBe('c');
  });

  it('stays with who spoke last while all are silent', () => {
    const focus = new SpeakerFocus();
    focus.update(['c'], all, 0);
    expect(focus.update([], all, 60_000)).toEqual({ focus: 'c', againAtMs: undefined });
  });
});

describe('Voices', () => {
  it('puts the loudest first, and forgets who is silent for a second', () => {
    const voices = new Voices();
    voices.heard('a', -40, 0);
    voices.heard('b', -20, 500);
    expect(voices.speakers([], 900)).toEqual(['b', 'a']);
    expect(voices.speakers([], 1000)).toEqual(['b']);
    expect(voices.speakers([], 1500)).toEqual([]);
  });

  it('evens out syllables', () => {
    const voices = new Voices();
    voices.heard('a', -20, 0);
    voices.heard('b', -40, 0);
    voices.heard('a', -48, 300);
    expect(voices.speakers([], 300)).toEqual(['a', 'b']);
    voices.heard('a', -48, 600);
    expect(voices.speakers([], 600)).toEqual(['b', 'a']);
  });

  it('names whom the SFU has heard first, and nobody twice', () => {
    const voices = new Voices();
    voices.heard('a', -10, 0);
    voices.heard('b', -20, 0);
    expect(voices.speakers(['c', 'b'], 0)).toEqual(['c', 'b', 'a']);
  });
});

describe('Warmth', () => {
  const none = new Set<string>();

  it('lets go of what has not been needed for a while, and takes it again', () => {
    const warmth = new Warmth();
    const all = ['a', 'b'];
    expect(warmth.update(all, new Set(['a']), 0)).toEqual({ warm: [], cold: [], againAtMs: COOL_AFTER_MS });
    expect(warmth.update(all, new Set(['a']), COOL_AFTER_MS)).toEqual({
      warm: [],
      cold: ['b'],
      againAtMs: undefined,
    });
    expect(warmth.update(all, new Set(['a']), 60_000).cold).toEqual([]);
    expect(warmth.update(all, new Set(['b']), 60_001)).toMatchObject({ warm: ['b'], cold: [] });
    expect(warmth.update(all, new Set(['b']), 60_002)).toMatchObject({ warm: [], cold: [] });
    expect(warmth.update(all, new Set(['b']), 60_000 + COOL_AFTER_MS).cold).toEqual(['a']);
  });

  it('begins anew with a track that was gone', () => {
    const warmth = new Warmth();
    warmth.update(['a'], none, 0);
    expect(warmth.update(['a'], none, COOL_AFTER_MS).cold).toEqual(['a']);
    warmth.update([], none, COOL_AFTER_MS + 1);
    expect(warmth.update(['a'], none, COOL_AFTER_MS + 2)).toMatchObject({ warm: [], cold: [] });
  });
});

describe('Stage', () => {
  const people = [person('a'), person('b'), person('c')];

  it.each<[LayoutName, string, 'black' | 'white']>([
    ['grid', 'a b c', 'black'],
    ['grid-light', 'a b c', 'white'],
    ['speaker', 'c b a', 'black'],
    ['speaker-light', 'c b a', 'white'],
    ['single-speaker', 'c', 'black'],
    ['single-speaker-light', 'c', 'white'],
  ])('%s shows %s on %s', (layout, seats, background) => {
    const scene = show(stageOf(layout), people, { speakers: ['c'] });
    expect(order(scene)).toBe(seats);
    expect(scene.background).toBe(background);
  });

  it('changes places of two when the speaker changes', () => {
    const stage = stageOf('speaker');
    expect(order(show(stage, people, { speakers: ['a'] }))).toBe('a b c');
    show(stage, people, { speakers: ['c'], nowMs: 5000 });
    expect(order(show(stage, people, { speakers: ['c'], nowMs: 9000 }))).toBe('c b a');
  });

  it.each<[LayoutName, string]>([
    ['grid', 'b1 a c b'],
    ['speaker', 'b1 a c b'],
    ['single-speaker', 'b1'],
  ])('%s shows a screen share large, whoever speaks', (layout, seats) => {
    const sharing = [person('a'), person('b', [{}, { source: 'screen_share' }]), person('c')];
    const scene = show(stageOf(layout), sharing, { speakers: ['c'] });
    expect(scene.tiles[0]?.trackId).toBe('b1');
    expect(new Set(order(scene).split(' '))).toEqual(new Set(seats.split(' ')));
    if (layout !== 'single-speaker') expect(scene.tiles[0]).toMatchObject({ x: 220, width: 1060 });
  });

  it('is a grid again when the screen share ends or is muted', () => {
    const stage = stageOf('grid');
    const share = (muted: boolean) => [person('a'), person('b', [{}, { source: 'screen_share', muted }])];
    expect(show(stage, share(false)).tiles[0]?.width).toBe(1060);
    expect(show(stage, share(true)).tiles[0]?.width).toBe(640);
    expect(show(stage, [person('a'), person('b')]).tiles[0]?.width).toBe(640);
  });

  it('leaves a screen share out until its first picture has come, unless there is nothing else', () => {
    const stage = stageOf('grid');
    const sharing = [person('a'), person('b', [{}, { source: 'screen_share' }])];
    expect(order(show(stage, sharing, { unseen: ['b1'] }))).toBe('a b');
    expect(show(stage, sharing).tiles[0]?.trackId).toBe('b1');
    const alone = [person('b', [{ source: 'screen_share' }])];
    expect(order(show(stageOf('grid'), alone, { unseen: ['b'] }))).toBe('b');
  });

  it('does not enlarge a camera that is muted while there is another', () => {
    const muted = [person('a', [{ muted: true }]), person('b')];
    expect(order(show(stageOf('single-speaker'), muted, { speakers: ['a'] }))).toBe('b');
    expect(order(show(stageOf('single-speaker'), [person('a', [{ muted: true }])]))).toBe('a');
  });

  it('brings a speaker into a grid that is full', () => {
    const crowd = Array.from({ length: 30 }, (_, index) => person(String.fromCharCode(65 + index)));
    const last = crowd.at(-1)?.identity ?? '';
    const stage = stageOf('grid');
    expect(order(show(stage, crowd, { speakers: ['A'] }))).not.toContain(last);
    show(stage, crowd, { speakers: [last], nowMs: 5000 });
    expect(order(show(stage, crowd, { speakers: [last], nowMs: 9000 }))).toContain(last);
  });

  it('changes its layout while it runs, and tells', () => {
    const stage = stageOf('grid');
    let told = 0;
    const stop = stage.onChange(() => told++);
    stage.setLayout('speaker-light');
    stage.setLayout('speaker-light');
    stage.setLayout('spiral');
    expect([told, stage.layout, stage.background]).toEqual([1, 'speaker-light', 'white']);
    expect(show(stage, people).tiles[0]?.width).toBe(1060);
    stop();
    stage.setLayout('grid');
    expect(told).toBe(1);
  });

  it('names who is seen when asked: by name, else by identity, and screens as such', () => {
    const named = [person('a', [{}, { source: 'screen_share' }], 'Anna'), person('b')];
    const texts = show(stageOf('grid', { show_names: true }), named).tiles.map(({ name }) => name?.text);
    expect(texts.sort()).toEqual(['Anna', "Anna's screen", 'b']);
    expect(show(stageOf('grid'), named).tiles.every(({ name }) => name === undefined)).toBe(true);
  });

  it('gives what is not a room the whole canvas', () => {
    const source = { type: 'tracks', audioTrackId: undefined, videoTrackId: 'a' } as const;
    expect(show(new Stage({ source, options: {} }), [person('a')]).tiles).toEqual([
      { trackId: 'a', x: 0, y: 0, ...canvas, z: 1 },
    ]);
  });
});
