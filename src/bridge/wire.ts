/** Requests, replies and events on one WebSocket, without their meaning: the lower half of the client. */
import type { Logger } from 'pino';
import type { WebSocket } from 'ws';
import { BridgeRequestError } from './errors.ts';
import { parseMessage } from './messages.ts';
import { bridgeEventSchema, bridgeReplySchema } from './protocol.ts';
import type { BridgeEvent, BridgeMethod, BridgeReply } from './protocol.ts';

/** The server pings twice a second; after this long without one it is taken for dead. */
const SERVER_SILENCE_MS = 5000;
/** A process that was stopped and goes on finds the timer run out before it has read what has arrived. */
const SILENCE_GRACE_MS = 250;
/** RFC 6455 §7.4.1: no close frame came. */
const ABNORMAL_CLOSURE = 1006;

export type BridgeEventListener = (event: BridgeEvent) => void;
export type BridgeCloseListener = (code: number, reason: string) => void;

interface Pending {
  resolve: (result: unknown) => void;
  reject: (err: BridgeRequestError) => void;
  timer: NodeJS.Timeout;
}

export class Wire {
  readonly #socket: WebSocket;
  readonly #timeoutMs: number;
  readonly #logger: Logger;
  readonly #pending = new Map<number, Pending>();
  readonly #closeListeners = new Set<BridgeCloseListener>();
  #closure: { code: number; reason: string } | undefined;
  #failure: string | undefined;
  #onEvent: BridgeEventListener | undefined;
  /** Events that came before {@link onEvent}. */
  #early: BridgeEvent[] = [];
  #nextId = 1;
  #silence: NodeJS.Timeout | undefined;

  constructor(socket: WebSocket, timeoutMs: number, logger: Logger) {
    this.#socket = socket;
    this.#timeoutMs = timeoutMs;
    this.#logger = logger;
    socket.on('message', (data, binary) => this.#message(parseMessage(data, binary)));
    socket.on('ping', () => this.#heard());
    socket.on('open', () => this.#heard());
    socket.on('error', (err) => (this.#failure = err.message));
    socket.on('close', (code, reason) => this.#closed(code, reason.toString()));
  }

  get closed(): boolean {
    return this.#closure !== undefined;
  }

  /** @throws BridgeRequestError `closed` */
  opened(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#socket.once('open', resolve);
      this.onClosed((code) => reject(this.#closedError(code)));
    });
  }

  request(method: BridgeMethod, params: unknown): Promise<unknown> {
    if (this.#closure) return Promise.reject(this.#closedError(this.#closure.code));
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#pending.delete(id);
        reject(new BridgeRequestError('timeout', `no answer to ${method} within ${this.#timeoutMs} ms`));
      }, this.#timeoutMs);
      this.#pending.set(id, { resolve, reject, timer });
      // A send that fails closes the socket, and that rejects every pending request.
      this.#socket.send(JSON.stringify({ id, method, params }), () => undefined);
    });
  }

  /** One listener; it must not throw. */
  onEvent(listener: BridgeEventListener): void {
    this.#onEvent = listener;
    for (const event of this.#early) listener(event);
    this.#early = [];
  }

  onClosed(listener: BridgeCloseListener): void {
    if (this.#closure) this.#call(listener, this.#closure);
    else this.#closeListeners.add((code, reason) => listener(code, reason));
  }

  /** Waits for the close handshake. */
  async end(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.onClosed(() => resolve()));
    const deadline = setTimeout(() => this.terminate(), 1000);
    this.#socket.close(1000);
    await closed;
    clearTimeout(deadline);
  }

  terminate(): void {
    this.#socket.terminate();
  }

  #message(message: unknown): void {
    this.#heard();
    const reply = bridgeReplySchema.safeParse(message);
    const event = bridgeEventSchema.safeParse(message);
    if (reply.success) this.#reply(reply.data);
    else if (event.success) this.#event(event.data);
    // A newer server may say more than this client knows.
    else this.#logger.warn('bridge: message of an unknown kind ignored');
  }

  #event(event: BridgeEvent): void {
    if (this.#onEvent) this.#onEvent(event);
    else this.#early.push(event);
  }

  #reply(reply: BridgeReply): void {
    const pending = this.#pending.get(reply.id);
    if (!pending) return;
    this.#pending.delete(reply.id);
    clearTimeout(pending.timer);
    if ('error' in reply) pending.reject(new BridgeRequestError(reply.error.code, reply.error.message));
    else pending.resolve(reply.result);
  }

  #heard(): void {
    clearTimeout(this.#silence);
    this.#silence = setTimeout(() => {
      this.#silence = setTimeout(() => {
        this.#failure = `the server was silent for ${SERVER_SILENCE_MS} ms`;
        this.terminate();
      }, SILENCE_GRACE_MS);
    }, SERVER_SILENCE_MS);
  }

  #closed(code: number, reason: string): void {
    if (this.#closure) return;
    clearTimeout(this.#silence);
    this.#closure = { code, reason: reason || (this.#failure ?? '') };
    const pending = [...this.#pending.values()];
    this.#pending.clear();
    for (const { reject, timer } of pending) {
      clearTimeout(timer);
      reject(this.#closedError(code));
    }
    for (const listener of this.#closeListeners) this.#call(listener, this.#closure);
    this.#closeListeners.clear();
  }

  #closedError(code: number): BridgeRequestError {
    const reason = this.#closure?.reason ? `: ${this.#closure.reason}` : '';
    const known = code === ABNORMAL_CLOSURE ? undefined : code;
    return new BridgeRequestError(
      'closed',
      `the bridge is closed${known ? ` (${known})` : ''}${reason}`,
      code,
    );
  }

  #call(listener: BridgeCloseListener, { code, reason }: { code: number; reason: string }): void {
    try {
      listener(code, reason);
    } catch (err) {
      this.#logger.error({ err }, 'listener of a bridge closing threw');
    }
  }
}
