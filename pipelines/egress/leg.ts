/**
 * A copied stream's way into the muxer. The muxer waits for every stream it has, so a leg tells it, whenever there
 * is nothing, that there is nothing: a gap up to a little while ago. It may begin before its track exists.
 */
import Gst from 'gi://Gst?version=1.0';

import { child, property, staticPad } from '../runtime/gst.ts';
import { JITTER_LATENCY_MS } from '../runtime/receiver-bin.ts';

/** How far behind the clock gaps stay: a frame may still be on its way for as long as the jitterbuffer waits. */
const HOLD_BACK_NS = (JITTER_LATENCY_MS + 50) * 1e6;
/** Bytes in the leg's queue from which no gap is needed, and none may block the main loop. */
const BUSY_BYTES = 1;

/** 20 ms of silence for two channels (RFC 6716, 3.1: CELT, full band, one frame; what encoders send for it). */
const OPUS_SILENCE = new Uint8Array([0xfc, 0xff, 0xfe]);
const OPUS_FRAME_NS = 20_000_000;
/** A longer silence at once is a clock that begins late (a later attempt), not one to fill. */
const MAX_OPUS_FILL_NS = 5e9;

export class Leg {
  /** Where the track's frames come in. */
  readonly sink: Gst.Pad;
  readonly #queue: Gst.Element;
  #gapNs = 0;
  #ended = false;

  /** @param queueName an unbounded queue before the muxer */
  constructor(pipeline: Gst.Bin, queueName: string) {
    this.#queue = child(pipeline, queueName);
    this.sink = staticPad(this.#queue, 'sink');
  }

  /**
   * Declares the stream before there is one, so that it is in the muxer's tables from the first packet on.
   * @param nowNs running time: nothing is to be bridged before it
   */
  declare(name: string, caps: string, nowNs: number): void {
    this.#gapNs = nowNs;
    const segment = new Gst.Segment();
    segment.init(Gst.Format.TIME);
    const parsed = Gst.Caps.from_string(caps);
    if (!parsed) throw new Error(`not caps: ${caps}`);
    this.sink.send_event(Gst.Event.new_stream_start(name));
    this.sink.send_event(Gst.Event.new_caps(parsed));
    this.sink.send_event(Gst.Event.new_segment(segment));
  }

  /**
   * Bridges a silence.
   * @param lastNs running time of the track's latest frame, if any
   */
  fill(nowNs: number, lastNs: number | undefined): void {
    const untilNs = nowNs - HOLD_BACK_NS;
    const fromNs = Math.max(lastNs ?? 0, this.#gapNs);
    if (this.#ended || untilNs <= fromNs) return;
    if (this.#busy()) return;
    this.#gapNs = untilNs;
    this.sink.send_event(Gst.Event.new_gap(untilNs, 0));
  }

  /**
   * Bridges a silence of Opus with frames of silence, which also files that know no timestamps keep. Where sound comes
   * back a hole of up to half a second stays: until then a packet may just be late.
   */
  fillOpus(nowNs: number, lastNs: number | undefined): void {
    if (this.#ended || this.#busy()) return;
    const untilNs = nowNs - HOLD_BACK_NS;
    this.#gapNs = Math.max(this.#gapNs, lastNs === undefined ? 0 : lastNs + OPUS_FRAME_NS);
    if (untilNs - this.#gapNs > MAX_OPUS_FILL_NS) this.#gapNs = untilNs;
    for (; this.#gapNs + OPUS_FRAME_NS <= untilNs; this.#gapNs += OPUS_FRAME_NS) {
      const buffer = Gst.Buffer.new_wrapped(OPUS_SILENCE);
      buffer.pts = this.#gapNs;
      buffer.duration = OPUS_FRAME_NS;
      this.sink.chain(buffer);
    }
  }

  #busy(): boolean {
    return Number(property(this.#queue, 'current-level-bytes')) >= BUSY_BYTES;
  }

  /** No more frames: harmless if the stream has ended by itself. */
  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.sink.send_event(Gst.Event.new_eos());
  }
}
