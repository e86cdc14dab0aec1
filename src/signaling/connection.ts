/**
 * Whether a session's media connection comes up, stays up, and ends.
 *
 * A peer is alive while anything comes from it: RTP, RTCP or STUN. mediasoup's own ICE consent (RFC 7675) is not used:
 * it counts STUN requests alone, and encoders on older libnice (GStreamer up to 1.22) send none while their media
 * flows, so that they would be cut off after the first half minute.
 */
import type { types as ms } from 'mediasoup';
import type { LeaveReason } from '../sfu/types.ts';
import type { SignalingTiming } from './types.ts';

export interface ConnectionEvents {
  /** ICE and DTLS are up for the first time. */
  connected(): void;
  /** It will not come (back). Called at most once, never after {@link ConnectionWatch.close}. */
  ended(reason: LeaveReason, why: string): void;
}

/** How often within `lostTimeoutMs` a peer is listened for. */
const CHECKS = 5;

/** How often an ingress's publisher is listened for, ms: another one takes over soon after it has fallen silent. */
export const CLOSE_WATCH_MS = 1000;

export class ConnectionWatch {
  readonly #transport: ms.WebRtcTransport;
  readonly #timing: SignalingTiming;
  readonly #events: ConnectionEvents;
  readonly #intervalMs: number;
  #timer: NodeJS.Timeout | undefined;
  #bytes = 0;
  #heardAt = performance.now();
  #connected = false;
  #closed = false;

  /** @param closely every {@link CLOSE_WATCH_MS} at least */
  constructor(
    transport: ms.WebRtcTransport,
    timing: SignalingTiming,
    events: ConnectionEvents,
    closely = false,
  ) {
    this.#intervalMs = Math.min(timing.lostTimeoutMs / CHECKS, closely ? CLOSE_WATCH_MS : Infinity);
    this.#transport = transport;
    this.#timing = timing;
    this.#events = events;
    this.#timer = setTimeout(
      () => this.#end('connection_lost', 'it never connected'),
      timing.connectTimeoutMs,
    );
    transport.on('dtlsstatechange', (state) => this.#dtlsState(state));
  }

  /** Since anything came, or since the beginning; in steps of the interval it is listened in. */
  get silentMs(): number {
    return performance.now() - this.#heardAt;
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
  }

  #listen(): void {
    this.#heardAt = performance.now();
    this.#timer = setInterval(() => void this.#check(), this.#intervalMs);
  }

  async #check(): Promise<void> {
    // A transport that has just been closed has no stats; its owner closes this watch too.
    const [stats] = await this.#transport.getStats().catch(() => []);
    if (this.#closed || !stats) return;
    const now = performance.now();
    if (stats.bytesReceived !== this.#bytes) {
      this.#bytes = stats.bytesReceived;
      this.#heardAt = now;
    } else if (now - this.#heardAt >= this.#timing.lostTimeoutMs) {
      this.#end('connection_lost', 'the peer is silent');
    }
  }

  #dtlsState(state: ms.DtlsState): void {
    if (this.#closed) return;
    if (state === 'connected' && !this.#connected) {
      this.#connected = true;
      clearTimeout(this.#timer);
      this.#listen();
      this.#events.connected();
    }
    if (state === 'failed') this.#end('connection_lost', 'the DTLS handshake failed');
    // A peer that goes away in order says so (close_notify), and no ICE restart brings DTLS back.
    if (state === 'closed') this.#end('client_left', 'the peer closed DTLS');
  }

  #end(reason: LeaveReason, why: string): void {
    if (this.#closed) return;
    this.close();
    this.#events.ended(reason, why);
  }
}
