/** Whose a name in a storage is, while its file is on its way there. On Redis. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { keys } from './keys.ts';

/** `ours`: claimed before, by the same holder. */
export type NameClaim = 'new' | 'ours' | 'taken';

export interface NameClaims {
  /**
   * Of any number of outputs that want a name at once, one gets it. A claim lasts longer than uploads are
   * tried by default: by then the file is in its storage, where it can be seen.
   * @param store which storage: names of two are two names
   * @param holder who claims it, the same in every attempt of an egress
   * @throws Error when Redis does not answer within 2 s
   */
  claim(store: string, name: string, holder: string): Promise<NameClaim>;
}

const CLAIM_SECONDS = 8 * 24 * 3600;
const ANSWER_MS = 2000;

export function createNameClaims(redis: Pick<Redis, 'set' | 'expire'>): NameClaims {
  return {
    async claim(store, name, holder) {
      const key = keys.nameClaim(store, name);
      const timer = new AbortController();
      const late = sleep(ANSWER_MS, undefined, { signal: timer.signal }).then(() => {
        throw new Error('Redis does not answer');
      });
      try {
        const asked = redis.set(key, holder, 'EX', CLAIM_SECONDS, 'NX', 'GET');
        const before = await Promise.race([asked, late]);
        return before === null ? 'new' : before === holder ? 'ours' : 'taken';
      } finally {
        timer.abort();
        late.catch(() => undefined);
      }
    },
  };
}
