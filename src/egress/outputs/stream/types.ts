/** What a destination of a stream tells of itself, and how long it is tried. */

export type DestinationState = 'connecting' | 'active' | 'reconnecting' | 'finished' | 'failed';

export interface DestinationStatus {
  /** Without its key: what may be shown. */
  redactedUrl: string;
  state: DestinationState;
  /** Reconnects that were tried. */
  retries: number;
  /** Wall clock, ms. */
  lastRetryAt: number | undefined;
  /** When it first was live, and when it ended, wall clock, ms. */
  startedAt: number | undefined;
  endedAt: number | undefined;
  /** Why it is not live (any more); no secret in it. */
  error: string | undefined;
}

export interface DestinationLimits {
  /** How long it is tried before it was ever live, ms. */
  connectMs: number;
  /** How long it is tried again after it was live, ms. */
  retryMs: number;
  /** No byte moves for this long: the connection is given up and made anew, ms. */
  stallMs: number;
  /** What may wait for a slow destination before it loses some. */
  queueBytes: number;
  queueMs: number;
}

export const DEFAULT_LIMITS: DestinationLimits = {
  connectMs: 10_000,
  retryMs: 60_000,
  stallMs: 15_000,
  queueBytes: 16 * 1024 * 1024,
  queueMs: 4000,
};
