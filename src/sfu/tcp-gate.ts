/**
 * The port of ICE over TCP (RFC 6544), in front of mediasoup's: mediasoup takes any number of connections and keeps
 * each for ever, whatever comes over it. Here a connection must begin with a STUN request that mediasoup answers (so
 * somebody who knows a session's credentials), and go on.
 */
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import type { Logger } from 'pino';
import { ConnectionCount, peerOf } from '../limits/connections.ts';
import type { ConnectionLimits } from '../limits/connections.ts';
import { onceInAWhile } from '../limits/once-in-a-while.ts';

export interface TcpGateOptions {
  host: string;
  /** 0: any free port. */
  port: number;
  limits: ConnectionLimits;
  logger: Logger;
  timing?: Partial<TcpGateTiming>;
}

/** Milliseconds. */
export interface TcpGateTiming {
  /** From the connection to its first whole STUN request. */
  requestMs: number;
  /** From there to mediasoup's first answer. */
  answerMs: number;
  /** Without a byte of the peer; ICE's own checks come every few seconds (RFC 7675). */
  idleMs: number;
}

const TIMING: TcpGateTiming = { requestMs: 5000, answerMs: 5000, idleMs: 45_000 };
/** What a peer has not read yet, bytes: seconds of video. */
const MAX_UNREAD = 8 * 1024 * 1024;
/** RFC 4571: two bytes of length before every packet. */
const FRAME_HEADER = 2;
const STUN_HEADER = 20;
const MAX_FIRST_FRAME = 1500;
const MAGIC_COOKIE = 0x2112a442;
const BINDING_REQUEST = 0x0001;

export class TcpGate {
  /** mediasoup's port on 127.0.0.1; undefined while there is none. */
  target: number | undefined;
  readonly #timing: TcpGateTiming;
  readonly #server: Server;
  readonly #count: ConnectionCount;
  readonly #peers = new Set<Socket>();
  readonly #refused: (remote: string, reason: string) => void;

  private constructor({ limits, logger, timing }: TcpGateOptions) {
    this.#timing = { ...TIMING, ...timing };
    this.#count = new ConnectionCount(limits);
    this.#refused = onceInAWhile((remote, reason) =>
      logger.warn({ remote, reason }, 'ICE/TCP connection closed'),
    );
    this.#server = createServer({ noDelay: true, allowHalfOpen: false }, (peer) => this.#serve(peer));
    this.#server.on('error', (err) => logger.error({ err }, 'ICE/TCP server'));
  }

  /** @throws Error of the system's when the port cannot be had */
  static async open(options: TcpGateOptions): Promise<TcpGate> {
    const gate = new TcpGate(options);
    gate.#server.listen(options.port, options.host);
    await once(gate.#server, 'listening');
    return gate;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get connections(): number {
    return this.#count.open;
  }

  /** Hangs up on everybody. */
  drop(): void {
    this.target = undefined;
    for (const peer of this.#peers) peer.destroy();
  }

  async close(): Promise<void> {
    this.drop();
    if (!this.#server.listening) return;
    const closed = once(this.#server, 'close');
    this.#server.close();
    await closed;
  }

  #serve(peer: Socket): void {
    const remote = peerOf(peer.remoteAddress);
    const end = (reason: string): void => {
      this.#refused(remote, reason);
      peer.destroy();
    };
    peer.on('error', () => peer.destroy());
    const place = this.#count.enter(peer.remoteAddress);
    if (typeof place === 'string') return end(place);
    this.#peers.add(peer);
    const late = setTimeout(() => end('no STUN request'), this.#timing.requestMs);
    peer.once('close', () => {
      clearTimeout(late);
      this.#peers.delete(peer);
      place();
    });
    let begun = Buffer.alloc(0);
    const onData = (data: Buffer): void => {
      begun = Buffer.concat([begun, data]);
      const first = firstFrame(begun);
      if (first === 'incomplete') return;
      peer.off('data', onData);
      if (first === 'wrong' || this.target === undefined)
        return end('it begins with something else than STUN');
      clearTimeout(late);
      peer.pause();
      this.#join(peer, connect({ host: '127.0.0.1', port: this.target, noDelay: true }), begun, end);
    };
    peer.on('data', onData);
  }

  #join(peer: Socket, upstream: Socket, begun: Buffer, end: (reason: string) => void): void {
    const late = setTimeout(() => end('its STUN request is no session of ours'), this.#timing.answerMs);
    upstream.once('data', () => {
      clearTimeout(late);
      peer.setTimeout(this.#timing.idleMs);
    });
    // Not piped: a peer that reads too little is to go, rather than to be waited for by mediasoup.
    upstream.on('data', (data: Buffer) => {
      peer.write(data);
      if (peer.writableLength > MAX_UNREAD) end('it reads too little');
    });
    peer.on('timeout', () => end('it is silent'));
    peer.once('close', () => {
      clearTimeout(late);
      upstream.destroy();
    });
    upstream.on('error', () => undefined);
    upstream.once('close', () => peer.destroy());
    upstream.write(begun);
    peer.pipe(upstream);
  }
}

/** Whether what came so far begins with a framed STUN binding request. Pure. */
function firstFrame(bytes: Buffer): 'incomplete' | 'wrong' | 'request' {
  if (bytes.length < FRAME_HEADER) return 'incomplete';
  const length = bytes.readUInt16BE(0);
  if (length < STUN_HEADER || length > MAX_FIRST_FRAME) return 'wrong';
  if (bytes.length < FRAME_HEADER + STUN_HEADER) return 'incomplete';
  const isRequest =
    bytes.readUInt16BE(FRAME_HEADER) === BINDING_REQUEST &&
    bytes.readUInt32BE(FRAME_HEADER + 4) === MAGIC_COOKIE;
  if (!isRequest) return 'wrong';
  return bytes.length < FRAME_HEADER + length ? 'incomplete' : 'request';
}
