/** Sluice's own Egress service, which no SDK knows. */
import type { Sluice } from './sluice.ts';

/**
 * `sluice.Egress/StartEgress`.
 * @param body one of LiveKit's requests under its name, and `options`
 * @returns the egress's id
 */
export async function startWithOptions(sluice: Sluice, room: string, body: object): Promise<string> {
  const response = await fetch(`${sluice.url}/twirp/sluice.Egress/StartEgress`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      authorization: `Bearer ${await sluice.token('recorder', { room, roomRecord: true })}`,
    },
    body: JSON.stringify(body),
  });
  const { egress_id: egressId, ...rest } = (await response.json()) as { egress_id?: string };
  if (!egressId) throw new Error(`not started: ${JSON.stringify(rest)}`);
  return egressId;
}
