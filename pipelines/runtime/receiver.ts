/** One track: a bin that receives RTP on a bound socket and gives out frames or raw media on its `src` pad. */
import type Gio from 'gi://Gio?version=2.0';
import GLib from 'gi://GLib?version=2.0';
import type GObject from 'gi://GObject?version=2.0';
import Gst from 'gi://Gst?version=1.0';

import { senderClockAtZero } from '../shared/lip-sync.ts';
import type { RtpCodec } from '../shared/protocol.ts';
import { rtpCaps, srtpCipher } from '../shared/rtp-codecs.ts';
import {
  action,
  allElements,
  bigField,
  child,
  childBin,
  ghost,
  numberField,
  property,
  setProperties,
  staticPad,
} from './gst.ts';
import { type Connect, RECEIVER, receiverDescription } from './receiver-bin.ts';
import { setSrtpKey } from './srtp.ts';

/** Time between two receiver reports when there is no feedback to send, ns. */
const REPORT_INTERVAL_NS = 500e6;
/**
 * What the session is told it has, bit/s. RTCP gets a twentieth of it (RFC 4585, 3.5), and only one packet of
 * feedback may be early: with the default of 64 kbit/s a second NACK waits for a third of a second, longer than the
 * jitterbuffer does. With this it waits 20 ms.
 */
const SESSION_BANDWIDTH = 1_000_000;

/** What a track's packets have turned into. */
export interface MediaFormat {
  width?: number;
  height?: number;
  framerate?: number;
  channels?: number;
  rate?: number;
}

export class Receiver {
  readonly trackId: string;
  readonly kind: 'audio' | 'video';
  readonly syncGroup: string;
  readonly bin: Gst.Bin;
  /** The bin's only source pad. */
  readonly src: Gst.Pad;
  readonly #codec: RtpCodec;
  readonly #ssrc: number;
  readonly #socket: Gio.Socket;
  readonly #lastPacket: Gst.Element;
  readonly #session: GObject.Object;
  #jitterBuffers: Gst.Element[] = [];
  /** Elements of rtpbin when its jitterbuffers were looked for last. */
  #children = 0;
  /** No stream comes in but those that are there. */
  #onlyOwn = false;
  #offsetNs = 0;
  /** Sequence number of the last packet that was measured, or that left before the offset was changed. */
  #seenSeqnum: number | undefined;
  /** NTP time of the last report that was measured. */
  #measuredNtp: bigint | undefined;

  /**
   * Builds the bin, to be added to a pipeline. The receiver owns the socket from here on, also when this throws.
   * @param name unique name of the bin
   * @param tail see {@link receiverDescription}
   * @throws Error if the codec is not known or an SRTP key does not fit
   */
  constructor(name: string, connect: Connect, socket: Gio.Socket, tail: string) {
    this.trackId = connect.trackId;
    this.kind = connect.kind;
    this.syncGroup = connect.syncGroup;
    this.#codec = connect.codec;
    this.#ssrc = connect.ssrc;
    this.#socket = socket;
    try {
      // Not `ghost_unlinked_pads`: it would ghost the depayloader's sink pad, which is to be linked later.
      this.bin = Gst.parse_bin_from_description(receiverDescription(connect, tail), false);
      this.bin.set_name(name);
      this.src = ghost(this.bin, staticPad(child(this.bin, RECEIVER.out), 'src'));
      this.#lastPacket = child(this.bin, RECEIVER.lastPacket);
      this.#session = action(child(this.bin, RECEIVER.rtp), 'get-internal-session', 0) as GObject.Object;
      this.#wire(connect);
    } catch (error) {
      socket.close();
      throw error;
    }
  }

  #wire(connect: Connect): void {
    const decode = (base64: string): Uint8Array => GLib.base64_decode(base64);
    const remote = connect.srtp && srtpCipher(connect.srtp.remote, decode);
    setProperties(child(this.bin, RECEIVER.udpSource), {
      socket: this.#socket,
      caps: Gst.Caps.from_string(rtpCaps(connect.codec, connect.ssrc, remote)),
    });
    setProperties(child(this.bin, RECEIVER.udpSink), {
      socket: this.#socket,
      host: connect.remote.ip,
      port: connect.remote.port,
    });
    setProperties(this.#session, { 'rtcp-min-interval': REPORT_INTERVAL_NS, bandwidth: SESSION_BANDWIDTH });
    if (!connect.srtp) return;
    setSrtpKey(child(this.bin, RECEIVER.srtpEncoder), connect.srtp.local);
  }

