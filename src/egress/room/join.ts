/** Joins the room an egress records. */
import { BridgeRequestError } from '../../bridge/errors.ts';
import type { BridgeClient } from '../../bridge/client.ts';
import { joinRoom as join } from '../../bridge/join.ts';
import type { JoinRoomOptions } from '../../bridge/join.ts';
import { EgressError } from '../errors.ts';
import { Superseded } from '../status.ts';

/**
 * @returns undefined when the room does not exist (any more), or joining is not wanted any more
 * @throws Superseded; EgressError when the SFU lets nobody in
 */
export async function joinRoom(options: JoinRoomOptions): Promise<BridgeClient | undefined> {
  try {
    return await join(options);
  } catch (error) {
    if (!(error instanceof BridgeRequestError)) throw error;
    if (error.code === 'superseded') throw new Superseded();
    throw new EgressError('internal', `the room cannot be joined: ${error.message}`, { cause: error });
  }
}
