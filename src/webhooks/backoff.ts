/** When to try again. Pure. */
import type { WebhookTiming } from './types.ts';

/**
 * Milliseconds to wait after the `failures`-th failure in a row (from 1): doubling up to the longest, give or take a
 * fifth, so that destinations that failed together are not tried together.
 *
 * @param random from 0 to 1.
 */
export function retryDelay(
  failures: number,
  timing: Pick<WebhookTiming, 'firstRetry' | 'maxRetry'>,
  random = Math.random(),
): number {
  const doubled = timing.firstRetry * 2 ** Math.min(failures - 1, 40);
  return Math.round(Math.min(doubled, timing.maxRetry) * (0.8 + 0.4 * random));
}
