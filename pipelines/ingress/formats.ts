/** What the source holds, read from the main loop. */
import type Gst from 'gi://Gst?version=1.0';

import { child, numberField, staticPad } from '../runtime/gst.ts';
import type { IngressEvent } from '../shared/ingress-protocol.ts';
import { type Kind, NAMES } from './description.ts';

type InputFormat = Extract<IngressEvent, { event: 'inputFormat' }>;

/** A frame rate above this is a container's clock, not a rate. */
const MAX_FRAMERATE = 500;

export class Formats {
  readonly #pads: ReadonlyMap<Kind, Gst.Pad>;
  readonly #last = new Map<Kind, string>();

  constructor(pipeline: Gst.Pipeline, kinds: readonly Kind[]) {
    this.#pads = new Map(kinds.map((kind) => [kind, staticPad(child(pipeline, NAMES.shape(kind)), 'src')]));
  }

  /** The formats that are new since the last call. */
  changes(): InputFormat[] {
    const changes: InputFormat[] = [];
    for (const [kind, pad] of this.#pads) {
      const caps = pad.get_current_caps()?.get_structure(0);
      if (!caps) continue;
      const format = formatOf(kind, caps);
      const text = JSON.stringify(format);
      if (this.#last.get(kind) === text) continue;
      this.#last.set(kind, text);
      changes.push(format);
    }
    return changes;
  }
}

function formatOf(kind: Kind, caps: Gst.Structure): InputFormat {
  const format: InputFormat = { event: 'inputFormat', kind };
  for (const name of ['width', 'height', 'channels', 'rate'] as const) {
    const value = numberField(caps, name);
    if (value !== undefined && value > 0) format[name] = value;
  }
  // As it is to be seen: pixels need not be square.
  const [shaped, across, down] = caps.get_fraction('pixel-aspect-ratio');
  if (shaped && across > 0 && down > 0 && format.width !== undefined)
    format.width = Math.round((format.width * across) / down);
  const [known, frames, seconds] = caps.get_fraction('framerate');
  if (known && frames > 0 && seconds > 0 && frames / seconds <= MAX_FRAMERATE)
    format.framerate = frames / seconds;
  return format;
}
