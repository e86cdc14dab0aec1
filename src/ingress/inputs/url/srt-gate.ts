/**
 * A UDP gate in front of FFmpeg's SRT listener, which takes whoever calls first: it reads the callers' handshakes and
 * lets only one with the right streamid through. What it forwards it does not change, so the passphrase is checked by
 * SRT itself.
 */
import { createSocket } from 'node:dgram';
import type { RemoteInfo, Socket } from 'node:dgram';
import { once } from 'node:events';
import { isIP } from 'node:net';
import type { Logger } from 'pino';
import { sameSecret } from '../../../auth/same-secret.ts';
import { InputError } from '../types.ts';
import {
  BAD_SECRET,
  CONFLICT,
  FORBIDDEN,
  readHandshake,
  refuseHandshake,
  UNSECURE,
} from './srt-handshake.ts';

export interface SrtGateOptions {
  /** The address to listen at: 0.0.0.0 and :: for all. */
  host: string;
  port: number;
  /** Where FFmpeg listens on 127.0.0.1. */
  target: number;
  /** What a caller must send; undefined: anything, or none. */
  streamId: string | undefined;
  logger: Logger;
}

interface Caller {
  readonly remote: RemoteInfo;
  /** Its face towards FFmpeg. */
  readonly socket: Socket;
  timer: NodeJS.Timeout | undefined;
}

/** Callers that have shaken hands halfway. */
const MAX_PENDING = 16;
const PENDING_MS = 5000;
const TELL_AGAIN_MS = 10_000;
const BUFFER_BYTES = 4 * 1024 * 1024;

export class SrtGate {
  /** Settles with the first caller that FFmpeg took. */
  readonly taken: Promise<void>;
  readonly #options: SrtGateOptions;
  readonly #socket: Socket;
  readonly #callers = new Map<string, Caller>();
  #active: Caller | undefined;
  #take: () => void = () => undefined;
  #refusal: string | undefined;
  #toldAt = 0;

  private constructor(options: SrtGateOptions) {
    this.#options = options;
    this.taken = new Promise((resolve) => (this.#take = resolve));
    this.#socket = createSocket({
      type: isIP(options.host) === 6 ? 'udp6' : 'udp4',
      recvBufferSize: BUFFER_BYTES,
    });
    this.#socket.on('message', (packet, remote) => this.#receive(packet, remote));
  }

  /** @throws InputError when the address or port cannot be had */
  static async open(options: SrtGateOptions): Promise<SrtGate> {
    const gate = new SrtGate(options);
    try {
      gate.#socket.bind(options.port, options.host);
      await once(gate.#socket, 'listening');
    } catch (cause) {
      const { code } = cause as NodeJS.ErrnoException;
      const why =
        code === 'EADDRINUSE'
          ? 'it is in use'
          : code === 'EADDRNOTAVAIL'
            ? 'this machine does not have it'
            : code;
      throw new InputError(
        `cannot listen for SRT at UDP ${options.host}:${options.port}: ${why ?? 'unknown'}`,
        {
          retry: true,
          cause,
        },
      );
    }
    gate.#socket.on('error', (error) => options.logger.warn({ error: error.message }, 'SRT gate'));
    return gate;
  }

  /** Why the last caller was refused. */
  get refusal(): string | undefined {
    return this.#refusal;
  }

  close(): void {
    for (const caller of this.#callers.values()) this.#forget(caller);
    try {
      this.#socket.close();
    } catch {
      // Closed already.
    }
  }

  #receive(packet: Buffer, remote: RemoteInfo): void {
    const caller = this.#callers.get(keyOf(remote));
    if (caller && caller === this.#active) return this.#forward(packet, caller);
    const handshake = readHandshake(packet);
    if (handshake?.type === 'induction') {
      if (this.#active) return this.#refuse(packet, remote, CONFLICT, 'another caller is connected');
      // Answered by FFmpeg, which makes its cookie of the address it sees.
      const entered = caller ?? this.#enter(remote);
      if (entered) this.#forward(packet, entered);
    } else if (handshake?.type === 'conclusion' && caller) {
      const { streamId } = this.#options;
      if (streamId !== undefined && !sameSecret(handshake.streamId ?? '', streamId)) {
        this.#refuse(packet, remote, FORBIDDEN, 'its streamid is not the one expected');
        this.#forget(caller);
        return;
      }
      this.#active = caller;
      clearTimeout(caller.timer);
      this.#forward(packet, caller);
    }
  }

  #forward(packet: Buffer, { socket }: Caller): void {
    socket.send(packet, this.#options.target, '127.0.0.1');
  }

  #enter(remote: RemoteInfo): Caller | undefined {
    if (this.#callers.size >= MAX_PENDING) return undefined;
    const socket = createSocket({ type: 'udp4', recvBufferSize: BUFFER_BYTES });
    const caller: Caller = { remote, socket, timer: undefined };
    caller.timer = setTimeout(() => this.#forget(caller), PENDING_MS);
    socket.on('message', (packet, { port }) => {
      if (port === this.#options.target) this.#return(packet, caller);
    });
    // FFmpeg that does not listen yet: the caller asks again.
    socket.on('error', () => undefined);
    socket.bind(0, '127.0.0.1');
    this.#callers.set(keyOf(remote), caller);
    return caller;
  }

  #return(packet: Buffer, caller: Caller): void {
    this.#socket.send(packet, caller.remote.port, caller.remote.address);
    const handshake = readHandshake(packet);
    if (handshake?.type === 'conclusion') this.#take();
    if (handshake?.type !== 'refusal') return;
    const { refusal } = handshake;
    if (refusal === BAD_SECRET) this.#note(caller.remote, 'its passphrase is not the one expected');
    else if (refusal === UNSECURE)
      this.#note(caller.remote, 'one side has a passphrase and the other has none');
    else this.#note(caller.remote, `SRT refused it with reason ${refusal}`);
    this.#forget(caller);
  }

  #refuse(packet: Buffer, remote: RemoteInfo, code: number, why: string): void {
    this.#socket.send(refuseHandshake(packet, code), remote.port, remote.address);
    this.#note(remote, why);
  }

  #note({ address }: RemoteInfo, why: string): void {
    const refusal = `a caller was refused: ${why}`;
    // Callers ask again a few times a second.
    const now = performance.now();
    const told = refusal === this.#refusal && now - this.#toldAt < TELL_AGAIN_MS;
    this.#refusal = refusal;
    if (told) return;
    this.#toldAt = now;
    this.#options.logger.info({ caller: address, why }, 'refused an SRT caller');
  }

  #forget(caller: Caller): void {
    clearTimeout(caller.timer);
    if (this.#active === caller) this.#active = undefined;
    this.#callers.delete(keyOf(caller.remote));
    caller.socket.close();
  }
}

function keyOf({ address, port }: RemoteInfo): string {
  return `${address}|${port}`;
}
