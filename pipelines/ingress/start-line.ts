/**
 * Media with a pace of its own: the pipeline waits, paused, until the first frame of every kind is there, and plays from
 * the earliest of them on.
 */
import Gst from 'gi://Gst?version=1.0';

import { child, monotonicMs, property, setProperties } from '../runtime/gst.ts';
import { type Kind, NAMES } from './description.ts';

/** How long a kind that is there waits for one that is not. */
const WAIT_MS = 2000;

export class StartLine {
  readonly #pipeline: Gst.Pipeline;
  readonly #kinds: readonly Kind[];
  #sinceMs: number | undefined;

  constructor(pipeline: Gst.Pipeline, kinds: readonly Kind[]) {
    this.#pipeline = pipeline;
    this.#kinds = kinds;
  }

  /** Call often while the pipeline is paused. @returns true once it may play: its clock begins with the media */
  ready(): boolean {
    const starts = this.#kinds.map((kind) => this.#firstNs(kind)).filter((ns) => ns !== undefined);
    if (starts.length === 0) return false;
    this.#sinceMs ??= monotonicMs();
    if (starts.length < this.#kinds.length && monotonicMs() - this.#sinceMs < WAIT_MS) return false;
    const startNs = Math.min(...starts);
    for (const kind of this.#kinds)
      setProperties(child(this.#pipeline, NAMES.pace(kind)), { 'ts-offset': -startNs });
    return true;
  }

  /** Running time of a kind's first frame. */
  #firstNs(kind: Kind): number | undefined {
    const sample = property(child(this.#pipeline, NAMES.first(kind)), 'last-sample') as Gst.Sample | null;
    const buffer = sample?.get_buffer();
    if (!sample || !buffer) return undefined;
    const ns = sample.get_segment().to_running_time(Gst.Format.TIME, buffer.pts);
    // One without a time is played at once.
    return ns < 2 ** 63 ? ns : 0;
  }
}
