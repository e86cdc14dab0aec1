/**
 * The peer connection of the test publisher. JavaScript cannot be called from webrtcbin's thread, so there
 * are no signal handlers: promises are waited for, and states are polled from the main loop.
 */
import GLib from 'gi://GLib?version=2.0';
import GObject from 'gi://GObject?version=2.0';
import Gst from 'gi://Gst?version=1.0';
import GstSdp from 'gi://GstSdp?version=1.0';
import GstWebRTC from 'gi://GstWebRTC?version=1.0';

const POLL_MS = 20;
/** Between two looks at whether the connection has broken, which nobody waits for. */
const WATCH_MS = 250;
/** Least time between two RTCP reports, so that receivers can align sound and picture from the first second on. */
const RTCP_INTERVAL_NS = 500e6;

/** What is used of webrtcbin; the GIR file describes neither its properties nor its signals. */
interface WebRtcBin {
  ice_gathering_state: GstWebRTC.WebRTCICEGatheringState;
  connection_state: GstWebRTC.WebRTCPeerConnectionState;
  ice_agent: GObject.Object & {
    /** libnice's. */
    agent: { upnp: boolean };
    emit(signal: 'add-local-ip-address', address: string): boolean;
  };
  local_description: GstWebRTC.WebRTCSessionDescription | null;
  get_by_name(name: 'rtpbin'): RtpBin | null;
  get_by_name(name: 'rtpfunnel0'): Gst.Element | null;
  get_static_pad(name: string): unknown;
  emit(signal: 'get-transceiver', index: number): GstWebRTC.WebRTCRTPTransceiver & { do_nack: boolean };
  emit(signal: 'create-offer', options: null, promise: Gst.Promise): void;
  emit(
    signal: 'set-local-description' | 'set-remote-description',
    description: GstWebRTC.WebRTCSessionDescription,
    promise: Gst.Promise,
  ): void;
}
/** The rtpbin inside webrtcbin. */
interface RtpBin {
  rtcp_sync_send_time: boolean;
  emit(signal: 'get-internal-session', id: number): { rtcp_min_interval: number } | null;
}

export type PeerState = 'new' | 'connecting' | 'connected' | 'disconnected' | 'failed' | 'closed';

export class Peer {
  readonly #bin: WebRtcBin;

  /**
   * @param bin the webrtcbin, its pads linked, before it leaves READY
   * @param addresses IP addresses of this machine to be reached at; none: all but loopback
   */
  constructor(bin: Gst.Element, addresses: readonly string[]) {
    this.#bin = bin as unknown as WebRtcBin;
    const { ice_agent: ice } = this.#bin;
    // webrtcbin hands its agent out floating, so that gjs takes webrtcbin's own reference: here is another.
    GObject.Object.prototype.ref.call(ice);
    // Nobody is asked to open a port for a test.
    ice.agent.upnp = false;
    for (const address of addresses) ice.emit('add-local-ip-address', address);
    // Sender Reports tie RTP time to when frames were taken, not to when the encoder let them go.
    this.#rtpBin().rtcp_sync_send_time = false;
  }

  /**
   * What the offer says about the nth track.
   * @param retransmit answer NACKs with RTX
   */
  configure(index: number, preferences: string, msid: string, retransmit: boolean): void {
    const transceiver = this.#bin.emit('get-transceiver', index);
    transceiver.direction = GstWebRTC.WebRTCRTPTransceiverDirection.SENDONLY;
    const caps = Gst.Caps.from_string(preferences);
    if (!caps) throw new Error(`not caps: ${preferences}`);
    transceiver.codec_preferences = caps;
    transceiver.do_nack = retransmit;
    const pad = this.#bin.get_static_pad(`sink_${index}`) as { msid: string } | null;
    if (pad) pad.msid = msid;
  }

