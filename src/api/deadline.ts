/** A limit on how long a call waits for what may never answer, as Redis does while it is away. */
import { TwirpError } from './errors.ts';

/** Below the SDKs' own 10 s. */
const DEADLINE_MS = 5_000;

/**
 * @param what for the message, e.g. `the store of egresses`.
 * @param onLate told when `promise` resolved after all, too late for the caller.
 * @throws TwirpError `unavailable` after the deadline.
 */
export async function withDeadline<T>(
  what: string,
  promise: Promise<T>,
  onLate?: (value: T) => void,
  deadlineMs: number = DEADLINE_MS,
): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => {
      if (onLate) promise.then(onLate, () => undefined);
      reject(new TwirpError('unavailable', `${what} did not answer in time; try again`));
    }, deadlineMs);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
