/** A session on its socket: reads, answers, hangs up, and says in the log why. */
import type { Socket } from 'node:net';
import type { Logger } from 'pino';
import { RtmpSession } from './session.ts';
import type { SessionEnd } from './session-types.ts';
import type { Authorise, RtmpLimits } from './types.ts';

export interface ConnectionOptions {
  socket: Socket;
  secure: boolean;
  remoteAddress: string;
  limits: RtmpLimits;
  authorise: Authorise;
  logger: Logger;
  rejection?: string;
  /** The socket is closed. */
  gone(): void;
}

export class Connection {
  readonly #socket: Socket;
  readonly #limits: RtmpLimits;
  readonly #logger: Logger;
  readonly #session: RtmpSession;
  readonly #startedAt = performance.now();
  #closedAt: number | undefined;

  constructor(options: ConnectionOptions) {
    const { socket, secure, remoteAddress, limits, authorise, rejection } = options;
    this.#socket = socket;
    this.#limits = limits;
    this.#logger = options.logger.child({ remoteAddress, secure });
    this.#session = new RtmpSession({
      remoteAddress,
      secure,
      authorise,
      limits,
      output: {
        send: (bytes) => this.#send(bytes),
        pause: () => socket.pause(),
        resume: () => socket.resume(),
        accepted: (app) => this.#logger.info({ app }, 'RTMP publishing'),
        closed: (end) => this.#hangUp(end),
      },
      ...(rejection === undefined ? {} : { rejection }),
    });
    socket.on('data', (data) => this.#session.receive(data));
    socket.on('end', () => this.#session.hungUp('hung up'));
    socket.on('error', (error) => this.#session.hungUp(`was lost (${error.message})`));
    socket.on('close', () => {
      this.#session.hungUp('hung up');
      options.gone();
    });
  }

  /** Holds the deadlines. */
  check(): void {
    this.#session.check();
    if (this.#closedAt !== undefined && performance.now() - this.#closedAt > this.#limits.lingerMs) {
      this.#socket.destroy();
    }
  }

  end(reason: string): void {
    this.#session.close(reason, false);
  }

  /** Bounded: who asks and does not read the answers is hung up on. */
  #send(bytes: Buffer): void {
    this.#socket.write(bytes);
    if (this.#socket.writableLength > this.#limits.maxUnreadBytes) {
      // Not from within the session's own work.
      queueMicrotask(() => {
        this.#session.close('answers are not read', true);
        this.#socket.destroy();
      });
    }
  }

  #hangUp({ reason, notable, cause }: SessionEnd): void {
    const durationMs = Math.round(performance.now() - this.#startedAt);
    const facts = { reason, receivedBytes: this.#session.receivedBytes, durationMs };
    if (cause !== undefined) this.#logger.error({ ...facts, err: cause }, 'RTMP connection closed');
    else if (notable) this.#logger.warn(facts, 'RTMP connection closed');
    else this.#logger.info(facts, 'RTMP connection closed');
    this.#closedAt = performance.now();
    // What still comes is thrown away: with unread bytes the kernel would cut off our last words.
    this.#socket.end();
    this.#socket.resume();
  }
}
