/** Names to addresses, a few at a time and not for ever. */
import { lookup } from 'node:dns/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { GuardError } from './errors.ts';

/**
 * The system's resolver runs on Node's four threads, which files need too: names whose name servers answer nothing
 * must not take all of them.
 */
const AT_ONCE = 2;
const WAITING = 256;
/** Below what a caller of the API waits for. */
const TIMEOUT_MS = 4000;

let running = 0;
const waiting: (() => void)[] = [];

/**
 * Every address of a name.
 * @throws GuardError `retry` when there is none, or none was found in time
 */
export async function lookUp(name: string): Promise<string[]> {
  if (waiting.length >= WAITING) {
    throw new GuardError(`the name ${name} cannot be resolved now: too many others are`, { retry: true });
  }
  const end = new AbortController();
  try {
    return await Promise.race([
      resolveInTurn(name, end.signal),
      sleep(TIMEOUT_MS, undefined, { signal: end.signal }).then(() => {
        throw new GuardError(`the name ${name} was not resolved within ${TIMEOUT_MS / 1000} s`, {
          retry: true,
        });
      }),
    ]);
  } finally {
    end.abort();
  }
}

async function resolveInTurn(name: string, signal: AbortSignal): Promise<string[]> {
  if (running >= AT_ONCE) await new Promise<void>((resolve) => waiting.push(resolve));
  else running++;
  try {
    if (signal.aborted) return [];
    return (await lookup(name, { all: true })).map(({ address }) => address);
  } catch (cause) {
    throw new GuardError(`the name ${name} cannot be resolved`, { retry: true, cause });
  } finally {
    // The place is handed on.
    const next = waiting.shift();
    if (next) next();
    else running--;
  }
}
