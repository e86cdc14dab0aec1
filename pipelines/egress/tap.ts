/**
 * The live tap: the muxer's bytes on a file descriptor, in a pipeline of its own behind a proxysink, which never
 * fails nor blocks the one it is in. A reader that does not read loses what does not fit the queue (whole access
 * units, so that it finds MPEG-TS discontinuities and goes on at a keyframe); one that has gone ends the tap.
 * The log feels neither.
 */
import GLib from 'gi://GLib?version=2.0';
import Gst from 'gi://Gst?version=1.0';

import { RENDITION_FDS, TAP_FD } from '../shared/protocol.ts';
import {
  allElements,
  child,
  childBin,
  parsePipeline,
  setFromText,
  setProperties,
  watchBus,
} from '../runtime/gst.ts';

/** Bytes that wait for a reader: 8 s at 8 Mbit/s. */
const QUEUE_BYTES = 8 * 1024 * 1024;

/** Text of a tap's end in the pipeline. @param index 0: the main tap; from 1 on, those of renditions */
export const tapSink = (index: number): string => `proxysink name=tap${index}`;

export class Tap {
  readonly #pipeline: Gst.Pipeline;
  readonly #fd: number;
  #open = true;
  #onEnd: (() => void) | undefined;

  /**
   * @param pipeline holds {@link tapSink}
   * @param warn told once when the reader has gone
   */
  constructor(pipeline: Gst.Bin, index: number, warn: (message: string) => void) {
    this.#fd = index === 0 ? TAP_FD : (RENDITION_FDS[index - 1] ?? TAP_FD);
    this.#pipeline = parsePipeline(
      `proxysrc name=in ! fdsink name=out fd=${this.#fd} sync=false async=false`,
    );
    const source = childBin(this.#pipeline, 'in');
    setProperties(source, { proxysink: child(pipeline, `tap${index}`) });
    const queue = allElements(source).find((element) => element.get_factory()?.get_name() === 'queue');
    if (!queue) throw new Error('proxysrc has no queue');
    setProperties(queue, { 'max-size-buffers': 0, 'max-size-time': 0, 'max-size-bytes': QUEUE_BYTES });
    setFromText(queue, { leaky: 'downstream' });
    watchBus(this.#pipeline, (message) => {
      if (message.type === Gst.MessageType.ERROR && this.#open) {
        warn(`live tap: ${message.parse_error()[0]?.message ?? 'failed'}`);
        this.close();
      } else if (message.type === Gst.MessageType.EOS) this.close();
    });
  }

  open(): void {
    // fdsink waits until it can write, and may be woken while it waits; a blocking write of much would not end.
    GLib.unix_set_fd_nonblocking(this.#fd, true);
    this.#pipeline.set_state(Gst.State.PLAYING);
  }

  /** Calls back when everything has been written, or the tap has ended for another reason. */
  whenEnded(callback: () => void): void {
    if (this.#open) this.#onEnd = callback;
    else callback();
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#pipeline.get_bus().remove_watch();
    this.#pipeline.set_state(Gst.State.NULL);
    this.#onEnd?.();
  }
}
