/** Names of files that are not another output's, of whichever egress. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { Storage } from '../../storage/types.ts';
import type { NameClaims } from '../../store/name-claims.ts';
import type { EgressPlan } from '../plan/types.ts';

export interface WantedName {
  /** Keys the output is about to write; the first names it. */
  keys: readonly string[];
  /** Of {@link nameOwner}. */
  holder: string;
  storage: Pick<Storage, 'kind' | 'name' | 'size'>;
  claims: NameClaims;
  logger: Logger;
}

/** Whose an output's names are. The same in every attempt. */
export interface NameOwner {
  /** Who claims them. */
  holder: string;
  /** What makes a name one that nobody else has. */
  mark: string;
}

/**
 * The egress for what its request asked for, each output that was added since for itself: it may be called as one that
 * is there already. Pure.
 * @param index of the output in the plan
 */
export function nameOwner(
  {
    plan,
    record,
  }: { plan: Pick<EgressPlan, 'outputs' | 'ownOutputs' | 'spans'>; record: { egressId: string } },
  index: number,
): NameOwner {
  const { egressId } = record;
  const added = index < (plan.ownOutputs ?? plan.outputs.length) ? undefined : plan.spans?.[index]?.outputId;
  if (added === undefined) return { holder: egressId, mark: egressId };
  return { holder: `${egressId} ${added}`, mark: added };
}

/** A storage that has not answered by then is not asked on: the egress goes on. */
const LOOK_MS = 2000;

/**
 * Whether an output may write under these names: nobody else is about to, and nothing is there that it did not put
 * there itself in an earlier attempt. What cannot be found out (Redis or the storage is away) stops no egress.
 */
export async function isFree({ keys, holder, storage, claims, logger }: WantedName): Promise<boolean> {
  for (const key of keys) {
    const claim = await claims.claim(`${storage.kind}:${storage.name}`, key, holder).catch((err: unknown) => {
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

/** `rec/a.mp4` as `rec/a-EG_x.mp4`: a name no other output has. Pure. */
export function aside(key: string, mark: string): string {
  const [, before = key, extension = ''] = /^(.*[^/])(\.[a-z0-9]{1,5})$/i.exec(key) ?? [];
  return `${before}-${mark}${extension}`;
}
