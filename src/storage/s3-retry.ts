/** When a request to S3 is made again. The SDK's own three attempts do not outlive a restart of the store. */
import type { S3ClientConfig } from '@aws-sdk/client-s3';

type RetryStrategy = Extract<S3ClientConfig['retryStrategy'], { acquireInitialRetryToken: unknown }>;
type RetryToken = Awaited<ReturnType<RetryStrategy['acquireInitialRetryToken']>>;

/** About 35 seconds altogether. */
export const MAX_ATTEMPTS = 20;
const FIRST_PAUSE_MS = 100;
const MAX_PAUSE_MS = 2000;

/** Milliseconds before the `retry`-th retry (from 1), give or take a quarter. Pure. */
export function retryPause(retry: number, random = Math.random()): number {
  return Math.round(Math.min(FIRST_PAUSE_MS * 2 ** (retry - 1), MAX_PAUSE_MS) * (0.75 + 0.5 * random));
}

function token(count: number, pauseMs: number): RetryToken {
  return { getRetryCount: () => count, getRetryDelay: () => pauseMs };
}

/**
 * Retries what the connection, or the store's own trouble, broke. Not what the store refuses. Without the SDK's budget
 * of retries a client: an upload has many parts on their way, and an outage breaks them all.
 * @param onAnswer told of every answer (true), also a refusal, and of every other failure (false)
 * @param isClosed nobody waits any more: the SDK would go on by itself, and keep a process from ending
 */
export function s3RetryStrategy(
  maxAttempts: number = MAX_ATTEMPTS,
  onAnswer: (good: boolean) => void = () => undefined,
  isClosed: () => boolean = () => false,
): RetryStrategy {
  return {
    acquireInitialRetryToken: () => Promise.resolve(token(0, 0)),
    refreshRetryTokenForRetry(previous, { errorType, error }) {
      const count = previous.getRetryCount() + 1;
      // What a store has not been built to do it will not do next time either.
      const refused =
        errorType === 'CLIENT_ERROR' || (error instanceof Error && error.name === 'NotImplemented');
      onAnswer(refused);
      if (refused || count >= maxAttempts || isClosed()) {
        return Promise.reject(new Error('not to be tried again'));
      }
      return Promise.resolve(token(count, retryPause(count)));
    },
    recordSuccess: () => onAnswer(true),
  };
}
