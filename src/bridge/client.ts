/** The bridge's client half: a worker in a room. */
import type { Logger } from 'pino';
import { WebSocket } from 'ws';
import { BridgeRequestError } from './errors.ts';
import { RoomPicture } from './picture.ts';
import { BRIDGE_PROTOCOL_VERSION, bridgeResultSchemas, joinResultSchema } from './protocol.ts';
import type {
  BridgeEvent,
  BridgeJoinResult,
  BridgeMethod,
  BridgeParams,
  BridgeParticipant,
  BridgeResult,
} from './protocol.ts';
import { Wire } from './wire.ts';
import type { BridgeCloseListener, BridgeEventListener } from './wire.ts';

export { BridgeRequestError } from './errors.ts';
export type { BridgeCloseListener, BridgeEventListener } from './wire.ts';

const DEFAULT_REQUEST_TIMEOUT_MS = 5000;
/** Replies and events: a room of hundreds with metadata fits. */
const MAX_MESSAGE_BYTES = 16 * 1024 * 1024;

export interface BridgeClientOptions {
  /** e.g. `ws://127.0.0.1:7880/bridge` */
  url: string;
  /** LiveKit access token: identity, room and rights. */
  token: string;
  /** The job's attempt number; the server lets nobody in who is behind. */
  attempt: number;
  logger: Logger;
  /** Aborting it gives up connecting, or closes the bridge without `leave`. */
  signal?: AbortSignal | undefined;
  /** Default 5000. */
  requestTimeoutMs?: number | undefined;
}

/**
 * Connects and joins.
 * @throws BridgeRequestError what the server answered to `join`; `closed` (with its close code) when it closed or
 *   could not be reached; `timeout`
 */
export async function connectBridge(options: BridgeClientOptions): Promise<BridgeClient> {
  const { url, token, attempt, signal, logger } = options;
  const timeoutMs = options.requestTimeoutMs ?? DEFAULT_REQUEST_TIMEOUT_MS;
  if (signal?.aborted) throw new BridgeRequestError('closed', 'connecting to the bridge was given up');
  const socket = new WebSocket(url, {
    headers: { authorization: `Bearer ${token}` },
    handshakeTimeout: timeoutMs,
    maxPayload: MAX_MESSAGE_BYTES,
    perMessageDeflate: false,
  });
  const wire = new Wire(socket, timeoutMs, logger);
  const abort = (): void => wire.terminate();
  signal?.addEventListener('abort', abort, { once: true });
  wire.onClosed(() => signal?.removeEventListener('abort', abort));
  try {
    await wire.opened();
    const joined = joinResultSchema.parse(
      await wire.request('join', { version: BRIDGE_PROTOCOL_VERSION, attempt }),
    );
    return new BridgeClient(joined, wire, logger);
  } catch (err) {
    wire.terminate();
    throw err;
  }
}

/** Use {@link connectBridge}. */
export class BridgeClient {
  readonly joined: BridgeJoinResult;
  readonly #wire: Wire;
  readonly #logger: Logger;
  readonly #picture: RoomPicture;
  readonly #listeners = new Set<{ listener: BridgeEventListener }>();
  /** Events that came before anybody listened; the first listener gets them. */
  #backlog: BridgeEvent[] | undefined = [];

  constructor(joined: BridgeJoinResult, wire: Wire, logger: Logger) {
    this.joined = joined;
    this.#wire = wire;
    this.#logger = logger;
    this.#picture = new RoomPicture(joined);
    wire.onEvent((event) => this.#event(event));
  }

  /** Everybody visible in the room now, by `participantId`; up to date before listeners are called. */
  get participants(): ReadonlyMap<string, BridgeParticipant> {
    return this.#picture.participants;
  }

  /** Identities, loudest first. */
  get activeSpeakers(): readonly string[] {
    return this.#picture.activeSpeakers;
  }

  get closed(): boolean {
    return this.#wire.closed;
  }

  /** @throws BridgeRequestError */
  async request<M extends Exclude<BridgeMethod, 'join' | 'leave'>>(
    method: M,
    params: BridgeParams<M>,
  ): Promise<BridgeResult<M>> {
    const result = bridgeResultSchemas[method].safeParse(await this.#wire.request(method, params));
    if (!result.success) {
      throw new BridgeRequestError('invalid', `the server's answer to ${method} is not of this protocol`);
    }
    return result.data as BridgeResult<M>;
  }

  /** @returns takes the listener away */
  onEvent(listener: BridgeEventListener): () => void {
    const entry = { listener };
    this.#listeners.add(entry);
    const backlog = this.#backlog ?? [];
    this.#backlog = undefined;
    for (const event of backlog) this.#deliver(event);
    return () => void this.#listeners.delete(entry);
  }

  /** Called once with the close code (see BridgeCloseCode; 1006 when the connection just went), also if it is closed already. */
  onClose(listener: BridgeCloseListener): void {
    this.#wire.onClosed(listener);
  }

  /**
   * An orderly end: the server does not put the job back into the queue. Never throws.
   * @param options.keepSeat the participant (of kind ingress) stays for a while, for the next attempt
   */
  async leave(options: { keepSeat?: boolean } = {}): Promise<void> {
    if (this.closed) return;
    try {
      await this.#wire.request('leave', options);
    } catch (err) {
      this.#logger.debug({ err }, 'bridge: leave was not answered');
    }
    await this.#wire.end();
  }

  /** Closes without `leave`: for the server, the worker is lost. */
  close(): void {
    this.#wire.terminate();
  }

  #event(event: BridgeEvent): void {
    this.#picture.apply(event);
    if (this.#backlog) this.#backlog.push(event);
    else this.#deliver(event);
  }

  #deliver(event: BridgeEvent): void {
    for (const { listener } of [...this.#listeners]) {
      try {
        listener(event);
      } catch (err) {
        this.#logger.error({ err, event: event.event }, 'listener of a bridge event threw');
      }
    }
  }
}
