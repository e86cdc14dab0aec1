/** The tracks of an egress: sockets, receivers, and what is watched about them from the main loop. */
import type Gio from 'gi://Gio?version=2.0';
import Gst from 'gi://Gst?version=1.0';

import { FlowWatch } from '../shared/flow-watch.ts';
import { LipSync } from '../shared/lip-sync.ts';
import type { PipelineEvent } from '../shared/protocol.ts';
import { monotonicMs } from '../runtime/gst.ts';
import type { Program } from './program.ts';
import { Receiver } from '../runtime/receiver.ts';
import type { Connect } from '../runtime/receiver-bin.ts';
import { bindUdp, type PortRange } from '../runtime/socket.ts';

/** Bins are named after a number, never again the same: a message of one that is gone finds nobody. */
const BIN_PREFIX = 'track-';

/** ns. */
const CLOCK_STEP_NS = 2_000_000n;

interface Track {
  receiver: Receiver;
  flow: FlowWatch;
  format: string;
  /** What was said last of its sender's clock. */
  clock?: bigint;
}

export class Tracks {
  readonly #pipeline: Gst.Pipeline;
  readonly #program: Program;
  readonly #emit: (event: PipelineEvent) => void;
  readonly #sockets = new Map<string, Gio.Socket>();
  readonly #tracks = new Map<string, Track>();
  readonly #sync = new LipSync();
  #count = 0;
  #odd = false;

  constructor(pipeline: Gst.Pipeline, program: Program, emit: (event: PipelineEvent) => void) {
    this.#pipeline = pipeline;
    this.#program = program;
    this.#emit = emit;
  }

  /** @returns the port. @throws Error if the address cannot be bound or no port of the range is free */
  bind(trackId: string, ip: string, range: PortRange): number {
    if (this.#sockets.has(trackId) || this.#tracks.has(trackId))
      throw new Error(`track ${trackId} is bound already`);
    const { socket, port } = bindUdp(ip, range);
    this.#sockets.set(trackId, socket);
    return port;
  }

  /** @throws Error if the track is not bound or its codec does not fit the program */
  connect(connect: Connect): void {
    const { trackId } = connect;
    const socket = this.#sockets.get(trackId);
    if (!socket) throw new Error(`track ${trackId} is not bound`);
    const tail = this.#program.tail(connect);
    this.#sockets.delete(trackId);
    const receiver = new Receiver(`${BIN_PREFIX}${++this.#count}`, connect, socket, tail);
    let pad: Gst.Pad;
    try {
      pad = this.#program.plug(receiver, connect);
    } catch (error) {
      receiver.close();
      throw error;
    }
    const flow = new FlowWatch(monotonicMs(), connect.muted);
    this.#tracks.set(trackId, { receiver, flow, format: '' });
    this.#program.show(trackId, flow.flowing);
    this.#sync.add(trackId, connect.syncGroup, connect.kind);
    this.#pipeline.add(receiver.bin);
    const linked = receiver.src.link(pad);
    if (linked !== Gst.PadLinkReturn.OK || !receiver.bin.sync_state_with_parent()) {
      this.disconnect(trackId);
      throw new Error(`track ${trackId}'s receiver does not start`);
    }
  }

  /**
   * Takes a track out while everything else goes on. Releasing the mixer's pad first wakes a streaming thread that
   * waits in it, so that stopping the bin cannot hang; what the bin complains about on its way is heard by nobody.
   */
  disconnect(trackId: string): void {
    this.#sockets.get(trackId)?.close();
    this.#sockets.delete(trackId);
    const track = this.#tracks.get(trackId);
    if (!track) return;
    this.#tracks.delete(trackId);
    this.#sync.remove(trackId);
    const { receiver } = track;
    receiver.bin.set_locked_state(true);
    this.#program.unplug(trackId);
    receiver.bin.set_state(Gst.State.NULL);
    this.#pipeline.remove(receiver.bin);
    receiver.close();
  }

  setMuted(trackId: string, muted: boolean): void {
    const track = this.#tracks.get(trackId);
    if (!track) throw new Error(`track ${trackId} is not connected`);
    track.flow.setMuted(muted, monotonicMs());
    this.#program.show(trackId, track.flow.flowing);
  }

  /** The track a bus message comes from; null if it is a track's that is gone; undefined if it is no track's. */
  ownerOf(source: Gst.Object | null): string | null | undefined {
    for (let object = source; object; object = object.get_parent()) {
      const name = object.get_name() ?? '';
      if (!name.startsWith(BIN_PREFIX)) continue;
      for (const [trackId, { receiver }] of this.#tracks) if (receiver.bin === object) return trackId;
      return null;
    }
    return undefined;
  }

  /** Removes a track whose receiver failed, and says so. */
  fail(trackId: string, message: string): void {
    this.disconnect(trackId);
    this.#emit({ event: 'trackError', trackId, message });
  }

  /** Looks after flow, and every other time after format. Call about five times a second. */
  watch(): void {
    const nowMs = monotonicMs();
    this.#odd = !this.#odd;
    for (const [trackId, track] of this.#tracks) {
      track.receiver.tune();
      const change = track.flow.update(track.receiver.packets(), nowMs);
      if (change !== undefined) this.#emit({ event: 'trackFlow', trackId, flowing: change });
      this.#program.show(trackId, track.flow.flowing);
      if (this.#odd) continue;
      const format = track.receiver.format();
      const text = format ? JSON.stringify(format) : '';
      if (!format || text === track.format) continue;
      track.format = text;
      this.#emit({ event: 'trackFormat', trackId, ...format });
    }
  }

  /** Keeps the lips in sync. Call about twice a second. */
  sync(): void {
    for (const [trackId, { receiver }] of this.#tracks) {
      const clock = receiver.measure();
      if (clock !== undefined) this.#sync.measure(trackId, clock);
    }
    for (const { trackId, offsetNs } of this.#sync.step()) {
      if (this.#tracks.get(trackId)?.receiver.setOffset(offsetNs))
        this.#emit({ event: 'trackSync', trackId, offsetNs });
    }
    this.#tellClocks();
  }

  /** Says what a track's own clock shows, when that has changed by more than its measurement does anyway. */
  #tellClocks(): void {
    for (const [trackId, track] of this.#tracks) {
      const clock = this.#sync.clockOf(trackId);
      if (clock === undefined) continue;
      const difference = clock - (track.clock ?? 0n);
      if (difference > -CLOCK_STEP_NS && difference < CLOCK_STEP_NS) continue;
      track.clock = clock;
      this.#emit({ event: 'trackClock', trackId, atZeroNs: String(clock) });
    }
  }

  close(): void {
    for (const trackId of [...this.#sockets.keys(), ...this.#tracks.keys()]) this.disconnect(trackId);
  }
}
