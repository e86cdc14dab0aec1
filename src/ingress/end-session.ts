/** Ends a session from the server's side, whichever of its attempts is the latest. */
import { IngressState, IngressState_Status } from '@livekit/protocol';
import type { IngressStore } from '../store/ingress-types.ts';

const NS_PER_MS = 1_000_000n;

/**
 * The state becomes INACTIVE, without tracks; what was measured stays.
 * @param error for IngressState; empty: it ended as it should
 * @returns false when another attempt began in between: try again. True also when it was over already.
 */
export async function endSession(
  store: Pick<IngressStore, 'get' | 'endSession'>,
  ingressId: string,
  resourceId: string,
  error: string,
): Promise<boolean> {
  const record = await store.get(ingressId);
  if (record?.session?.resourceId !== resourceId) return true;
  const state = record.info.state?.clone() ?? new IngressState();
  const nowNs = BigInt(Date.now()) * NS_PER_MS;
  Object.assign(state, { status: IngressState_Status.ENDPOINT_INACTIVE, error, tracks: [] });
  Object.assign(state, { endedAt: nowNs, updatedAt: nowNs });
  return store.endSession(ingressId, record.session.attempt, state);
}
