/** The ingress's participant in its room: joined when it is first needed, and left in order. */
import type { Logger } from 'pino';
import type { BridgeClient } from '../bridge/client.ts';
import { BridgeRequestError } from '../bridge/errors.ts';
import { joinRoom } from '../bridge/join.ts';
import { BridgeCloseCode } from '../bridge/protocol.ts';
import type { Cause } from './cause.ts';

export interface SeatOptions {
  bridgeUrl: string;
  token: () => Promise<string>;
  attempt: number;
  /** Aborted when the end has been decided. */
  signal: AbortSignal;
  /** The room is joined. */
  onJoined: (roomId: string) => void;
  /** What the bridge's closing says of the session. */
  onEnd: (cause: Cause) => void;
  logger: Logger;
}

export class Seat {
  readonly #options: SeatOptions;
  #joining: Promise<BridgeClient> | undefined;

  constructor(options: SeatOptions) {
    this.#options = options;
  }

  /**
   * The same bridge for everybody who asks, until it is lost; then another one. The fence decides whether this attempt
   * may come again.
   *
   * @throws BridgeRequestError
   */
  join(): Promise<BridgeClient> {
    if (this.#joining) return this.#joining;
    const joining = this.#join();
    this.#joining = joining;
    joining.then((bridge) => bridge.onClose(() => this.#forget(joining))).catch(() => this.#forget(joining));
    return joining;
  }

  /** Never throws. @param keepSeat the participant stays for a while, for the next attempt */
  async leave(keepSeat: boolean): Promise<void> {
    const bridge = await this.#joining?.catch(() => undefined);
    await bridge?.leave({ keepSeat });
  }

  async #join(): Promise<BridgeClient> {
    const { bridgeUrl, token, attempt, signal, onJoined, logger } = this.#options;
    const wanted = (): boolean => !signal.aborted;
    const bridge = await joinRoom({ url: bridgeUrl, token, attempt, logger, wanted });
    if (!bridge) throw new BridgeRequestError('closed', 'the room was not joined');
    bridge.onClose((code, reason) => this.#closed(code, reason));
    // Events are kept for the first who listens: nobody may ever.
    bridge.onEvent(() => undefined);
    onJoined(bridge.joined.room.roomId);
    return bridge;
  }

  #forget(joining: Promise<BridgeClient>): void {
    if (this.#joining === joining) this.#joining = undefined;
  }

  #closed(code: number, reason: string): void {
    const { signal, onEnd, logger } = this.#options;
    if (signal.aborted) return;
    logger.warn({ code, reason }, 'bridge closed');
    switch (code) {
      case BridgeCloseCode.superseded:
        onEnd({ type: 'superseded' });
        break;
      case BridgeCloseCode.roomClosed:
        onEnd({ type: 'complete', reason: 'the room was closed' });
        break;
      case BridgeCloseCode.removed:
        onEnd({ type: 'complete', reason: 'the participant was removed from the room' });
        break;
      default:
        // Lost: the next run joins again, if the fence lets it.
        break;
    }
  }
}
