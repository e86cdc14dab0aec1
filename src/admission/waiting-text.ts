/** How it is said that a job waits: in EgressInfo.details, and in IngressState.error while BUFFERING. Pure. */

const WAITING = /^waiting for a worker, position \d+$/;

/** @param position from 1 */
export function waitingText(position: number): string {
  return `waiting for a worker, position ${position}`;
}

/** What remains when the wait is over. */
export function withoutWaiting(text: string): string {
  return WAITING.test(text) ? '' : text;
}

/** Why a job that nobody took has failed. @param seconds it was given */
export function notTakenText(seconds: number, workers: number): string {
  const why =
    workers === 0
      ? 'no worker is connected'
      : `${workers === 1 ? 'the one connected worker has no' : `none of ${workers} connected workers has`} room for it`;
  return `not started within ${seconds} s (egress.start_deadline): ${why}; add workers or end other jobs`;
}
