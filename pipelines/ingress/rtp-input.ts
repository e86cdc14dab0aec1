/** An input of RTP: receivers as an egress has them, kept in sync with each other. */
import Gst from 'gi://Gst?version=1.0';

import { child, staticPad } from '../runtime/gst.ts';
import { Receiver } from '../runtime/receiver.ts';
import { bindUdp, type PortRange } from '../runtime/socket.ts';
import type { IngressCommand } from '../shared/ingress-protocol.ts';
import { LipSync } from '../shared/lip-sync.ts';
import { codecElements } from '../shared/rtp-codecs.ts';
import { type Kind, NAMES } from './description.ts';

type ConnectInput = Extract<IngressCommand, { cmd: 'connectInput' }>;
type Socket = ReturnType<typeof bindUdp>['socket'];

export class RtpInput {
  readonly #sockets = new Map<Kind, Socket>();
  readonly #connects = new Map<Kind, ConnectInput>();
  readonly #receivers = new Map<Kind, Receiver>();
  readonly #sync = new LipSync();

  /** @returns the port. @throws Error if the address cannot be bound or no port of the range is free */
  bind(kind: Kind, ip: string, range: PortRange): number {
    if (this.#sockets.has(kind)) throw new Error(`the input's ${kind} is bound already`);
    const { socket, port } = bindUdp(ip, range);
    this.#sockets.set(kind, socket);
    return port;
  }

  /** @throws Error if the kind is not bound, or its codec is not known or of the other kind */
  connect(connect: ConnectInput): void {
    const { kind, codec } = connect;
    if (!this.#sockets.has(kind)) throw new Error(`the input's ${kind} is not bound`);
    if (codecElements(codec.mimeType).kind !== kind) throw new Error(`${codec.mimeType} is not ${kind}`);
    this.#connects.set(kind, connect);
  }

  /**
   * Puts a kind's receiver in front of its branch.
   * @param copy whether the stream is wanted as it is, not decoded
   * @throws Error if the kind is not connected, or an SRTP key does not fit
   */
  plug(pipeline: Gst.Pipeline, kind: Kind, copy: boolean): void {
    const connect = this.#connects.get(kind);
    const socket = this.#sockets.get(kind);
    if (!connect || !socket) throw new Error(`the input's ${kind} is not connected`);
    const { parse, decode } = codecElements(connect.codec.mimeType);
    const sync = kind === 'video' ? ' automatic-request-sync-points=true' : '';
    const tail = `${parse}${copy ? '' : ` ! ${decode}${sync}`} ! identity name=out silent=true`;
    const track = { cmd: 'connect', trackId: kind, syncGroup: 'input', muted: false } as const;
    // The receiver owns the socket from here on.
    this.#sockets.delete(kind);
    const receiver = new Receiver(`${kind}receiver`, { ...connect, ...track }, socket, tail);
    this.#receivers.set(kind, receiver);
    this.#sync.add(kind, 'input', kind);
    pipeline.add(receiver.bin);
    const linked = receiver.src.link(staticPad(child(pipeline, NAMES.input(kind)), 'sink'));
    if (linked !== Gst.PadLinkReturn.OK) throw new Error(`the input's ${kind} cannot be linked`);
  }

  /** Call about five times a second. */
  tune(): void {
    for (const receiver of this.#receivers.values()) receiver.tune();
  }

  /** Keeps the lips in sync. Call about twice a second. */
  sync(): void {
    for (const [kind, receiver] of this.#receivers) {
      const clock = receiver.measure();
      if (clock !== undefined) this.#sync.measure(kind, clock);
    }
    for (const { trackId, offsetNs } of this.#sync.step())
      this.#receivers.get(trackId as Kind)?.setOffset(offsetNs);
  }

  /** Closes the sockets. The pipeline must be stopped. */
  close(): void {
    for (const receiver of this.#receivers.values()) receiver.close();
    for (const socket of this.#sockets.values()) socket.close();
  }
}