  /** Calls back with the offer, all candidates in it. */
  offer(done: (sdp: string) => void): void {
    const created = Gst.Promise.new();
    this.#bin.emit('create-offer', null, created);
    const offer = reply(created, 'create-offer').get_value('offer');
    const set = Gst.Promise.new();
    this.#bin.emit('set-local-description', offer as GstWebRTC.WebRTCSessionDescription, set);
    reply(set, 'set-local-description', true);
    poll(() => {
      const description = this.#bin.local_description;
      if (!description || this.#bin.ice_gathering_state !== GstWebRTC.WebRTCICEGatheringState.COMPLETE)
        return false;
      done(withPorts(description.sdp.as_text()));
      return true;
    });
  }

  /** @throws Error when the answer is not SDP or does not answer the offer */
  answer(sdp: string): void {
    const [parsed, message] = GstSdp.SDPMessage.new_from_text(sdp);
    if (parsed !== GstSdp.SDPResult.OK) throw new Error('the answer is not valid SDP');
    const description = GstWebRTC.WebRTCSessionDescription.new(GstWebRTC.WebRTCSDPType.ANSWER, message);
    const set = Gst.Promise.new();
    this.#bin.emit('set-remote-description', description, set);
    reply(set, 'set-remote-description', true);
    const session = this.#rtpBin().emit('get-internal-session', 0);
    if (session) session.rtcp_min_interval = RTCP_INTERVAL_NS;
  }

  /**
   * Lets keyframe requests find their layer. webrtcbin bundles its tracks in a funnel that sends a request to
   * the track whose caps named the SSRC, and the caps of a simulcast track name none: so they are told to it.
   */
  routeLayers(ssrcs: readonly number[]): void {
    poll(() => {
      const pad = this.#videoPad();
      const caps = pad?.get_current_caps();
      // Nothing has flowed yet.
      if (!pad || !caps) return false;
      for (const ssrc of ssrcs) {
        const named = Gst.Caps.from_string(`${caps.to_string()}, ssrc=(uint)${ssrc}`);
        if (named) pad.send_event(Gst.Event.new_caps(named));
      }
      return true;
    });
  }

  /** Where video enters the funnel inside webrtcbin. */
  #videoPad(): Gst.Pad | null | undefined {
    // By names: gjs can iterate neither over a bin's elements nor over an element's pads. The funnel is the
    // process's only one without a name of its own, and its pads are numbered like the tracks.
    const funnel = this.#bin.get_by_name('rtpfunnel0');
    return ['sink_0', 'sink_1']
      .map((name) => funnel?.get_static_pad(name))
      .find((pad) => pad?.get_current_caps()?.get_structure(0).get_string('media') === 'video');
  }

  get state(): PeerState {
    return STATES[this.#bin.connection_state] ?? 'new';
  }

  /** Calls back at every change of state, until the listener answers false. */
  onState(listener: (state: PeerState) => boolean): void {
    let last = this.state;
    const look = (): boolean => {
      const state = this.state;
      const wasConnected = last === 'connected';
      if (state === last) return false;
      last = state;
      if (!listener(state)) return true;
      // Every look wakes the process and asks webrtcbin.
      if (state !== 'connected' && !wasConnected) return false;
      poll(look, state === 'connected' ? WATCH_MS : POLL_MS);
      return true;
    };
    poll(look);
  }

  #rtpBin(): RtpBin {
    const bin = this.#bin.get_by_name('rtpbin');
    if (!bin) throw new Error('webrtcbin has no rtpbin');
    return bin;
  }
}

const STATES: Readonly<Record<number, PeerState>> = {
  [GstWebRTC.WebRTCPeerConnectionState.NEW]: 'new',
  [GstWebRTC.WebRTCPeerConnectionState.CONNECTING]: 'connecting',
  [GstWebRTC.WebRTCPeerConnectionState.CONNECTED]: 'connected',
  [GstWebRTC.WebRTCPeerConnectionState.DISCONNECTED]: 'disconnected',
  [GstWebRTC.WebRTCPeerConnectionState.FAILED]: 'failed',
  [GstWebRTC.WebRTCPeerConnectionState.CLOSED]: 'closed',
};

/** Waits for webrtcbin's thread and answers what it said. */
function reply(promise: Gst.Promise, what: string, mayBeEmpty?: false): Gst.Structure;
function reply(promise: Gst.Promise, what: string, mayBeEmpty: true): Gst.Structure | null;
function reply(promise: Gst.Promise, what: string, mayBeEmpty = false): Gst.Structure | null {
  const result = promise.wait();
  const structure = promise.get_reply();
  if (result !== Gst.PromiseResult.REPLIED || (!structure && !mayBeEmpty))
    throw new Error(`${what} got no answer`);
  if (structure?.has_field('error')) {
    const error = structure.get_value('error') as GLib.Error;
    throw new Error(`${what}: ${error.message}`);
  }
  return structure;
}

/**
 * Gives bundled sections the discard port. webrtcbin marks them `bundle-only` with port 0 (RFC 8843), which
 * receivers that do not know that attribute take for a rejected section.
 */
function withPorts(sdp: string): string {
  return sdp.replace(/^(m=\w+) 0 /gm, '$1 9 ').replace(/^a=bundle-only\r?\n/gm, '');
}

/** Calls `check` from the main loop until it answers true. */
function poll(check: () => boolean, everyMs = POLL_MS): void {
  GLib.timeout_add(GLib.PRIORITY_DEFAULT, everyMs, () =>
    check() ? GLib.SOURCE_REMOVE : GLib.SOURCE_CONTINUE,
  );
}