  /** RTP packets that have left the jitterbuffer so far. (The session's statistics cost ten times as much to read.) */
  packets(): number {
    return numberField(property(this.#lastPacket, 'stats') as Gst.Structure, 'rendered') ?? 0;
  }

  /** Running time of the last packet that left the jitterbuffer, ns. */
  position(): number | undefined {
    return this.#packet()?.runningNs;
  }

  /** Format of what the bin gives out; undefined until the first frame. */
  format(): MediaFormat | undefined {
    const structure = this.src.get_current_caps()?.get_structure(0);
    if (!structure) return undefined;
    const format: MediaFormat = {};
    for (const name of ['width', 'height', 'channels', 'rate'] as const) {
      const value = numberField(structure, name);
      if (value !== undefined) format[name] = value;
    }
    const [known, numerator, denominator] = structure.get_fraction('framerate');
    if (known && numerator > 0 && denominator > 0) format.framerate = numerator / denominator;
    return format;
  }

  /**
   * The sender's clock at running time zero as the latest report and packet tell it, once a report; undefined while
   * there is none that is new.
   */
  measure(): bigint | undefined {
    const stats = this.#sourceStats();
    if (stats?.get_value('have-sr') !== true) return undefined;
    const ntp = bigField(stats, 'sr-ntptime');
    const rtp = numberField(stats, 'sr-rtptime');
    const packet = this.#packet();
    // A packet from before the last change of the offset would be counted with the wrong one.
    if (!ntp || rtp === undefined || !packet || packet.seqnum === this.#seenSeqnum) return undefined;
    if (ntp === this.#measuredNtp) return undefined;
    this.#measuredNtp = ntp;
    this.#seenSeqnum = packet.seqnum;
    const media = { rtp: packet.rtp, runningNs: packet.runningNs - this.#offsetNs };
    return senderClockAtZero({ ntp, rtp }, media, this.#codec.clockRate);
  }

  /**
   * Settings of what rtpbin makes only when packets come. Call about four times a second.
   *
   * A stream that was not announced leads nowhere, and ends the source with that error. Until the track's own has come
   * others have to be let in, and a track that fails for it is connected anew; afterwards none is.
   *
   * A jitterbuffer that asks for lost packets again takes the next packet for lost when it is overdue, and throws it
   * away when it comes after all: the first of a track that was muted, often a keyframe's. A gap in the sequence
   * numbers is loss, the passing of time is not.
   */
  tune(): void {
    const rtpBin = childBin(this.bin, RECEIVER.rtp);
    const children = rtpBin.get_children_count();
    if (children !== this.#children) {
      this.#children = children;
      this.#jitterBuffers = find(rtpBin, 'rtpjitterbuffer');
      for (const jitterBuffer of this.#jitterBuffers)
        setProperties(jitterBuffer, { 'rtx-next-seqnum': false });
    }
    if (this.#onlyOwn || this.packets() === 0) return;
    this.#onlyOwn = true;
    for (const demux of find(rtpBin, 'rtpssrcdemux'))
      setProperties(demux, { 'max-streams': this.#jitterBuffers.length });
  }

  /** Delays all packets from now on by `offsetNs`. @returns false while there is no packet to delay */
  setOffset(offsetNs: number): boolean {
    if (this.#jitterBuffers.length === 0) return false;
    for (const jitterBuffer of this.#jitterBuffers) setProperties(jitterBuffer, { 'ts-offset': offsetNs });
    this.#seenSeqnum = this.#packet()?.seqnum;
    this.#offsetNs = offsetNs;
    return true;
  }

  /** Closes the socket. The bin must be stopped. */
  close(): void {
    this.#socket.close();
  }

  #sourceStats(): Gst.Structure | undefined {
    const source = action(this.#session, 'get-source-by-ssrc', this.#ssrc) as GObject.Object | null;
    return source ? (property(source, 'stats') as Gst.Structure) : undefined;
  }

  /** The packet that left the jitterbuffer last (RFC 3550, 5.1: sequence number and timestamp). */
  #packet(): { seqnum: number; rtp: number; runningNs: number } | undefined {
    const sample = property(this.#lastPacket, 'last-sample') as Gst.Sample | null;
    const buffer = sample?.get_buffer();
    if (!buffer || buffer.get_size() < 12) return undefined;
    const header = buffer.extract_dup(0, 12);
    const view = new DataView(header.buffer, header.byteOffset, header.byteLength);
    return { seqnum: view.getUint16(2), rtp: view.getUint32(4), runningNs: Number(buffer.pts) };
  }
}

/** Elements of one kind. Of jitterbuffers rtpbin makes one for every SSRC when its first packet comes. */
function find(rtpBin: Gst.Bin, factory: string): Gst.Element[] {
  return allElements(rtpBin).filter((element) => element.get_factory()?.get_name() === factory);
}
