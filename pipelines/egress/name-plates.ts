/** Names over the pictures of a composite: stills of their own in the compositor, drawn once and then repeated. */
import Gst from 'gi://Gst?version=1.0';

import { namePlate } from '../shared/name-plate.ts';
import type { Tile } from '../shared/protocol.ts';
import { action, child, ghost, requestPad, setProperties, staticPad } from '../runtime/gst.ts';

/** In front of every picture. */
const Z_ABOVE_PICTURES = 1000;
/** A little of the picture shines through. */
const ALPHA = 0.85;

interface Plate {
  /** What it looks like: another look is another plate. */
  look: string;
  bin: Gst.Bin;
  pad: Gst.Pad;
}

export class NamePlates {
  readonly #pipeline: Gst.Pipeline;
  readonly #compositor: Gst.Element;
  readonly #colorSpace: string;
  /** By track. */
  readonly #plates = new Map<string, Plate>();
  #count = 0;

  /** @param colorSpace the canvas's, as caps: nothing is converted while it runs. */
  constructor(pipeline: Gst.Pipeline, compositor: Gst.Element, colorSpace: string) {
    this.#pipeline = pipeline;
    this.#compositor = compositor;
    this.#colorSpace = colorSpace;
  }

  /** Shows the names of these tiles, and no others. @throws Error if a plate cannot be made */
  show(tiles: readonly Tile[]): void {
    const named = new Map(tiles.flatMap(({ trackId, name }) => (name ? [[trackId, name] as const] : [])));
    for (const [trackId, plate] of this.#plates) {
      const name = named.get(trackId);
      if (!name || lookOf(name) !== plate.look) this.#remove(trackId, plate);
    }
    for (const [trackId, name] of named) {
      const plate = this.#plates.get(trackId) ?? this.#add(trackId, name);
      setProperties(plate.pad, { xpos: name.x, ypos: name.y });
    }
  }

  #add(trackId: string, name: NonNullable<Tile['name']>): Plate {
    const { svg } = namePlate(name.text, name.height, name.maxWidth);
    const still = `video/x-raw,format=I420,pixel-aspect-ratio=1/1,${this.#colorSpace}`;
    const bin = Gst.parse_bin_from_description(
      `appsrc name=svg format=time caps=image/svg+xml ! rsvgdec ! videoconvert ! ${still} ! identity name=out`,
      false,
    );
    bin.set_name(`name-${++this.#count}`);
    const pad = requestPad(this.#compositor, 'sink_%u');
    // One picture and an end: the compositor goes on with it without another look at this pad.
    setProperties(pad, { 'repeat-after-eos': true, zorder: Z_ABOVE_PICTURES, alpha: ALPHA });
    const plate: Plate = { look: lookOf(name), bin, pad };
    this.#plates.set(trackId, plate);
    this.#pipeline.add(bin);
    const src = ghost(bin, staticPad(child(bin, 'out'), 'src'));
    if (src.link(pad) !== Gst.PadLinkReturn.OK || !bin.sync_state_with_parent()) {
      this.#remove(trackId, plate);
      throw new Error(`the name of ${trackId} cannot be shown`);
    }
    const source = child(bin, 'svg');
    const buffer = Gst.Buffer.new_wrapped(new TextEncoder().encode(svg));
    buffer.pts = 0;
    action(source, 'push-buffer', buffer);
    action(source, 'end-of-stream');
    return plate;
  }

  /** The compositor's pad goes first: nothing waits in it then, and stopping the bin cannot hang. */
  #remove(trackId: string, { bin, pad }: Plate): void {
    this.#plates.delete(trackId);
    bin.set_locked_state(true);
    this.#compositor.release_request_pad(pad);
    bin.set_state(Gst.State.NULL);
    this.#pipeline.remove(bin);
  }
}

function lookOf({ text, height, maxWidth }: NonNullable<Tile['name']>): string {
  return JSON.stringify([text, height, maxWidth]);
}
