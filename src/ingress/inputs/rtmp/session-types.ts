/** What a session and the connection under it say to each other. */
import type { Authorise, RtmpLimits } from './types.ts';

export interface SessionEnd {
  /** Holds no stream key. */
  reason: string;
  /** Whether somebody should look at it: refusals, breaches of the protocol, limits. */
  notable: boolean;
  /** What went wrong on our side. */
  cause?: unknown;
}

/** The connection under a session. Nothing of it may call back into the session before it returns. */
export interface SessionOutput {
  send(bytes: Buffer): void;
  /** While the authorisation is asked nothing more is wanted. */
  pause(): void;
  resume(): void;
  /** Media goes to its sink from here on. */
  accepted(app: string): void;
  /** To be hung up, after what was sent. Called once; nothing is sent after it. */
  closed(end: SessionEnd): void;
}

export interface SessionOptions {
  remoteAddress: string;
  secure: boolean;
  authorise: Authorise;
  limits: RtmpLimits;
  output: SessionOutput;
  /** Given: whoever this is, connect is answered with it. */
  rejection?: string;
  /** ms; for tests. */
  now?: () => number;
}
