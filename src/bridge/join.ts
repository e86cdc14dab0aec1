/** Joins a room over the bridge, patiently. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import { BridgeRequestError, connectBridge } from './client.ts';
import type { BridgeClient } from './client.ts';

/** The SFU may be restarting, or the network may have a bad moment. */
const TRIES = 5;
const RETRY_MS = 1000;

export interface JoinRoomOptions {
  url: string;
  /** A token for one join: this room, this identity. */
  token: () => Promise<string>;
  attempt: number;
  logger: Logger;
  /** Whether there is still a reason to join. */
  wanted: () => boolean;
}

/**
 * @returns undefined when the room does not exist (any more), or joining is not wanted any more
 * @throws BridgeRequestError `superseded` at once; what the last try came to, when the SFU lets nobody in
 */
export async function joinRoom(options: JoinRoomOptions): Promise<BridgeClient | undefined> {
  const { url, token, attempt, logger, wanted } = options;
  for (let tries = 1; wanted(); tries++) {
    try {
      return await connectBridge({ url, token: await token(), attempt, logger });
    } catch (error) {
      if (!(error instanceof BridgeRequestError)) throw error;
      if (error.code === 'not_found') return undefined;
      if (error.code === 'superseded' || tries === TRIES) throw error;
      logger.warn({ err: error, tries }, 'room not joined, trying again');
      await sleep(RETRY_MS);
    }
  }
  return undefined;
}
