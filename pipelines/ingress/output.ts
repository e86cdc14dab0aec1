/** One kind's way out: its socket, its RTP session, and the keys. */
import type Gio from 'gi://Gio?version=2.0';
import GLib from 'gi://GLib?version=2.0';
import type GObject from 'gi://GObject?version=2.0';
import Gst from 'gi://Gst?version=1.0';

import { action, child, numberField, property, setProperties, staticPad } from '../runtime/gst.ts';
import { bindUdp, type PortRange } from '../runtime/socket.ts';
import { setSrtpKey } from '../runtime/srtp.ts';
import type { IngressCommand } from '../shared/ingress-protocol.ts';
import { srtpCipher } from '../shared/rtp-codecs.ts';
import { type Kind, NAMES, SESSION } from './description.ts';

type Target = Pick<Extract<IngressCommand, { cmd: 'connect' }>, 'remote' | 'srtp'>;

/** Time between two Sender Reports, ns: an SFU cannot switch layers before it has one of each. */
const REPORT_INTERVAL_NS = 500e6;
/** What the sessions are told they have, bit/s: a twentieth of it is RTCP's (RFC 3550, 6.2), enough for that interval. */
const SESSION_BANDWIDTH = 2_000_000;
/** Bytes the kernel may hold of what we send: keyframes of all layers at once. */
const SOCKET_BUFFER = 2 * 1024 * 1024;

export class Output {
  readonly kind: Kind;
  readonly port: number;
  readonly #socket: Gio.Socket;
  #target: Target | undefined;
  #sink: Gst.Element | undefined;

  /** Binds. @throws Error if the address cannot be bound or no port of the range is free */
  constructor(kind: Kind, ip: string, range: PortRange) {
    this.kind = kind;
    const { socket, port } = bindUdp(ip, range);
    this.#socket = socket;
    this.port = port;
  }

  get secure(): boolean {
    return this.#target?.srtp !== undefined;
  }

  get connected(): boolean {
    return this.#target !== undefined;
  }

  connect(target: Target): void {
    if (this.#target) throw new Error(`${this.kind} is connected already`);
    this.#target = target;
  }

  /** Gives the pipeline's elements their socket, target and keys. @throws Error if an SRTP key does not fit */
  wire(pipeline: Gst.Pipeline, cname: string): void {
    const { kind } = this;
    const target = this.#target;
    if (!target) throw new Error(`${kind} is not connected`);
    const { ip: host, port } = target.remote;
    this.#sink = child(pipeline, NAMES.rtpSink(kind));
    setProperties(this.#sink, { socket: this.#socket, host, port, 'buffer-size': SOCKET_BUFFER });
    setProperties(child(pipeline, NAMES.rtcpSink(kind)), { socket: this.#socket, host, port });
    const rtp = child(pipeline, NAMES.rtp);
    const session = action(rtp, 'get-internal-session', SESSION[kind]) as GObject.Object;
    setProperties(session, { 'rtcp-min-interval': REPORT_INTERVAL_NS, bandwidth: SESSION_BANDWIDTH });
    const names = Gst.Structure.new_empty('application/x-rtp-source-sdes');
    names.set_value('cname', cname);
    setProperties(rtp, { sdes: names });
    const source = child(pipeline, NAMES.rtcpSource(kind));
    setProperties(source, { socket: this.#socket, caps: Gst.Caps.from_string(this.#rtcpCaps(target)) });
    if (target.srtp) setSrtpKey(child(pipeline, NAMES.srtpEncoder(kind)), target.srtp.local);
  }

  /** Whether a packet has left. */
  get flowing(): boolean {
    if (!this.#sink) return false;
    return (numberField(property(this.#sink, 'stats') as Gst.Structure, 'rendered') ?? 0) > 0;
  }

  /**
   * Tells the session the clock rate of every stream, which rtpfunnel keeps from it: without it reports tell when
   * packets left, not when media was captured. Media must flow already.
   */
  nameStreams(pipeline: Gst.Pipeline, ssrcs: readonly number[], payloadType: number): void {
    const pad = staticPad(child(pipeline, NAMES.rtp), `send_rtp_sink_${SESSION[this.kind]}`);
    for (const ssrc of ssrcs) {
      const caps = Gst.Caps.from_string(
        `application/x-rtp,media=${this.kind},clock-rate=90000,payload=${payloadType},ssrc=(uint)${ssrc}`,
      );
      if (caps) pad.send_event(Gst.Event.new_caps(caps));
    }
  }

  /** Whether a message comes from this output's end. */
  isSink(source: Gst.Object | null): boolean {
    return source !== null && source === this.#sink;
  }

  close(): void {
    this.#socket.close();
  }

  /** What comes back is RTCP alone. mediasoup signs it with SSRC 0. */
  #rtcpCaps({ srtp }: Target): string {
    if (!srtp) return 'application/x-rtcp';
    const { keyHex, cipher, auth, rtcpAuth } = srtpCipher(srtp.remote, (text) => GLib.base64_decode(text));
    return [
      'application/x-srtcp, ssrc=(uint)0',
      `srtp-key=(buffer)${keyHex}, srtp-cipher=(string)${cipher}, srtp-auth=(string)${auth}`,
      `srtcp-cipher=(string)${cipher}, srtcp-auth=(string)${rtcpAuth}`,
    ].join(', ');
  }
}
