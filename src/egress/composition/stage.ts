/** What a composite shows of who is there: the layout asked for, who is large, who sits where, and their names. */
import type { BridgeParticipant } from '../../bridge/protocol.ts';
import type { Tile } from '../../../pipelines/shared/protocol.ts';
import { ARRANGEMENTS, arrange, MAX_TILES, namePlace, takeSeats } from './layout.ts';
import type { Arrangement, Canvas } from './layout.ts';
import { LAYOUT_NAMES } from '../plan/types.ts';
import type { EgressPlan, LayoutName } from '../plan/types.ts';
import type { WantedTrack } from '../room/selection.ts';
import { SpeakerFocus } from './speaker-focus.ts';

/** Background of a layout: the compositor draws both by itself. */
export type Background = 'black' | 'white';

export interface Scene {
  tiles: Tile[];
  background: Background;
  /** On the clock of `nowMs`: when the scene may change although nothing happens. */
  againAtMs: number | undefined;
}

/** What is on stage at a moment. */
export interface OnStage {
  /** Pictures that can be shown, in the order they are to be shown. */
  pictures: readonly WantedTrack[];
  participants: ReadonlyMap<string, BridgeParticipant>;
  /** Identities, loudest first. */
  speakers: readonly string[];
  canvas: Canvas;
  /** Width of a track's picture by its height, once it has been seen. */
  aspects: ReadonlyMap<string, number>;
  /** A clock that does not go back. */
  nowMs: number;
}

/** Pictures nobody has seen yet are taken to be what cameras send. */
const ASSUMED_ASPECT = 16 / 9;

/** The layout without its colour. */
function arrangementOf(layout: LayoutName): Arrangement {
  const name = layout.replace(/-light$/, '');
  return ARRANGEMENTS.find((each) => each === name) ?? 'grid';
}

/** It outlives pipelines, so that a restart changes nothing of what is seen. */
export class Stage {
  readonly #showNames: boolean;
  readonly #focus = new SpeakerFocus();
  readonly #listeners = new Set<() => void>();
  #layout: LayoutName;
  #seats: string[] = [];

  /** What is not a room's has one picture, which has the whole canvas. */
  constructor({ source, options }: Pick<EgressPlan, 'source' | 'options'>) {
    this.#layout = source.type === 'room' ? source.layout : 'single-speaker';
    this.#showNames = options.show_names ?? false;
  }

  get layout(): LayoutName {
    return this.#layout;
  }

  get background(): Background {
    return this.#layout.endsWith('-light') ? 'white' : 'black';
  }

  /** Changes the layout of what runs. A name that is none is what another version has stored: nothing changes. */
  setLayout(name: string): void {
    const layout = LAYOUT_NAMES.find((each) => each === name);
    if (layout === undefined || layout === this.#layout) return;
    this.#layout = layout;
    for (const listener of this.#listeners) listener();
  }

  /** @returns takes the listener away */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Everything that is to be seen now. A screen share is always the large picture, and turns a grid into `speaker`. */
  scene({ pictures: there, participants, speakers, canvas, aspects, nowMs }: OnStage): Scene {
    // A screen share would be a hole in the middle until its first picture has come.
    const ready = there.filter(({ track }) => !isScreen(track) || aspects.has(track.trackId));
    const pictures = ready.length > 0 ? ready : there;
    const muted = new Set(
      [...participants.values()].flatMap(({ tracks }) =>
        tracks.filter((track) => track.muted).map(({ trackId }) => trackId),
      ),
    );
    const lit = pictures.filter(({ track }) => !muted.has(track.trackId));
    const screen = lit.find(({ track }) => isScreen(track));
    const people = (lit.length > 0 ? lit : pictures).filter(({ track }) => !isScreen(track));
    // Heard also during a screen share: when it ends, whoever speaks then is seen.
    const { focus, againAtMs } = this.#focus.update(speakers, [...new Set(people.map(whose))], nowMs);
    const asked = arrangementOf(this.#layout);
    const arrangement = asked === 'grid' && screen ? 'speaker' : asked;
    const large = screen ?? people.find((picture) => whose(picture) === focus) ?? pictures[0];
    this.#seats = takeSeats(
      this.#seats,
      pictures.map(({ track }) => track.trackId),
      large?.track.trackId,
      arrangement === 'grid' ? MAX_TILES - 1 : 0,
    );
    const tiles = arrange(arrangement, this.#seats, canvas);
    return {
      tiles: this.#showNames ? tiles.map((tile) => named(tile, pictures, participants, aspects)) : tiles,
      background: this.background,
      againAtMs,
    };
  }
}

function isScreen({ source }: WantedTrack['track']): boolean {
  return source === 'screen_share';
}

function whose({ identity }: WantedTrack): string {
  return identity;
}

function named(
  tile: Tile,
  pictures: readonly WantedTrack[],
  participants: ReadonlyMap<string, BridgeParticipant>,
  aspects: ReadonlyMap<string, number>,
): Tile {
  const picture = pictures.find(({ track }) => track.trackId === tile.trackId);
  if (!picture) return tile;
  const { name = '', identity = picture.identity } = participants.get(picture.participantId) ?? {};
  const who = name.trim() === '' ? identity : name;
  const text = isScreen(picture.track) ? `${who}'s screen` : who;
  return { ...tile, name: { text, ...namePlace(tile, aspects.get(tile.trackId) ?? ASSUMED_ASPECT) } };
}
