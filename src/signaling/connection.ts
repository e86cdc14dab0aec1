/** Whether a session's media connection comes up, stays up, and ends. */
import type { types as ms } from 'mediasoup';
import type { LeaveReason } from '../sfu/types.ts';
import type { SignalingTiming } from './types.ts';

export interface ConnectionEvents {
  /** ICE and DTLS are up for the first time. */
  connected(): void;
  /** It will not come (back). Called at most once, never after {@link ConnectionWatch.close}. */
  ended(reason: LeaveReason, why: string): void;
}

export class ConnectionWatch {
  readonly #timing: SignalingTiming;
  readonly #events: ConnectionEvents;
  #timer: NodeJS.Timeout | undefined;
  #connected = false;
  #closed = false;

  constructor(transport: ms.WebRtcTransport, timing: SignalingTiming, events: ConnectionEvents) {
    this.#timing = timing;
    this.#events = events;
    this.#timer = setTimeout(
      () => this.#end('connection_lost', 'it never connected'),
      timing.connectTimeoutMs,
    );
    transport.on('icestatechange', (state) => this.#iceState(state));
    transport.on('dtlsstatechange', (state) => this.#dtlsState(state));
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
  }

  #iceState(state: ms.IceState): void {
    if (this.#closed || !this.#connected) return;
    clearTimeout(this.#timer);
    if (state === 'disconnected') {
      this.#timer = setTimeout(
        () => this.#end('connection_lost', 'the peer is silent'),
        this.#timing.lostTimeoutMs,
      );
    }
  }

  #dtlsState(state: ms.DtlsState): void {
    if (this.#closed) return;
    if (state === 'connected' && !this.#connected) {
      this.#connected = true;
      clearTimeout(this.#timer);
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
