/**
 * A room in which people come and go, mute and unmute, leave and come back, while it is recorded as one picture,
 * and one of them by herself. What is where, and what is heard, is looked at phase by phase.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { EncodedFileOutput, EgressStatus } from 'livekit-server-sdk';
import type { EgressInfo } from 'livekit-server-sdk';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { TestPublisher } from '../../src/demo/publisher.ts';
import { gridRegion, publish, SMALL, SMALL_CANVAS, trackIds } from '../support/callers.ts';
import { analyse } from '../../src/demo/content/analyse.ts';
import type { ContentReport, TileReport, TileSpec } from '../../src/demo/content/analyse.ts';
import { Sluice } from '../support/sluice.ts';

const ROOM = 'churn';
const COLORS = { alice: 'red', bob: 'green', carol: 'blue' } as const;
type Name = keyof typeof COLORS;

/** After a change the picture has this long to be as it should, seconds. */
const SETTLE = 1.5;
/** A tile whose picture just stops is cleared within this, seconds; one whose track is muted at once. */
const CLEARED = 3;
/** The layout follows the room at once; the media in it is this much behind, seconds. */
const AHEAD = 0.5;

/** Half of the recording's: each frame is shown, though sender and mixer do not beat together. */
const FPS = 15;

interface Phase {
  name: string;
  /** Tiles in order, and what is in them. */
  tiles: { name: Name; picture: 'live' | 'black' }[];
  /** Who is heard. */
  heard: Name[];
  settle?: number;
  /** How long it is held, seconds. */
  seconds: number;
}

const live = (...names: Name[]) => names.map((name) => ({ name, picture: 'live' as const }));

/** What is to be seen and heard, in this order; how the room gets there is in `beforeAll`. */
const PHASES = {
  empty: { name: 'nobody is there', tiles: [], heard: [], seconds: 2, settle: 0 },
  alice: { name: 'alice joins', tiles: live('alice'), heard: ['alice'], seconds: 3.5 },
  bob: { name: 'bob joins', tiles: live('alice', 'bob'), heard: ['alice', 'bob'], seconds: 3.5 },
  cameraOff: {
    name: 'alice stops sending her picture',
    tiles: [{ name: 'alice', picture: 'black' }, ...live('bob')],
    heard: ['alice', 'bob'],
    seconds: 5,
    settle: CLEARED,
  },
  cameraOn: {
    name: 'alice sends her picture again',
    tiles: live('alice', 'bob'),
    heard: ['alice', 'bob'],
    seconds: 3.5,
  },
  muted: {
    name: 'bob is muted by the server, picture and sound',
    tiles: [...live('alice'), { name: 'bob', picture: 'black' }],
    heard: ['alice'],
    seconds: 3.5,
  },
  unmuted: {
    name: 'bob is unmuted',
    tiles: live('alice', 'bob'),
    heard: ['alice', 'bob'],
    seconds: 3.5,
  },
  carol: {
    name: 'carol joins',
    tiles: live('alice', 'bob', 'carol'),
    heard: ['alice', 'bob', 'carol'],
    seconds: 3.5,
  },
  aliceLeft: { name: 'alice leaves', tiles: live('bob', 'carol'), heard: ['bob', 'carol'], seconds: 3.5 },
  aliceBack: {
    name: 'alice comes back, as the last',
    tiles: live('bob', 'carol', 'alice'),
    heard: ['alice', 'bob', 'carol'],
    seconds: 3.5,
  },
  carolDies: {
    name: "carol's process is killed",
    tiles: [...live('bob'), { name: 'carol', picture: 'black' }, ...live('alice')],
    heard: ['alice', 'bob'],
    seconds: 5,
    settle: CLEARED,
  },
  allGone: { name: 'everybody leaves', tiles: [], heard: [], seconds: 3 },
} satisfies Record<string, Phase>;

type PhaseName = keyof typeof PHASES;
const ORDER = Object.keys(PHASES) as PhaseName[];

/** How long a participant was not heard, seconds. */
function gapsOf({ soundGaps }: TileReport): number {
  return (soundGaps ?? []).reduce((sum, { from, to }) => sum + to - from, 0);
}

