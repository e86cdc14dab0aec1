/** An egress that cannot go on, and whose fault it is. */

/** In livekit/egress's sense: the request's (`user`), what it points at (`destination`), or ours (`internal`). */
export type Blame = 'user' | 'destination' | 'internal';

const DEFAULT_CODE: Record<Blame, number> = { user: 400, destination: 503, internal: 500 };

/** Ends an egress as FAILED with this message; it never holds a secret. */
export class EgressError extends Error {
  readonly blame: Blame;
  /** EgressInfo.error_code, HTTP-like. */
  readonly code: number;
  constructor(blame: Blame, message: string, options?: ErrorOptions & { code?: number }) {
    super(message, options);
    this.name = 'EgressError';
    this.blame = blame;
    this.code = options?.code ?? DEFAULT_CODE[blame];
  }
}

/** Ends an egress as ABORTED: it was over before any media (412). */
export class EgressAborted extends Error {
  readonly code = 412;
  constructor(message: string) {
    super(message);
    this.name = 'EgressAborted';
  }
}
