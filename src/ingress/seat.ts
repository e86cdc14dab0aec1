/** The ingress's participant in its room: joined when it is first needed, and left in order. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { BridgeClient } from '../bridge/client.ts';
import { BridgeRequestError } from '../bridge/errors.ts';
import { joinRoom } from '../bridge/join.ts';
import { BridgeCloseCode } from '../bridge/protocol.ts';
import type { Cause } from './cause.ts';

/** The SFU needs a moment to notice a lost bridge and to raise the attempt. */
const BRIDGE_LOST_WAIT_MS = 3000;

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
  /** Whether another attempt than this one has the session now; undefined when nobody can tell. */
  replaced: () => Promise<boolean | undefined>;
  logger: Logger;
}

export class Seat {
  readonly #options: SeatOptions;
  #joining: Promise<BridgeClient> | undefined;

  constructor(options: SeatOptions) {
    this.#options = options;
  }

  /** The same bridge for everybody who asks. @throws BridgeRequestError */
  join(): Promise<BridgeClient> {
    this.#joining ??= this.#join();
    return this.#joining;
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
    bridge.onClose((code, reason) => void this.#closed(code, reason));
    onJoined(bridge.joined.room.roomId);
    return bridge;
  }

  async #closed(code: number, reason: string): Promise<void> {
    const { signal, onEnd, replaced, logger } = this.#options;
    if (signal.aborted) return;
    logger.warn({ code, reason }, 'bridge closed');
    switch (code) {
      case BridgeCloseCode.superseded:
        onEnd({ type: 'superseded' });
        return;
      case BridgeCloseCode.roomClosed:
        onEnd({ type: 'complete', reason: 'the room was closed' });
        return;
      case BridgeCloseCode.removed:
        onEnd({ type: 'complete', reason: 'the participant was removed from the room' });
        return;
      default:
        // Whoever lost the bridge, the fence decides: a newer attempt goes on, or the SFU is gone and this is the end.
        await sleep(BRIDGE_LOST_WAIT_MS, undefined, { signal }).catch(() => undefined);
        if (await replaced()) onEnd({ type: 'superseded' });
        else onEnd({ type: 'fail', reason: 'the connection to the room was lost' });
    }
  }
}
