/** The fault that takes longest: the storage is away. */
import { existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { EgressStatus } from '@livekit/protocol';
import { ServerError } from 'livekit-server-sdk';
import { isEnded } from '../../src/egress/ended.ts';
import { startUploaded } from './recordings.ts';
import { BUCKET } from './rig.ts';
import type { Rig } from './rig.ts';

/** What was uploaded late is there so long after its storage came back, ms: longer than the longest backoff, and Redis may be away. */
const STORED_MS = 180_000;

/** A recording ends while its storage is away, and is stored, whole, when it is back. @throws Error when not */
export async function storageAway(rig: Rig, seconds: number): Promise<string> {
  const { sluice, swift, s3Wire } = rig;
  const key = `late/${Date.now()}.mp4`;
  const where = { swift, endpoint: s3Wire.url, bucket: BUCKET, key };
  const { egressId } = await startUploaded(sluice, where);
  try {
    await sluice.waitForEgress(egressId, ({ status }) => status !== EgressStatus.EGRESS_STARTING);
    await sleep(3000);
    await s3Wire.cut();
    const backAt = Date.now() + seconds * 1000;
    await patiently(120_000, () => sluice.egress.stopEgress(egressId));
    const info = await patiently(120_000, (leftMs) =>
      sluice.waitForEgress(egressId, ({ status }) => isEnded(status), leftMs),
    );
    if (info.status !== EgressStatus.EGRESS_COMPLETE)
      throw new Error(`${egressId} ended as ${EgressStatus[info.status]}: ${info.error}`);
    const kept = info.fileResults[0]?.location ?? '';
    if (!existsSync(kept))
      throw new Error(`${egressId} keeps no file until it is stored: ${info.toJsonString()}`);
    await sleep(Math.max(0, backAt - Date.now()));
    if (!existsSync(kept)) throw new Error(`${kept} is gone before it was stored`);
  } finally {
    await s3Wire.restore();
  }
  const restored = Date.now();
  const location = `${s3Wire.url}/${BUCKET}/${key}`;
  const stored = await patiently(STORED_MS, (leftMs) =>
    sluice.waitForEgress(egressId, ({ fileResults }) => fileResults[0]?.location === location, leftMs),
  );
  const bytes = (await swift.head(BUCKET, key)).ContentLength;
  if (bytes !== Number(stored.fileResults[0]?.size))
    throw new Error(`${key} has ${String(bytes)} bytes in the storage`);
  return `for ${seconds} s, stored ${((Date.now() - restored) / 1000).toFixed(1)} s later`;
}

/** Asks again while Redis is away too: another fault of the storm. @throws what `ask` throws otherwise, or too late */
async function patiently<T>(ms: number, ask: (leftMs: number) => Promise<T>): Promise<T> {
  for (const deadline = Date.now() + ms; ;) {
    try {
      return await ask(deadline - Date.now());
    } catch (error) {
      const away = error instanceof ServerError && error.code === 'unavailable';
      if (!away || Date.now() > deadline) throw error;
      await sleep(500);
    }
  }
}
