/** What a program (passthrough, composite) is to the engine that runs it. */
import type Gst from 'gi://Gst?version=1.0';

import type { Tile } from '../shared/protocol.ts';
import type { Cut } from './log-branch.ts';
import type { Receiver } from '../runtime/receiver.ts';
import type { Connect } from '../runtime/receiver-bin.ts';

export interface Program {
  /** Pipeline text that ends in the muxer; the engine adds the log and the tap. */
  readonly description: string;
  readonly cut: Cut;
  /** The pipeline is built, not yet started. */
  attach(pipeline: Gst.Pipeline): void;
  /** The pipeline plays. */
  started(): void;
  /** Element text of a receiver after its depayloader (see `receiverDescription`). @throws Error if it does not fit */
  tail(connect: Connect): string;
  /** Takes a receiver in: the pad its `src` is to be linked with. */
  plug(receiver: Receiver, connect: Connect): Gst.Pad;
  /** Lets go of a receiver: its streaming thread must not wait in this program's pads when it returns. */
  unplug(trackId: string): void;
  /** Whether the track is to be seen. Called whenever that may have changed. */
  show(trackId: string, visible: boolean): void;
  /** Every 200 ms while playing. */
  tick(nowNs: number): void;
  layout(tiles: readonly Tile[], background?: 'black' | 'white'): void;
  keyFrame(): void;
  /** See the command. @throws Error if no page is recorded */
  hide(hidden: boolean): void;
  /** Ends what has not ended with its sources. */
  finish(): void;
}