describe('a room in which people come and go', () => {
  let sluice: Sluice;
  const here = new Map<Name, TestPublisher>();
  /** Wall clock, ms. */
  const began = new Map<PhaseName, number>();
  let endedAtMs = 0;
  let room: EgressInfo;
  let single: EgressInfo;
  let recording: ContentReport;
  let alone: ContentReport;
  const seen = new Map<string, TileReport>();

  async function join(name: Name): Promise<void> {
    here.set(name, await publish(sluice, ROOM, name, { color: COLORS[name], fps: FPS }));
  }

  async function leave(name: Name): Promise<void> {
    await here.get(name)?.stop();
    here.delete(name);
  }

  async function hold(phase: PhaseName): Promise<void> {
    began.set(phase, Date.now());
    await sleep(PHASES[phase].seconds * 1000);
  }

  async function mute(name: Name, muted: boolean): Promise<void> {
    const { audio, video } = await trackIds(sluice, ROOM, name);
    for (const id of [audio, video]) if (id) await sluice.rooms.mutePublishedTrack(ROOM, name, id, muted);
  }

  /** When a phase is to be looked at, seconds into the recording. */
  function span(info: EgressInfo, phase: PhaseName): { from: number; to: number } {
    const zero = Number(info.fileResults[0]!.startedAt) / 1e6;
    const at = (wallMs: number) => (wallMs - zero) / 1000;
    const { settle = SETTLE }: Phase = PHASES[phase];
    return {
      from: Math.max(0, at(began.get(phase)!) + settle),
      to: at(began.get(phase)! + PHASES[phase].seconds * 1000) - AHEAD,
    };
  }

  beforeAll(async () => {
    sluice = await Sluice.start();
    await sluice.rooms.createRoom({ name: ROOM, emptyTimeout: 120, departureTimeout: 120 });
    const { egressId } = await sluice.egress.startRoomCompositeEgress(
      ROOM,
      { file: new EncodedFileOutput({ filepath: 'churn/room' }) },
      { layout: 'grid', encodingOptions: SMALL },
    );
    await sluice.waitForEgress(egressId, ({ status }) => status === EgressStatus.EGRESS_ACTIVE);
    await hold('empty');
    await join('alice');
    await hold('alice');
    await join('bob');
    const { audio, video } = await trackIds(sluice, ROOM, 'alice');
    const own = await sluice.egress.startTrackCompositeEgress(
      ROOM,
      { file: new EncodedFileOutput({ filepath: 'churn/alice' }) },
      { ...(audio && { audioTrackId: audio }), ...(video && { videoTrackId: video }) },
    );
    await sluice.waitForEgress(own.egressId, ({ status }) => status === EgressStatus.EGRESS_ACTIVE);
    await hold('bob');
    here.get('alice')!.muteVideo(true);
    await hold('cameraOff');
    here.get('alice')!.muteVideo(false);
    await hold('cameraOn');
    await mute('bob', true);
    await hold('muted');
    await mute('bob', false);
    await hold('unmuted');
    await join('carol');
    await hold('carol');
    await leave('alice');
    await hold('aliceLeft');
    await join('alice');
    await hold('aliceBack');
    await here.get('carol')!.kill();
    await hold('carolDies');
    await sluice.egress.stopEgress(own.egressId);
    await Promise.all([leave('alice'), leave('bob'), sluice.rooms.removeParticipant(ROOM, 'carol')]);
    await hold('allGone');
    endedAtMs = Date.now();
    await sluice.egress.stopEgress(egressId);
    const done = ({ status }: EgressInfo) => status >= EgressStatus.EGRESS_COMPLETE;
    single = await sluice.waitForEgress(own.egressId, done);
    room = await sluice.waitForEgress(egressId, done);

    const specs = ORDER.flatMap((phase) =>
      PHASES[phase].tiles.map(({ name }, index, { length }): TileSpec & { phase: PhaseName } => ({
        phase,
        name,
        color: COLORS[name],
        region: gridRegion(index, length, SMALL_CANVAS),
        fps: FPS,
        ...span(room, phase),
      })),
    );
    // Who is not to be heard is listened for too.
    const silent = ORDER.flatMap((phase) =>
      (Object.keys(COLORS) as Name[])
        .filter((name) => !(PHASES[phase].heard as Name[]).includes(name))
        .map((name) => ({ phase, name, color: COLORS[name], fps: FPS, ...span(room, phase) })),
    );
    const all = [...specs, ...silent];
    recording = await analyse(room.fileResults[0]!.location, { tiles: all, frozenMs: 400 });
    recording.tiles.forEach((report, index) => {
      const key = `${all[index]!.phase}/${report.name}/${index < specs.length ? 'seen' : 'silent'}`;
      seen.set(key, report);
    });
    const aliceFrom = (phase: PhaseName) => span(single, phase);
    alone = await analyse(single.fileResults[0]!.location, {
      tiles: [
        { name: 'before', color: 'red', fps: FPS, from: 1.5, to: aliceFrom('cameraOff').from - CLEARED },
        { name: 'again', color: 'red', fps: FPS, ...aliceFrom('cameraOn') },
        { name: 'unmuted', color: 'red', fps: FPS, ...aliceFrom('unmuted') },
        { name: 'back', color: 'red', fps: FPS, ...aliceFrom('aliceBack') },
      ],
    });
  }, 180_000);

  afterAll(async () => {
    await Promise.all([...here.values()].map((publisher) => publisher.stop()));
    await sluice?.stop();
  });

  it('records from start to stop without a gap', () => {
    expect(room.status, `${room.error}\n${sluice.tail()}`).toBe(EgressStatus.EGRESS_COMPLETE);
    expect(room.details).toBe('End reason: StopEgress API');
    const { video, audio, decodeErrors } = recording;
    expect(decodeErrors).toEqual([]);
    expect(video).toMatchObject({ monotonic: true, ...SMALL_CANVAS });
    expect(video!.maxGapMs).toBeLessThan(200);
    expect(audio).toMatchObject({ monotonic: true, gaps: [] });
    const wall = (endedAtMs - Number(room.startedAt) / 1e6) / 1000;
    expect(Math.abs(recording.duration - wall)).toBeLessThan(0.7);
    expect(Math.abs(audio!.lastTime - video!.lastTime)).toBeLessThan(0.3);
  });

  it.each(['empty', 'allGone'] as const)('is black and silent while %s', (phase) => {
    const { from, to } = span(room, phase);
    const within = ({ from: begin, to: end }: { from: number; to: number }) =>
      begin <= from + 0.1 && end >= to - 0.1;
    expect(recording.video!.black.some(within), JSON.stringify(recording.video!.black)).toBe(true);
    expect(recording.audio!.silence.some(within), JSON.stringify(recording.audio!.silence)).toBe(true);
  });

  describe.each(ORDER.filter((phase) => PHASES[phase].tiles.length > 0))('while %s', (phase) => {
    it.each(PHASES[phase].tiles.map(({ name, picture }) => [name, picture] as const))(
      'the tile of %s is %s',
      (name, picture) => {
        const tile = seen.get(`${phase}/${name}/seen`)!;
        expect(tile.frames.length).toBeGreaterThan(40);
        if (picture === 'black') {
          expect(tile.color.closest).toBe('black');
          expect(tile.read).toBe(0);
          return;
        }
        expect(tile.color.closest).toBe(COLORS[name]);
        expect(tile.color.share).toBeGreaterThan(0.97);
        expect(tile.inOrder).toBe(true);
        expect(tile.longestGapMs).toBeLessThan(200);
      },
    );

    it('is heard who should be, and nobody else', () => {
      for (const name of Object.keys(COLORS) as Name[]) {
        const due = (PHASES[phase].heard as Name[]).includes(name);
        const tile = seen.get(`${phase}/${name}/${due ? 'seen' : 'silent'}`)!;
        if (due) {
          expect(tile.beeps.length, `${name} is heard`).toBeGreaterThanOrEqual(1);
          expect(tile.beepShare, `${name} is heard every second`).toBe(1);
          expect(gapsOf(tile), `${name} is heard throughout`).toBeLessThan(0.3);
        } else {
          expect(tile.beeps, `${name} is not heard`).toEqual([]);
        }
      }
    });
  });

  it.each(Object.keys(COLORS) as Name[])('shows and sounds %s whole, all phases together', (name) => {
    let [shown, missing, heard, unheard] = [0, 0, 0, 0];
    for (const phase of ORDER) {
      const tile = seen.get(`${phase}/${name}/seen`);
      if (!tile) continue;
      shown += new Set(tile.frames.flatMap(({ counter }) => counter ?? [])).size;
      missing += tile.missing.length;
      if (!(PHASES[phase].heard as Name[]).includes(name)) continue;
      const { from, to } = span(room, phase);
      heard += to - from;
      unheard += gapsOf(tile);
    }
    expect(shown).toBeGreaterThan(50);
    expect(shown / (shown + missing)).toBeGreaterThanOrEqual(0.97);
    expect(unheard / heard).toBeLessThan(0.03);
  });

  it('keeps sound and picture of everybody together', () => {
    const offsets = recording.tiles
      .filter(({ avOffsetByCounter: { count } }) => count > 0)
      .map(({ avOffsetByCounter: { max } }) => max)
      .sort((a, b) => a - b);
    expect(offsets.length).toBeGreaterThan(15);
    expect(offsets[Math.ceil(offsets.length * 0.95) - 1]).toBeLessThanOrEqual(80);
  });

  it("records alice's own tracks through mute, leaving and coming back", () => {
    expect(single.status, single.error).toBe(EgressStatus.EGRESS_COMPLETE);
    expect(alone.decodeErrors).toEqual([]);
    expect(alone.video!.monotonic).toBe(true);
    expect(alone.audio).toMatchObject({ monotonic: true, gaps: [] });
    const shown = alone.tiles.reduce((sum, { first, last }) => sum + last! - first! + 1, 0);
    const missing = alone.tiles.reduce((sum, tile) => sum + tile.missing.length, 0);
    expect(1 - missing / shown).toBeGreaterThanOrEqual(0.97);
    for (const tile of alone.tiles) {
      expect(tile.read, tile.name).toBeGreaterThan(FPS);
      expect(tile.inOrder, tile.name).toBe(true);
      expect(tile.beeps.length, tile.name).toBeGreaterThanOrEqual(1);
      expect(tile.avOffset.max, tile.name).toBeLessThanOrEqual(80);
    }
  });
});
