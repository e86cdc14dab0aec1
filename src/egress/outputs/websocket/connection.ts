/** One WebSocket connection that samples are sent into, and watched: is there still somebody who takes them? */
import { WebSocket } from 'ws';
import type { ClientOptions } from 'ws';
import { GuardError } from '../../../outbound/index.ts';
import type { CheckedAgents } from '../../../outbound/index.ts';
import type { FrameQueue } from './frames.ts';

export interface ConnectionOptions {
  url: URL;
  queue: FrameQueue;
  /** What connects; without it the URL is trusted. */
  agents: CheckedAgents | undefined;
  /** Trusted certificates (PEM) instead of the system's. */
  ca: Buffer | undefined;
  /** No ping is answered for this long: it is given up, ms. What the kernel still takes says nothing of the listener. */
  stallMs: number;
  onOpen: () => void;
}

export interface ConnectionEnd {
  reason: string;
  activeMs: number;
  /** It will not be better another time. */
  forGood: boolean;
}

/** What may wait inside the socket, bytes: two seconds of sound. */
const IN_FLIGHT_BYTES = 192 * 1024;
const HANDSHAKE_MS = 10_000;
const WATCH_MS = 500;
/** Pings in the time after which one that is not answered is too late. */
const PINGS = 3;
/** A listener has nothing to say that would be read. */
const MAX_PAYLOAD = 64 * 1024;
/** From the closing handshake until the connection is cut. */
const CLOSE_MS = 1000;
/** Codes of the closing handshake that say: not again (RFC 6455, 7.4.1). */
const REFUSALS = new Set([1003, 1007, 1008, 1009]);

export class WebSocketConnection {
  /** How it ended; never rejects. */
  readonly ended: Promise<ConnectionEnd>;
  readonly #options: ConnectionOptions;
  readonly #socket: WebSocket;
  readonly #timers: NodeJS.Timeout[];
  #openedAt: number | undefined;
  #heardAt = performance.now();
  #failure: Omit<ConnectionEnd, 'activeMs'> | undefined;

  constructor(options: ConnectionOptions) {
    this.#options = options;
    const { url, agents, ca } = options;
    const agent = url.protocol === 'wss:' ? agents?.https : agents?.http;
    const settings: ClientOptions = {
      // As LiveKit names what comes.
      headers: { 'Content-Type': 'audio/x-raw' },
      followRedirects: false,
      perMessageDeflate: false,
      handshakeTimeout: HANDSHAKE_MS,
      maxPayload: MAX_PAYLOAD,
      ...(agent && { agent }),
      ...(ca && { ca }),
    };
    this.#socket = new WebSocket(url, settings);
    this.#socket.on('open', () => {
      this.#openedAt = this.#heardAt = performance.now();
      options.onOpen();
      this.pump();
    });
    const heard = (): void => void (this.#heardAt = performance.now());
    this.#socket.on('pong', heard);
    this.#socket.on('message', heard);
    this.#socket.on('unexpected-response', (request, { statusCode = 0 }) => {
      const forGood = statusCode >= 400 && statusCode < 500 && statusCode !== 408 && statusCode !== 429;
      this.#failure ??= { reason: `${url.host} answered with status ${statusCode}`, forGood };
      request.destroy();
      this.#socket.terminate();
    });
    this.#socket.on('error', (error) => (this.#failure ??= explained(error, url.host)));
    this.ended = new Promise((resolve) => {
      this.#socket.once('close', (code) => {
        for (const timer of this.#timers) clearInterval(timer);
        const reason = `${url.host} closed the connection${code === 1006 ? '' : ` (${code})`}`;
        const activeMs = this.#openedAt === undefined ? 0 : performance.now() - this.#openedAt;
        resolve({ ...(this.#failure ?? { reason, forGood: REFUSALS.has(code) }), activeMs });
      });
    });
    this.#timers = [
      setInterval(() => this.#look(), WATCH_MS),
      setInterval(() => this.#ping(), options.stallMs / PINGS),
    ];
  }

  /** Sends what waits, as far as it is taken. */
  pump(): void {
    const { queue } = this.#options;
    while (this.#socket.readyState === WebSocket.OPEN && this.#socket.bufferedAmount < IN_FLIGHT_BYTES) {
      const item = queue.shift();
      if (item === undefined) return;
      this.#socket.send(item, { binary: typeof item !== 'string' }, (error) => {
        if (!error) this.pump();
      });
    }
  }

  /** Sends what is left, for at most `graceMs`, and closes in order. */
  async finish(graceMs: number): Promise<void> {
    const deadline = performance.now() + graceMs;
    while (this.#socket.readyState === WebSocket.OPEN && performance.now() < deadline) {
      this.pump();
      if (this.#options.queue.empty && this.#socket.bufferedAmount === 0) break;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    const cut = setTimeout(() => this.#socket.terminate(), CLOSE_MS);
    // Before it is open there is nobody to say goodbye to.
    if (this.#socket.readyState === WebSocket.CONNECTING) this.#socket.terminate();
    else this.#socket.close(1000);
    await this.ended;
    clearTimeout(cut);
  }

  #ping(): void {
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.ping();
  }

  #look(): void {
    const { stallMs, url } = this.#options;
    if (performance.now() - this.#heardAt < stallMs) return;
    const what = this.#openedAt === undefined ? 'did not answer within' : 'answered no ping for';
    this.#failure ??= { reason: `${url.host} ${what} ${Math.round(stallMs / 1000)} s`, forGood: false };
    this.#socket.terminate();
  }
}

/** Never the error's own words where they could repeat the URL. */
function explained(error: Error & { code?: string }, host: string): Omit<ConnectionEnd, 'activeMs'> {
  if (error instanceof GuardError) return { reason: error.message, forGood: !error.retry };
  const code = error.code ?? '';
  const reasons: Readonly<Record<string, string>> = {
    ECONNREFUSED: `connection refused by ${host}`,
    ENOTFOUND: `the name of ${host} cannot be resolved`,
    EAI_AGAIN: `the name of ${host} cannot be resolved`,
    ECONNRESET: `${host} closed the connection`,
    EPIPE: `${host} closed the connection`,
    EHOSTUNREACH: `there is no way to ${host}`,
    ENETUNREACH: `there is no way to ${host}`,
    ETIMEDOUT: `${host} did not answer in time`,
  };
  const known = reasons[code];
  if (known !== undefined) return { reason: known, forGood: false };
  if (/CERT|TLS|SSL|ALTNAME|SELF_SIGNED|ISSUER/.test(code))
    return { reason: `no secure connection to ${host}: its certificate or TLS was refused`, forGood: false };
  if (error.message.includes('handshake has timed out'))
    return { reason: `${host} did not answer in time`, forGood: false };
  if (code.startsWith('WS_ERR')) return { reason: `${host} broke the WebSocket protocol`, forGood: false };
  return { reason: `the WebSocket to ${host} failed${code ? `: ${code}` : ''}`, forGood: false };
}
