/** Names of files that are not another egress's. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { Storage } from '../../storage/types.ts';
import type { NameClaims } from '../../store/name-claims.ts';

export interface WantedName {
  /** Keys the output is about to write; the first names it. */
  keys: readonly string[];
  egressId: string;
  storage: Pick<Storage, 'kind' | 'name' | 'size'>;
  claims: NameClaims;
  logger: Logger;
}

/** A storage that has not answered by then is not asked on: the egress goes on. */
const LOOK_MS = 2000;

/**
 * Whether an egress may write under these names: nobody else is about to, and nothing is there that it did not put
 * there itself in an earlier attempt. What cannot be found out (Redis or the storage is away) stops no egress.
 */
export async function isFree({ keys, egressId, storage, claims, logger }: WantedName): Promise<boolean> {
  for (const key of keys) {
    const claim = await claims
      .claim(`${storage.kind}:${storage.name}`, key, egressId)
      .catch((err: unknown) => {
        logger.warn({ err, key }, 'name not claimed');
        return 'new' as const;
      });
    if (claim === 'taken') return false;
    if (claim === 'new' && (await isThere(storage, key, logger))) return false;
  }
  return true;
}

async function isThere(storage: Pick<Storage, 'size'>, key: string, logger: Logger): Promise<boolean> {
  const timer = new AbortController();
  const late = sleep(LOOK_MS, undefined, { signal: timer.signal }).catch(() => undefined);
  try {
    return (await Promise.race([storage.size(key), late])) !== undefined;
  } catch (err) {
    logger.warn({ err, key }, 'not known whether the name is free');
    return false;
  } finally {
    timer.abort();
  }
}

/** `rec/a.mp4` as `rec/a-EG_x.mp4`: a name no other egress has. Pure. */
export function aside(key: string, egressId: string): string {
  const [, before = key, extension = ''] = /^(.*[^/])(\.[a-z0-9]{1,5})$/i.exec(key) ?? [];
  return `${before}-${egressId}${extension}`;
}
